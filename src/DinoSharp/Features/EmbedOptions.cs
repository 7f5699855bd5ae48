namespace DinoSharp.Features;

/// <summary>How a picture becomes one vector.</summary>
public sealed record EmbedOptions
{
    /// <summary>What the vector is made of.</summary>
    public Pooling Pooling { get; init; } = Pooling.ClassToken;

    /// <summary>Whether the vector is divided by its length, so that a dot product of two is their cosine similarity.</summary>
    public bool UnitLength { get; init; } = true;

    /// <summary>Side of the square to which the picture is resized, whatever its aspect, as in the official evaluation; a multiple of the patch size. Null: what the weights were made for.</summary>
    public int? ImageSizePixels { get; init; }

    /// <summary>Whether each picture is seen at its own size, less the rim that makes no whole patch, one after the other. <see cref="ImageSizePixels"/> is then of no account.</summary>
    public bool NativeSize { get; init; }

    /// <summary>How many pictures are computed together where many are given. More need more memory and are little faster.</summary>
    public int BatchSize { get; init; } = 8;
}
