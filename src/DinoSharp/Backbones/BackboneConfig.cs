namespace DinoSharp.Backbones;

/// <summary>Everything that decides the shapes and the computation of a backbone. Immutable; two equal configurations build interchangeable networks.</summary>
public abstract record BackboneConfig
{
    /// <summary>Channels of the input image, 1..N (official models: 3).</summary>
    public int InputChannels { get; init; } = 3;

    /// <summary>Side of the square image cell that one patch token of the dense output stands for, in pixels.</summary>
    public abstract int PatchSizePixels { get; }

    /// <summary>Width D of a token of the last layer.</summary>
    public abstract int EmbedDim { get; }

    /// <summary>Number of layers that dense features can be taken from: blocks of a ViT, stages of a ConvNeXt.</summary>
    public abstract int LayerCount { get; }

    /// <summary>Width of the dense features of a layer.</summary>
    internal virtual int LayerWidth(int layer) => EmbedDim;

    /// <summary>Side of the image cell that one patch of a layer stands for, in pixels.</summary>
    internal virtual int LayerStride(int layer) => PatchSizePixels;

    /// <summary>Throws <see cref="ArgumentException"/> naming the first value that cannot work.</summary>
    public abstract void Validate();

    private protected static void Require(bool condition, string message)
    {
        if (!condition) throw new ArgumentException(message);
    }
}
