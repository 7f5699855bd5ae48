using DinoSharp.Backbones;

namespace DinoSharp.Features;

/// <summary>Which features of a picture are wanted, and at what size the network sees it.</summary>
public sealed record ExtractOptions
{
    /// <summary>
    /// Height of the network's input in pixels; the width follows from the picture's aspect, both in whole patches. Null: the picture's own size,
    /// without the rim that fills no patch.
    /// </summary>
    public int? ImageSizePixels { get; init; } = 768;

    /// <summary>Resize to a square of that side instead, whatever the aspect, exactly as <see cref="DinoModel.Embed(Images.ImageSource, EmbedOptions?, CancellationToken)"/> does.</summary>
    public bool Square { get; init; }

    /// <summary>The layers to take features from: blocks of a ViT, stages of a ConvNeXt.</summary>
    public LayerSelection Layers { get; init; } = LayerSelection.Final;

    /// <summary>Whether the final norm is applied to each layer.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>
    /// Compute the picture in overlapping square tiles of that side, a multiple of the patch size, if it is larger. Memory then hardly depends on the size of the picture, and time
    /// grows in proportion to its area; but a patch knows of its own tile only, and class token and registers are means over the tiles. Null: as a whole, unless
    /// <see cref="MaxMemoryBytes"/> forbids it.
    /// </summary>
    public int? TileSizePixels { get; init; }

    /// <summary>Least overlap of neighbouring tiles, a multiple of the patch size up to half a tile; over this length one fades into the other. Null: a quarter of a tile.</summary>
    public int? TileOverlapPixels { get; init; }

    /// <summary>
    /// The most memory that the process may hold meanwhile. A picture that would take more as a whole is computed in the largest tiles that fit;
    /// <see cref="DinoModel.Plan"/> says which. Null: no limit.
    /// </summary>
    public long? MaxMemoryBytes { get; init; }

    /// <summary>What the caller holds besides, now or until then; part of every estimate.</summary>
    internal long ReservedBytes { get; init; }
}
