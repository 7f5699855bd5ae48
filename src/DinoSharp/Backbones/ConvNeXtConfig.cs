namespace DinoSharp.Backbones;

/// <summary>Shape and options of a DINOv3 ConvNeXt. The defaults are ConvNeXt-T.</summary>
public sealed record ConvNeXtConfig : BackboneConfig
{
    /// <summary>Blocks of the four stages.</summary>
    public (int Stage0, int Stage1, int Stage2, int Stage3) Depths { get; init; } = (3, 3, 9, 3);

    /// <summary>Channels C of the four stages.</summary>
    public (int Stage0, int Stage1, int Stage2, int Stage3) Dims { get; init; } = (96, 192, 384, 768);

    /// <summary>Largest stochastic depth rate; block k of n drops its branch for a sample with probability rate·k/(n-1).</summary>
    public double DropPathRate { get; init; }

    /// <summary>Initial value of the per-channel residual scales; zero or less: no scales.</summary>
    public double LayerScale { get; init; } = 1e-6;

    /// <summary>If set, dense maps of every stage are resized (bilinear, antialiased) to the grid of a ViT with this patch size. Null: native strides 4 to 32.</summary>
    public int? PatchSize { get; init; }

    /// <inheritdoc/>
    public override int PatchSizePixels => PatchSize ?? 32;

    /// <inheritdoc/>
    public override int EmbedDim => Dims.Stage3;

    /// <inheritdoc/>
    public override int LayerCount => 4;

    internal override int LayerStride(int layer) => PatchSize ?? 4 << layer;

    internal override int LayerWidth(int layer) => layer switch { 0 => Dims.Stage0, 1 => Dims.Stage1, 2 => Dims.Stage2, _ => Dims.Stage3 };

    /// <inheritdoc/>
    public override void Validate()
    {
        Require(InputChannels >= 1, $"InputChannels must be at least 1, not {InputChannels}");
        Require(Math.Min(Math.Min(Depths.Stage0, Depths.Stage1), Math.Min(Depths.Stage2, Depths.Stage3)) >= 1, $"Depths {Depths} must be positive");
        Require(Math.Min(Math.Min(Dims.Stage0, Dims.Stage1), Math.Min(Dims.Stage2, Dims.Stage3)) >= 1, $"Dims {Dims} must be positive");
        Require(PatchSize is null or >= 1, $"PatchSize must be at least 1, not {PatchSize}");
        Require(DropPathRate is >= 0 and < 1, $"DropPathRate must be in [0, 1), not {DropPathRate}");
    }
}
