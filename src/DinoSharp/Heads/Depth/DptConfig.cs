namespace DinoSharp.Heads.Depth;

/// <summary>What the DPT decoder does with the class token of a layer.</summary>
public enum DptReadout
{
    /// <summary>Nothing.</summary>
    Ignore,

    /// <summary>Adds it to each patch.</summary>
    Add,

    /// <summary>GELU of a linear layer on [patch; class].</summary>
    Project,
}

/// <summary>Shape and options of a DPT decoder (Ranftl et al. 2021). Immutable.</summary>
public sealed record DptConfig
{
    /// <summary>Width of the features of each of the four layers, first layer first.</summary>
    public required IReadOnlyList<int> InputChannels { get; init; }

    /// <summary>Channels of each level after reassembling, first layer (largest map) first.</summary>
    public required IReadOnlyList<int> LevelChannels { get; init; }

    /// <summary>Channels of the fused maps.</summary>
    public required int Channels { get; init; }

    /// <summary>Channels of the result: depth bins.</summary>
    public int Outputs { get; init; } = 256;

    /// <summary>Use of the class token.</summary>
    public DptReadout Readout { get; init; } = DptReadout.Ignore;

    /// <summary>Batch norm on the incoming features.</summary>
    public bool BatchNorm { get; init; }

    /// <summary>Channels between the last two convolutions.</summary>
    public int HiddenChannels { get; init; } = 32;

    /// <summary>Bias in the residual units of the fusion.</summary>
    public bool FusionBias { get; init; }

    /// <summary>One more convolution with ReLU between the fusion and the head.</summary>
    public bool ProjectAfterFusion { get; init; } = true;

    /// <summary>The published depth decoder of the 7B model, trained on synthetic data.</summary>
    public static DptConfig SynthMix { get; } = new()
    {
        InputChannels = [4096, 4096, 4096, 4096],
        LevelChannels = [2048, 2048, 2048, 2048],
        Channels = 512,
        BatchNorm = true,
    };

    /// <summary>The published canopy height decoder, CHMv2, of the satellite ViT-L.</summary>
    public static DptConfig Canopy { get; } = new()
    {
        InputChannels = [1024, 1024, 1024, 1024],
        LevelChannels = [128, 256, 512, 1024],
        Channels = 256,
        Readout = DptReadout.Project,
        HiddenChannels = 128,
        FusionBias = true,
        ProjectAfterFusion = false,
    };

    /// <summary>Whether these are the options of the published depth decoder, whatever its widths.</summary>
    internal bool IsSynthMix => BatchNorm && Readout == DptReadout.Ignore && !FusionBias && ProjectAfterFusion;

    /// <summary>Whether this is the published canopy height decoder.</summary>
    internal bool IsCanopy => this with { InputChannels = Canopy.InputChannels, LevelChannels = Canopy.LevelChannels } == Canopy && InputChannels.SequenceEqual(Canopy.InputChannels) && LevelChannels.SequenceEqual(Canopy.LevelChannels);

    internal void Validate()
    {
        if (InputChannels.Count != 4 || LevelChannels.Count != 4) throw new ArgumentException($"a DPT decoder takes four levels, not {InputChannels.Count} inputs and {LevelChannels.Count} levels");
        if (InputChannels.Concat(LevelChannels).Append(HiddenChannels).Append(Outputs).Min() < 1 || Channels < 2) throw new ArgumentException("channel counts of a DPT decoder must be positive, Channels at least 2");
    }
}
