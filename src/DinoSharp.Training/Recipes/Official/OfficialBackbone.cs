using DinoSharp.Backbones;

namespace DinoSharp.Training.Recipes.Official;

/// <summary>The network that an official configuration builds.</summary>
/// <param name="c">The configuration on top of the defaults.</param>
internal sealed class OfficialBackbone(OfficialValues c)
{
    // Width, depth, heads and the ratio that the original builds each name with.
    private static readonly Dictionary<string, (int Width, int Depth, int Heads, double Ratio)> Transformers = new()
    {
        ["vit_small"] = (384, 12, 6, 4),
        ["vit_base"] = (768, 12, 12, 4),
        ["vit_large"] = (1024, 24, 16, 4),
        ["vit_so400m"] = (1152, 27, 18, 3.777777778),
        ["vit_huge2"] = (1280, 32, 20, 4),
        ["vit_giant2"] = (1536, 40, 24, 4),
        ["vit_7b"] = (4096, 40, 32, 3),
    };

    public BackboneConfig Read()
    {
        string name = c.Text("student.arch");
        if (name.StartsWith("convnext_", StringComparison.Ordinal) && Presets.All.FirstOrDefault(p => p.Name == "dinov3-" + name.Replace('_', '-')) is { } preset)
        {
            c.Ignore("student", "a ConvNeXt takes only arch and patch_size");
            return (ConvNeXtConfig)preset.Config with { PatchSize = c.WholeNumber("student.patch_size") };
        }

        if (!Transformers.TryGetValue(name, out var size)) throw c.Wrong("student.arch", $"one of {string.Join(", ", Transformers.Keys)}, convnext_tiny, _small, _base, _large");
        string norm = c.Text("student.norm_layer");
        return new VisionTransformerConfig
        {
            PatchSize = c.WholeNumber("student.patch_size"),
            Width = size.Width,
            Depth = size.Depth,
            Heads = size.Heads,
            FeedForward = c.Text("student.ffn_layer") == "mlp" ? FeedForwardKind.Mlp : FeedForwardKind.SwiGlu,
            FeedForwardWidth = c.Text("student.ffn_layer") switch
            {
                "mlp" => VisionTransformerConfig.MlpWidth(size.Width, size.Ratio),
                "swiglu" => VisionTransformerConfig.SwiGluWidth(size.Width, size.Ratio, 8),
                "swiglu32" => VisionTransformerConfig.SwiGluWidth(size.Width, size.Ratio, 32),
                "swiglu64" => VisionTransformerConfig.SwiGluWidth(size.Width, size.Ratio, 64),
                "swiglu128" => VisionTransformerConfig.SwiGluWidth(size.Width, size.Ratio, 128),
                _ => throw c.Wrong("student.ffn_layer", "mlp, swiglu, swiglu32, swiglu64 or swiglu128"),
            },
            Registers = c.WholeNumber("student.n_storage_tokens"),
            QkvBias = c.Flag("student.qkv_bias"),
            MaskKeyBias = c.Flag("student.mask_k_bias"),
            ProjectionBias = c.Flag("student.proj_bias"),
            FeedForwardBias = c.Flag("student.ffn_bias"),
            LayerScale = c.OptionalNumber("student.layerscale"),
            Norm = norm == "rmsnorm" ? NormKind.RmsNorm : NormKind.LayerNorm,
            NormEpsilon = norm switch { "layernorm" => 1e-6, "layernormbf16" or "rmsnorm" => 1e-5, _ => throw c.Wrong("student.norm_layer", "layernorm, layernormbf16 or rmsnorm") },
            UntieClassAndPatchNorms = c.Flag("student.untie_cls_and_patch_norms"),
            UntieGlobalAndLocalClassNorm = c.Flag("student.untie_global_and_local_cls_norm"),
            DropPathRate = c.Number("student.drop_path_rate"),
            Rotary = new RotaryConfig
            {
                Base = c.OptionalNumber("student.pos_embed_rope_base"),
                MinPeriod = c.OptionalNumber("student.pos_embed_rope_min_period"),
                MaxPeriod = c.OptionalNumber("student.pos_embed_rope_max_period"),
                Normalization = c.Text("student.pos_embed_rope_normalize_coords") switch
                {
                    "separate" => RotaryNormalization.Separate,
                    "max" => RotaryNormalization.Max,
                    "min" => RotaryNormalization.Min,
                    _ => throw c.Wrong("student.pos_embed_rope_normalize_coords", "separate, max or min"),
                },
                ShiftCoordinates = c.OptionalNumber("student.pos_embed_rope_shift_coords"),
                JitterCoordinates = c.OptionalNumber("student.pos_embed_rope_jitter_coords"),
                RescaleCoordinates = c.OptionalNumber("student.pos_embed_rope_rescale_coords"),
                Precision = RotaryPrecision.BFloat16, // the original's builder does not pass the type on, so training always has these
            },
        };
    }
}
