using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Text;

/// <summary>An image in the common space of images and texts. Owns its tensors.</summary>
/// <param name="Embedding">Vector of the image, not normalised [B, E].</param>
/// <param name="Patches">Patch tokens after the head, comparable with the second half of a text's vector [B, P, E/2].</param>
/// <param name="BackbonePatches">Patch tokens before the head [B, P, D].</param>
internal sealed record TextAlignedImage(Tensor Embedding, Tensor Patches, Tensor BackbonePatches);

/// <summary>Aligns the tokens of the frozen backbone with texts: a few blocks without positions, then class token and pooled patches side by side.</summary>
internal sealed class VisionTextHead : nn.Module
{
    [ComponentName(Name = "ln_final")] private readonly Norm? _norm;
    [ComponentName(Name = "blocks")] private readonly ModuleList<Block> _blocks;
    [ComponentName(Name = "linear_projection")] private readonly Linear? _projection;
    private readonly DinoTextConfig _config;

    public VisionTextHead(DinoTextConfig config, Device? device)
        : base(nameof(VisionTextHead))
    {
        _config = config;
        var block = new VisionTransformerConfig
        {
            Width = config.VisionWidth,
            Heads = config.VisionHeads,
            FeedForward = FeedForwardKind.SwiGlu,
            FeedForwardWidth = VisionTransformerConfig.SwiGluWidth(config.VisionWidth, ratio: 4, alignment: 64),
            QkvBias = false,
        };
        _blocks = new ModuleList<Block>([.. Enumerable.Range(0, config.VisionBlocks).Select(_ => new Block(block, device))]);
        _norm = config.VisionBlocks > 0 ? new Norm(config.VisionWidth, NormKind.LayerNorm, 1e-5, device) : null;
        _projection = config.VisionProjection || config.VisionWidth != config.VisionOutputWidth ? new Linear(config.VisionWidth, config.VisionOutputWidth, false, device) : null;
        RegisterComponents();
    }

    /// <summary>The layers of the backbone that <see cref="Forward"/> takes.</summary>
    public LayerSelection Layers => LayerSelection.Last(_config.PatchTokenLayer);

    /// <param name="features">The last layers of the backbone, normalised.</param>
    /// <returns>In the current dispose scope</returns>
    public TextAlignedImage Forward(IReadOnlyList<LayerFeatures> features)
    {
        using var scope = NewDisposeScope();
        LayerFeatures first = features[0];
        Tensor x = cat([features[^1].ClassToken.unsqueeze(1), first.Registers, first.Patches], 1); // [B, N, D]
        foreach (Block block in _blocks) x = block.Forward(x, null);
        if (_norm is not null) x = _norm.call(x);
        if (_projection is not null) x = _projection.call(x); // [B, N, E/2]
        long prefix = 1 + first.Registers.shape[1];
        Tensor classToken = x.select(1, 0), patches = x.narrow(1, prefix, x.shape[1] - prefix); // [B, E/2], [B, P, E/2]
        Tensor pooled = _config.PatchPooling == PatchPooling.Mean ? patches.mean([1]) : patches.amax([1]); // [B, E/2]
        Tensor embedding = !_config.UsePatchTokens ? classToken : !_config.UseClassToken ? pooled : cat([classToken, pooled], -1); // [B, E]
        return new TextAlignedImage(embedding.MoveToOuterDisposeScope(), patches.MoveToOuterDisposeScope(), first.Patches.alias().MoveToOuterDisposeScope());
    }
}
