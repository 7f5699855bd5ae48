namespace DinoSharp.Backbones;

/// <summary>Data set that published weights were trained on; it decides how pixels are normalised.</summary>
public enum PretrainingData
{
    /// <summary>LVD-1689M, web images.</summary>
    Lvd1689M,

    /// <summary>SAT-493M, satellite images.</summary>
    Sat493M,
}

/// <summary>A named network of the DINOv3 family.</summary>
/// <param name="Name">Official name with dashes, for example <c>dinov3-vits16</c>.</param>
/// <param name="Config">Its configuration.</param>
/// <param name="Parameters">Exact number of parameters, buffers not counted; null if only a training builder.</param>
/// <param name="StateDictEntries">Entries of the official state dict, buffers and aliases counted; null if only a training builder.</param>
/// <param name="Data">Data of the published weights; null if the network is only a training builder.</param>
/// <param name="OfficialFile">Name of the official file without its hash and extension; null if there is none.</param>
/// <param name="OfficialHash">First eight hex digits of the official file's SHA-256; null if there is none.</param>
public sealed record Preset(string Name, BackboneConfig Config, long? Parameters, int? StateDictEntries, PretrainingData? Data, string? OfficialFile, string? OfficialHash);

/// <summary>Every published network and training builder, and our own small one, as data. Sources: reference table of the official hub.</summary>
public static class Presets
{
    /// <summary>The small network that comes with DinoSharp, trained by <c>recipes/tiny.yaml</c>; not one of Meta's.</summary>
    public const string DefaultModel = "dino-tiny";

    private static readonly VisionTransformerConfig Small = new() { Width = 384, Depth = 12, Heads = 6, FeedForwardWidth = 1536 };
    private static readonly VisionTransformerConfig Base = new() { Width = 768, Depth = 12, Heads = 12, FeedForwardWidth = 3072 };
    private static readonly VisionTransformerConfig Large = new() { Width = 1024, Depth = 24, Heads = 16, FeedForwardWidth = 4096 };
    private static readonly VisionTransformerConfig Giant7B = new()
    {
        Width = 4096,
        Depth = 40,
        Heads = 32,
        FeedForward = FeedForwardKind.SwiGlu,
        FeedForwardWidth = 8192,
        QkvBias = false,
        UntieGlobalAndLocalClassNorm = true,
    };

    // What a training configuration builds when it says nothing else: class defaults, not those of the published models.
    private static readonly VisionTransformerConfig Builder = new()
    {
        Registers = 0,
        MaskKeyBias = false,
        LayerScale = null,
        NormEpsilon = 1e-6,
        Rotary = new RotaryConfig { RescaleCoordinates = null, Precision = RotaryPrecision.BFloat16 },
    };

    /// <summary>All presets, smallest family member first.</summary>
    public static IReadOnlyList<Preset> All { get; } =
    [
        new Preset(DefaultModel, new VisionTransformerConfig { Width = 192, Depth = 12, Heads = 3, FeedForwardWidth = 768, LayerScale = 1 }, 5_492_160, 188, null, null, null),
        Vit("dinov3-vits16", Small, 21_601_152, 188, PretrainingData.Lvd1689M, "08c60483"),
        Vit("dinov3-vits16plus", Small with { FeedForward = FeedForwardKind.SwiGlu }, 28_697_472, 212, PretrainingData.Lvd1689M, "4057cbaa"),
        Vit("dinov3-vitb16", Base, 85_669_632, 188, PretrainingData.Lvd1689M, "73cec8be"),
        Vit("dinov3-vitl16", Large, 303_154_176, 368, PretrainingData.Lvd1689M, "8aa4cbdd"),
        Vit("dinov3-vitl16-sat493m", Large with { UntieGlobalAndLocalClassNorm = true }, 303_156_224, 370, PretrainingData.Sat493M, "eadcf0ff"),
        Vit("dinov3-vitl16plus", Large with { FeedForward = FeedForwardKind.SwiGlu }, 403_915_776, 416, PretrainingData.Lvd1689M, "46503df0"),
        Vit("dinov3-vith16plus", Large with { Width = 1280, Depth = 32, Heads = 20, FeedForward = FeedForwardKind.SwiGlu, FeedForwardWidth = 5120 }, 840_633_600, 552, PretrainingData.Lvd1689M, "7c1da9a5"),
        Vit("dinov3-vit7b16", Giant7B, 6_716_043_264, 610, PretrainingData.Lvd1689M, "a955f4ea"),
        Vit("dinov3-vit7b16-sat493m", Giant7B, 6_716_043_264, 610, PretrainingData.Sat493M, "a6675841"),
        ConvNeXt("dinov3-convnext-tiny", (3, 3, 9, 3), (96, 192, 384, 768), 27_820_128, 182, "21b726bb"),
        ConvNeXt("dinov3-convnext-small", (3, 3, 27, 3), (96, 192, 384, 768), 49_454_688, 344, "296db49d"),
        ConvNeXt("dinov3-convnext-base", (3, 3, 27, 3), (128, 256, 512, 1024), 87_566_464, 344, "801f2ba9"),
        ConvNeXt("dinov3-convnext-large", (3, 3, 27, 3), (192, 384, 768, 1536), 196_230_336, 344, "61fa432d"),
        TrainingBuilder("vit-so400m", 1152, 27, 18, 3.777777778),
        TrainingBuilder("vit-huge2", 1280, 32, 20, 4),
        TrainingBuilder("vit-giant2", 1536, 40, 24, 4),
    ];

    /// <summary>Finds a preset by name; case, underscores and a missing <c>dinov3-</c> are forgiven.</summary>
    /// <param name="name">For example <c>dinov3-vits16</c>, <c>dinov3_vits16</c> or <c>vits16</c>.</param>
    /// <exception cref="DinoSharpException">There is no such preset; the message names the nearest ones.</exception>
    public static Preset Find(string name)
    {
        string wanted = Simplify(name);
        return All.FirstOrDefault(p => Simplify(p.Name) == wanted)
            ?? throw new DinoSharpException($"there is no network named \"{name}\"; known: {string.Join(", ", All.Select(p => p.Name))}");
    }

    private static string Simplify(string name)
    {
        string simple = name.Trim().ToLowerInvariant().Replace('_', '-');
        simple = simple.StartsWith("facebook/", StringComparison.Ordinal) ? simple["facebook/".Length..] : simple;
        simple = simple.Replace("-pretrain-lvd1689m", "", StringComparison.Ordinal).Replace("-pretrain-sat493m", "-sat493m", StringComparison.Ordinal);
        return simple.StartsWith("dinov3-", StringComparison.Ordinal) ? simple["dinov3-".Length..] : simple;
    }

    private static Preset Vit(string name, VisionTransformerConfig config, long parameters, int entries, PretrainingData data, string hash)
    {
        string dataName = data == PretrainingData.Sat493M ? "sat493m" : "lvd1689m";
        string file = $"{name.Replace("-sat493m", "", StringComparison.Ordinal).Replace('-', '_')}_pretrain_{dataName}";
        return new Preset(name, config, parameters, entries, data, file, hash);
    }

    private static Preset ConvNeXt(string name, (int, int, int, int) depths, (int, int, int, int) dims, long parameters, int entries, string hash) =>
        new(name, new ConvNeXtConfig { Depths = depths, Dims = dims }, parameters, entries, PretrainingData.Lvd1689M, name.Replace('-', '_') + "_pretrain_lvd1689m", hash);

    private static Preset TrainingBuilder(string name, int width, int depth, int heads, double ratio)
    {
        VisionTransformerConfig config = Builder with { Width = width, Depth = depth, Heads = heads, FeedForwardWidth = VisionTransformerConfig.MlpWidth(width, ratio) };
        return new Preset(name, config, null, null, null, null, null);
    }
}
