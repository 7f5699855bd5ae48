namespace DinoSharp.Backbones;

/// <summary>Feed-forward network of a block: <c>fc2(GELU(fc1 x))</c>, or gated <c>w3(SiLU(w1 x) * (w2 x))</c>.</summary>
public enum FeedForwardKind
{
    /// <summary>Two linear layers with an exact (erf) GELU between.</summary>
    Mlp,

    /// <summary>SwiGLU: two parallel linear layers, one gating the other, and a third back.</summary>
    SwiGlu,
}

/// <summary>Normalisation used throughout a vision transformer.</summary>
public enum NormKind
{
    /// <summary>Layer norm with weight and bias over the last axis, biased variance.</summary>
    LayerNorm,

    /// <summary>Root-mean-square norm with weight only, computed in float32.</summary>
    RmsNorm,
}

/// <summary>How patch coordinates are scaled to [-1, 1] before the rotary angles.</summary>
public enum RotaryNormalization
{
    /// <summary>Each axis by its own number of patches (all published models).</summary>
    Separate,

    /// <summary>Both axes by the larger number of patches.</summary>
    Max,

    /// <summary>Both axes by the smaller number of patches.</summary>
    Min,
}

/// <summary>Precision in which the rotary tables are computed and the rotation is applied.</summary>
public enum RotaryPrecision
{
    /// <summary>float32: the published models.</summary>
    Float32,

    /// <summary>bfloat16, every step rounded: networks built from the official training configurations.</summary>
    BFloat16,
}

/// <summary>Axial rotary position embedding (paper section 3.2). Either <see cref="Base"/> or both periods are given.</summary>
public sealed record RotaryConfig
{
    /// <summary>Base of the geometric series of periods; null if the periods are given instead.</summary>
    public double? Base { get; init; } = 100;

    /// <summary>Shortest period, in normalised coordinates; needs <see cref="MaxPeriod"/>.</summary>
    public double? MinPeriod { get; init; }

    /// <summary>Longest period, in normalised coordinates; needs <see cref="MinPeriod"/>.</summary>
    public double? MaxPeriod { get; init; }

    /// <summary>How coordinates are scaled.</summary>
    public RotaryNormalization Normalization { get; init; } = RotaryNormalization.Separate;

    /// <summary>Training only: both axes are shifted by U(-s, s), independently. Null: never.</summary>
    public double? ShiftCoordinates { get; init; }

    /// <summary>Training only: each axis is multiplied by exp U(-ln j, ln j). At least 1. Null: never.</summary>
    public double? JitterCoordinates { get; init; }

    /// <summary>Training only: both axes are multiplied by one exp U(-ln r, ln r). At least 1; published models 2. Null: never.</summary>
    public double? RescaleCoordinates { get; init; } = 2;

    /// <summary>Precision of the tables and the rotation.</summary>
    public RotaryPrecision Precision { get; init; } = RotaryPrecision.Float32;
}

/// <summary>Shape and options of a DINOv3 vision transformer. The defaults are those shared by every published ViT (ViT-S/16 sizes).</summary>
public sealed record VisionTransformerConfig : BackboneConfig
{
    /// <summary>Side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 16;

    /// <summary>Token width D.</summary>
    public int Width { get; init; } = 384;

    /// <summary>Number of blocks.</summary>
    public int Depth { get; init; } = 12;

    /// <summary>Attention heads A; D must be a multiple of 4·A.</summary>
    public int Heads { get; init; } = 6;

    /// <summary>Kind of feed-forward network.</summary>
    public FeedForwardKind FeedForward { get; init; } = FeedForwardKind.Mlp;

    /// <summary>Hidden width of the feed-forward network (see <see cref="MlpWidth"/> and <see cref="SwiGluWidth"/> for the official rule).</summary>
    public int FeedForwardWidth { get; init; } = 1536;

    /// <summary>Register (storage) tokens R between the class token and the patches.</summary>
    public int Registers { get; init; } = 4;

    /// <summary>Bias on query, key and value.</summary>
    public bool QkvBias { get; init; } = true;

    /// <summary>A stored mask zeroes the key third of the qkv bias; needs <see cref="QkvBias"/> to have an effect.</summary>
    public bool MaskKeyBias { get; init; } = true;

    /// <summary>Bias on the attention's output projection.</summary>
    public bool ProjectionBias { get; init; } = true;

    /// <summary>Bias on the feed-forward layers.</summary>
    public bool FeedForwardBias { get; init; } = true;

    /// <summary>Initial value of the per-channel residual scales; null: no layer scale.</summary>
    public double? LayerScale { get; init; } = 1e-5;

    /// <summary>Kind of norm.</summary>
    public NormKind Norm { get; init; } = NormKind.LayerNorm;

    /// <summary>Epsilon of every norm (official names: layernorm 1e-6, layernormbf16 1e-5, rmsnorm 1e-5).</summary>
    public double NormEpsilon { get; init; } = 1e-5;

    /// <summary>Class and register tokens have a final norm of their own.</summary>
    public bool UntieClassAndPatchNorms { get; init; }

    /// <summary>In training, class tokens of local crops have a final norm of their own (ViT-7B and ViT-L SAT).</summary>
    public bool UntieGlobalAndLocalClassNorm { get; init; }

    /// <summary>Stochastic depth rate in training, the same for all blocks, 0..1.</summary>
    public double DropPathRate { get; init; }

    /// <summary>Rotary positions.</summary>
    public RotaryConfig Rotary { get; init; } = new();

    /// <inheritdoc/>
    public override int PatchSizePixels => PatchSize;

    /// <inheritdoc/>
    public override int EmbedDim => Width;

    /// <inheritdoc/>
    public override int LayerCount => Depth;

    /// <summary>Width E of one attention head.</summary>
    public int HeadWidth => Width / Heads;

    /// <summary>Hidden width of the plain network: D·ratio, truncated.</summary>
    /// <param name="width">Token width D.</param>
    /// <param name="ratio">Feed-forward ratio.</param>
    public static int MlpWidth(int width, double ratio) => (int)(width * ratio);

    /// <summary>Hidden width of the gated network: two thirds of D·ratio, rounded up to a multiple of the alignment.</summary>
    /// <param name="width">Token width D.</param>
    /// <param name="ratio">Feed-forward ratio.</param>
    /// <param name="alignment">8 (official swiglu), 32, 64 or 128.</param>
    public static int SwiGluWidth(int width, double ratio, int alignment)
    {
        int hidden = (int)(MlpWidth(width, ratio) * 2 / 3.0);
        return (hidden + alignment - 1) / alignment * alignment;
    }

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(InputChannels >= 1, $"InputChannels must be at least 1, not {InputChannels}");
        Require(PatchSize >= 1, $"PatchSize must be at least 1, not {PatchSize}");
        Require(Width >= 1 && Depth >= 1 && Heads >= 1 && FeedForwardWidth >= 1, $"Width {Width}, Depth {Depth}, Heads {Heads} and FeedForwardWidth {FeedForwardWidth} must be positive");
        Require(Width % (4 * Heads) == 0, $"Width {Width} must be a multiple of 4 x Heads ({4 * Heads}): a quarter of each head rotates with each axis");
        Require(Registers >= 0, $"Registers must not be negative, found {Registers}");
        Require(DropPathRate is >= 0 and < 1, $"DropPathRate must be in [0, 1), not {DropPathRate}");
        bool periods = Rotary.MinPeriod is not null || Rotary.MaxPeriod is not null;
        Require(Rotary.Base is null == periods && Rotary.MinPeriod is null == Rotary.MaxPeriod is null, "Rotary needs either Base or both MinPeriod and MaxPeriod, not both and not none");
        Require(Rotary.Base is null or > 0 && Rotary.MinPeriod is null or > 0 && Rotary.MaxPeriod is null or > 0, "Rotary base and periods must be positive");
        Require(Rotary.JitterCoordinates is null or >= 1, "Rotary.JitterCoordinates must be at least 1");
        Require(Rotary.RescaleCoordinates is null or >= 1, "Rotary.RescaleCoordinates must be at least 1");
    }
}
