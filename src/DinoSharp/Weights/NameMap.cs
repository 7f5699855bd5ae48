using System.Diagnostics.CodeAnalysis;
using DinoSharp.Backbones;

namespace DinoSharp.Weights;

/// <summary>
/// The correspondence between official names and those of the other layouts, as tables read in both directions. In a pattern <c>#</c>
/// stands for a number and <c>*</c> for <c>weight</c> or <c>bias</c>, in the same order on both sides. Several foreign names share the rows
/// of one official tensor evenly; null is a share without a tensor, which counts as zeros. The first fitting row of a table wins.
/// </summary>
/// <remarks>Source: conversion tables of the published layouts (reference facts on weights, sections 6 and 7).</remarks>
internal sealed class NameMap
{
    private static readonly Rule[] HuggingFaceViT =
    [
        new("cls_token", "embeddings.cls_token"),
        new("mask_token", "embeddings.mask_token"), // [1, D] here, [1, 1, D] there
        new("storage_tokens", "embeddings.register_tokens"),
        new("patch_embed.proj.*", "embeddings.patch_embeddings.*"),
        new("blocks.#.norm1.*", "layer.#.norm1.*"),
        new("blocks.#.attn.qkv.*", "layer.#.attention.q_proj.*", "layer.#.attention.k_proj.*", "layer.#.attention.v_proj.*"),
        new("blocks.#.attn.proj.*", "layer.#.attention.o_proj.*"),
        new("blocks.#.ls1.gamma", "layer.#.layer_scale1.lambda1"),
        new("blocks.#.norm2.*", "layer.#.norm2.*"),
        new("blocks.#.ls2.gamma", "layer.#.layer_scale2.lambda1"),
        new("norm.*", "norm.*"),
    ];

    private static readonly Rule[] HuggingFaceMlp =
    [
        new("blocks.#.mlp.fc1.*", "layer.#.mlp.up_proj.*"),
        new("blocks.#.mlp.fc2.*", "layer.#.mlp.down_proj.*"),
    ];

    private static readonly Rule[] HuggingFaceSwiGlu =
    [
        new("blocks.#.mlp.w1.*", "layer.#.mlp.gate_proj.*"),
        new("blocks.#.mlp.w2.*", "layer.#.mlp.up_proj.*"),
        new("blocks.#.mlp.w3.*", "layer.#.mlp.down_proj.*"),
    ];

    private static readonly Rule[] TimmViT =
    [
        new("cls_token", "cls_token"),
        new("storage_tokens", "reg_token"),
        new("patch_embed.proj.*", "patch_embed.proj.*"),
        new("blocks.#.norm1.*", "blocks.#.norm1.*"),
        new("blocks.#.attn.qkv.weight", "blocks.#.attn.qkv.weight"),
        new("blocks.#.attn.qkv.bias", "blocks.#.attn.q_bias", null, "blocks.#.attn.v_bias"),
        new("blocks.#.attn.proj.*", "blocks.#.attn.proj.*"),
        new("blocks.#.ls1.gamma", "blocks.#.gamma_1"),
        new("blocks.#.norm2.*", "blocks.#.norm2.*"),
        new("blocks.#.ls2.gamma", "blocks.#.gamma_2"),
        new("norm.*", "norm.*"),
    ];

    private static readonly Rule[] TimmMlp =
    [
        new("blocks.#.mlp.fc1.*", "blocks.#.mlp.fc1.*"),
        new("blocks.#.mlp.fc2.*", "blocks.#.mlp.fc2.*"),
    ];

    private static readonly Rule[] TimmSwiGlu =
    [
        new("blocks.#.mlp.w1.*", "blocks.#.mlp.fc1_g.*"),
        new("blocks.#.mlp.w2.*", "blocks.#.mlp.fc1_x.*"),
        new("blocks.#.mlp.w3.*", "blocks.#.mlp.fc2.*"),
    ];

    private static readonly Rule[] HuggingFaceConvNeXt =
    [
        new("downsample_layers.#.#.*", "stages.#.downsample_layers.#.*"),
        new("stages.#.#.dwconv.*", "stages.#.layers.#.depthwise_conv.*"),
        new("stages.#.#.norm.*", "stages.#.layers.#.layer_norm.*"),
        new("stages.#.#.pwconv1.*", "stages.#.layers.#.pointwise_conv1.*"),
        new("stages.#.#.pwconv2.*", "stages.#.layers.#.pointwise_conv2.*"),
        new("stages.#.#.gamma", "stages.#.layers.#.gamma"),
        new("norm.*", "layer_norm.*"),
    ];

    private static readonly Rule[] TimmConvNeXt =
    [
        new("downsample_layers.0.#.*", "stem.#.*"),
        new("downsample_layers.#.#.*", "stages.#.downsample.#.*"),
        new("stages.#.#.dwconv.*", "stages.#.blocks.#.conv_dw.*"),
        new("stages.#.#.norm.*", "stages.#.blocks.#.norm.*"),
        new("stages.#.#.pwconv1.*", "stages.#.blocks.#.mlp.fc1.*"),
        new("stages.#.#.pwconv2.*", "stages.#.blocks.#.mlp.fc2.*"),
        new("stages.#.#.gamma", "stages.#.blocks.#.gamma"),
        new("norm.*", "head.norm.*"),
    ];

    private static readonly Rule[] HuggingFaceCanopy =
    [
        new("reassemble_blocks.projects.#.conv.*", "reassemble_stage.layers.#.projection.*"),
        new("reassemble_blocks.resize_layers.#.*", "reassemble_stage.layers.#.resize.*"),
        new("reassemble_blocks.readout_projects.#.0.*", "reassemble_stage.readout_projects.#.0.*"),
        new("convs.#.conv.weight", "convs.#.weight"),
        new("fusion_blocks.#.res_conv_unit1.conv1.conv.*", "fusion_layers.#.residual_layer1.convolution1.*"),
        new("fusion_blocks.#.res_conv_unit1.conv2.conv.*", "fusion_layers.#.residual_layer1.convolution2.*"),
        new("fusion_blocks.#.res_conv_unit2.conv1.conv.*", "fusion_layers.#.residual_layer2.convolution1.*"),
        new("fusion_blocks.#.res_conv_unit2.conv2.conv.*", "fusion_layers.#.residual_layer2.convolution2.*"),
        new("fusion_blocks.#.project.conv.*", "fusion_layers.#.projection.*"),
    ];

    private readonly Rule[] _rules;

    private NameMap(Rule[] rules) => _rules = rules;

    /// <summary>The canopy height decoder of Hugging Face, without its prefix <c>head.</c>; <c>conv_depth.head</c> has the same names on both sides.</summary>
    public static NameMap HuggingFaceCanopyHead { get; } = new(HuggingFaceCanopy);

    /// <summary>The table of a layout; null for the official one, which needs none.</summary>
    public static NameMap? For(WeightLayout layout, BackboneFamily family, FeedForwardKind feedForward) => (layout, family, feedForward) switch
    {
        (WeightLayout.Official, _, _) => null,
        (WeightLayout.HuggingFace, BackboneFamily.ConvNeXt, _) => new NameMap(HuggingFaceConvNeXt),
        (WeightLayout.HuggingFace, _, FeedForwardKind.Mlp) => new NameMap([.. HuggingFaceViT, .. HuggingFaceMlp]),
        (WeightLayout.HuggingFace, _, _) => new NameMap([.. HuggingFaceViT, .. HuggingFaceSwiGlu]),
        (_, BackboneFamily.ConvNeXt, _) => new NameMap(TimmConvNeXt),
        (_, _, FeedForwardKind.Mlp) => new NameMap([.. TimmViT, .. TimmMlp]),
        _ => new NameMap([.. TimmViT, .. TimmSwiGlu]),
    };

    /// <summary>The official name of a foreign one, and which share of its rows the foreign tensor is.</summary>
    public bool TryToOfficial(string foreign, [NotNullWhen(true)] out string? official, out int share)
    {
        foreach (Rule rule in _rules)
        {
            for (share = 0; share < rule.Foreign.Length; share++)
            {
                if (rule.Foreign[share] is not { } pattern || !TryMatch(pattern, foreign, out List<string>? captured)) continue;
                official = Expand(rule.Official, captured);
                return true;
            }
        }

        (official, share) = (null, 0);
        return false;
    }

    /// <summary>The foreign names that share an official tensor's rows, in order; null if the layout has no place for it.</summary>
    public string?[]? ToForeign(string official)
    {
        foreach (Rule rule in _rules)
        {
            if (TryMatch(rule.Official, official, out List<string>? captured))
                return [.. rule.Foreign.Select(pattern => pattern is null ? null : Expand(pattern, captured))];
        }

        return null;
    }

    /// <summary>Whether a name fits a pattern.</summary>
    public static bool Fits(string pattern, string name) => TryMatch(pattern, name, out _);

    private static bool TryMatch(string pattern, string name, [NotNullWhen(true)] out List<string>? captured)
    {
        captured = null;
        string[] wanted = pattern.Split('.'), found = name.Split('.');
        if (wanted.Length != found.Length) return false;
        var values = new List<string>();
        for (int i = 0; i < wanted.Length; i++)
        {
            switch (wanted[i])
            {
                case "#" when IsNumber(found[i]):
                case "*" when found[i] is "weight" or "bias":
                    values.Add(found[i]);
                    break;
                default:
                    if (wanted[i] != found[i]) return false;
                    break;
            }
        }

        captured = values;
        return true;
    }

    // Only the plain form of a number is one: "01" would make two names equal.
    private static bool IsNumber(string text) => text.Length is > 0 and <= 6 && text.All(char.IsAsciiDigit) && (text.Length == 1 || text[0] != '0');

    private static string Expand(string pattern, List<string> captured)
    {
        int next = 0;
        return string.Join('.', pattern.Split('.').Select(part => part is "#" or "*" ? captured[next++] : part));
    }

    private sealed record Rule(string Official, params string?[] Foreign);
}
