using System.Text.Json;
using DinoSharp.Backbones;

namespace DinoSharp.Tests.Golden;

/// <summary>Turns the official constructor arguments of a golden case into our configuration records.</summary>
internal static class ConfigReader
{
    public static VisionTransformerConfig Vit(JsonElement c)
    {
        int width = c.GetProperty("embed_dim").GetInt32();
        double ratio = c.GetProperty("ffn_ratio").GetDouble();
        string ffn = c.GetProperty("ffn_layer").GetString()!;
        return new VisionTransformerConfig
        {
            PatchSize = c.GetProperty("patch_size").GetInt32(),
            InputChannels = c.GetProperty("in_chans").GetInt32(),
            Width = width,
            Depth = c.GetProperty("depth").GetInt32(),
            Heads = c.GetProperty("num_heads").GetInt32(),
            FeedForward = ffn == "mlp" ? FeedForwardKind.Mlp : FeedForwardKind.SwiGlu,
            FeedForwardWidth = FeedForwardWidth(ffn, width, ratio),
            Registers = c.GetProperty("n_storage_tokens").GetInt32(),
            QkvBias = c.GetProperty("qkv_bias").GetBoolean(),
            MaskKeyBias = c.GetProperty("mask_k_bias").GetBoolean(),
            ProjectionBias = c.GetProperty("proj_bias").GetBoolean(),
            FeedForwardBias = c.GetProperty("ffn_bias").GetBoolean(),
            LayerScale = Number(c, "layerscale_init"),
            Norm = c.GetProperty("norm_layer").GetString() == "rmsnorm" ? NormKind.RmsNorm : NormKind.LayerNorm,
            NormEpsilon = c.GetProperty("norm_layer").GetString() == "layernorm" ? 1e-6 : 1e-5,
            UntieClassAndPatchNorms = c.GetProperty("untie_cls_and_patch_norms").GetBoolean(),
            UntieGlobalAndLocalClassNorm = c.GetProperty("untie_global_and_local_cls_norm").GetBoolean(),
            DropPathRate = Number(c, "drop_path_rate") ?? 0,
            Rotary = Rotary(c, "pos_embed_rope_"),
        };
    }

    /// <summary>Rotary options; names carry a prefix inside a backbone's configuration and none in the cases of the tables alone.</summary>
    public static RotaryConfig Rotary(JsonElement c, string prefix) => new()
    {
        Base = Number(c, prefix + "base"),
        MinPeriod = Number(c, prefix + "min_period"),
        MaxPeriod = Number(c, prefix + "max_period"),
        Normalization = Text(c, prefix + "normalize_coords") switch
        {
            null or "separate" => RotaryNormalization.Separate,
            "max" => RotaryNormalization.Max,
            "min" => RotaryNormalization.Min,
            string other => throw new InvalidOperationException($"unknown normalize_coords {other}"),
        },
        ShiftCoordinates = Number(c, prefix + "shift_coords"),
        JitterCoordinates = Number(c, prefix + "jitter_coords"),
        RescaleCoordinates = Number(c, prefix + "rescale_coords"),
        Precision = (Text(c, prefix + "dtype") ?? "fp32") switch
        {
            "fp32" => RotaryPrecision.Float32,
            "bf16" => RotaryPrecision.BFloat16,
            string other => throw new InvalidOperationException($"unknown rope dtype {other}"),
        },
    };

    public static ConvNeXtConfig ConvNeXt(JsonElement c)
    {
        int[] depths = [.. c.GetProperty("depths").EnumerateArray().Select(d => d.GetInt32())];
        int[] dims = [.. c.GetProperty("dims").EnumerateArray().Select(d => d.GetInt32())];
        return new ConvNeXtConfig
        {
            InputChannels = c.GetProperty("in_chans").GetInt32(),
            Depths = (depths[0], depths[1], depths[2], depths[3]),
            Dims = (dims[0], dims[1], dims[2], dims[3]),
            DropPathRate = Number(c, "drop_path_rate") ?? 0,
            LayerScale = c.GetProperty("layer_scale_init_value").GetDouble(),
            PatchSize = Number(c, "patch_size") is double patch ? (int)patch : null,
        };
    }

    public static int FeedForwardWidth(string kind, int width, double ratio) => kind switch
    {
        "mlp" => VisionTransformerConfig.MlpWidth(width, ratio),
        "swiglu" => VisionTransformerConfig.SwiGluWidth(width, ratio, 8),
        "swiglu32" => VisionTransformerConfig.SwiGluWidth(width, ratio, 32),
        "swiglu64" => VisionTransformerConfig.SwiGluWidth(width, ratio, 64),
        "swiglu128" => VisionTransformerConfig.SwiGluWidth(width, ratio, 128),
        _ => throw new InvalidOperationException($"unknown ffn_layer {kind}"),
    };

    public static double? Number(JsonElement c, string name) => c.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static string? Text(JsonElement c, string name) => c.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
