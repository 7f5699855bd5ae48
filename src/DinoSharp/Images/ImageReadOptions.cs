namespace DinoSharp.Images;

/// <summary>How an image file is read. The defaults suit features of photographs; the official training decoder is <c>ApplyOrientation = false</c>.</summary>
public sealed record ImageReadOptions
{
    /// <summary>The default limit, 178,956,970 pixels: the size at which Pillow, too, speaks of a decompression bomb (half a gigabyte as RGB).</summary>
    public const long DefaultMaxPixels = 178_956_970;

    internal static readonly ImageReadOptions Default = new();

    /// <summary>Largest width × height that is decoded. Checked against the header, before any pixel is decoded or memory for it is taken.</summary>
    public long MaxPixels { get; init; } = DefaultMaxPixels;

    /// <summary>Largest width or height that is decoded. A tiny file can claim a picture one pixel wide and a hundred million high, which takes minutes.</summary>
    public int MaxSidePixels { get; init; } = 1_000_000;

    /// <summary>Whether the picture is turned and mirrored to stand upright as its EXIF orientation asks. DINOv3's own training ignored the orientation.</summary>
    public bool ApplyOrientation { get; init; } = true;

    /// <summary>
    /// Whether a truncated or damaged file gives what could be decoded (<see cref="ImageInfo.Damage"/> then says what is wrong) instead of an error.
    /// </summary>
    public bool AllowDamaged { get; init; }

    /// <summary>Which picture of an animation, multi-page TIFF or DICOM series, from 0.</summary>
    public int Frame { get; init; }

    /// <summary>Which bands a model gets, from 0: three for red, green and blue, or as many as the model has channels. Null: the first ones.</summary>
    public IReadOnlyList<int>? Bands { get; init; }

    /// <summary>Which sample values are black and white for a model; null: see <see cref="ImageBuffer.ToRgb8"/>.</summary>
    public ValueRange? Range { get; init; }
}
