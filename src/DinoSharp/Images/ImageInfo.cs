namespace DinoSharp.Images;

/// <summary>File formats that can be read. The format is found from the content, never from the file name.</summary>
public enum ImageFormat
{
    /// <summary>JPEG: baseline, extended (also 12-bit), progressive, lossless; gray, YCbCr, RGB, CMYK.</summary>
    Jpeg,

    /// <summary>PNG of every kind: 1 to 16 bit, gray, palette, RGB, with alpha, interlaced. Of an animated PNG the default picture is read.</summary>
    Png,

    /// <summary>WebP, lossy and lossless, still and animated.</summary>
    WebP,

    /// <summary>GIF, still and animated.</summary>
    Gif,

    /// <summary>TIFF, BigTIFF and GeoTIFF: 1 to 16-bit integers, floats, any number of bands, strips and tiles, both byte orders.</summary>
    Tiff,

    /// <summary>AVIF (HEIF with AV1). HEIC (with HEVC) is recognised but has no decoder here.</summary>
    Avif,

    /// <summary>Windows bitmap: 1 to 32 bits per pixel, uncompressed, run-length coded or with bit masks.</summary>
    Bmp,

    /// <summary>Targa: true colour, gray and palette, plain and run-length coded.</summary>
    Tga,

    /// <summary>Portable bitmap, graymap and pixmap (PBM, PGM, PPM), plain and binary, 1 to 16 bit, and PFM (float).</summary>
    Pnm,

    /// <summary>DICOM with uncompressed, run-length coded or JPEG pixel data.</summary>
    Dicom,

    /// <summary>Pixels that were not read from a file.</summary>
    None,
}

/// <summary>The type of one sample (one number of one pixel).</summary>
public enum SampleType
{
    /// <summary>8 bit, 0 … 255. One-bit pictures become 0 and 255, palettes become RGB.</summary>
    UInt8,

    /// <summary>16 bit, 0 … 65535, in the byte order of this machine.</summary>
    UInt16,

    /// <summary>32-bit float; signed, 32-bit integer and double samples become this. NaN is kept.</summary>
    Float32,
}

/// <summary>What the bands of a picture mean.</summary>
public enum ColorModel
{
    /// <summary>Brightness, black is the lowest value; a second band is alpha.</summary>
    Gray,

    /// <summary>Red, green, blue; a fourth band is alpha or, in a GeoTIFF, often near infrared.</summary>
    Rgb,

    /// <summary>Ink: cyan, magenta, yellow, black; 0 is no ink.</summary>
    Cmyk,

    /// <summary>Anything else, for example the bands of a satellite picture.</summary>
    MultiBand,
}

/// <summary>The two sample values that stand for black and white when a picture becomes 8 bit; values outside are clipped.</summary>
/// <param name="Low">The value that becomes 0.</param>
/// <param name="High">The value that becomes 255. Below <paramref name="Low"/> it turns the picture into its negative.</param>
public readonly record struct ValueRange(double Low, double High);

/// <summary>What the header of an image file says; reading it decodes no pixel.</summary>
public sealed record ImageInfo
{
    /// <summary>Where the picture came from: the path or the name given by the caller. Used in messages.</summary>
    public string Name { get; init; } = "image";

    /// <summary>The file format, found from the content.</summary>
    public ImageFormat Format { get; init; } = ImageFormat.None;

    /// <summary>Width in pixels, of the upright picture if the orientation is applied.</summary>
    public required int Width { get; init; }

    /// <summary>Height in pixels, of the upright picture if the orientation is applied.</summary>
    public required int Height { get; init; }

    /// <summary>Number of bands C of each pixel, alpha included.</summary>
    public required int Channels { get; init; }

    /// <summary>Type of each sample.</summary>
    public SampleType SampleType { get; init; }

    /// <summary>What the bands mean.</summary>
    public ColorModel Color { get; init; }

    /// <summary>Whether the last band is taken to be alpha. A fourth band of a GeoTIFF may be near infrared instead; the file rarely says.</summary>
    public bool HasAlpha { get; init; }

    /// <summary>Number of pictures in the file (pages, animation frames, DICOM frames), at least 1.</summary>
    public int Frames { get; init; } = 1;

    /// <summary>The EXIF or TIFF orientation the file asks for, 1 … 8; 1 means stored upright. See <see cref="ImageReadOptions.ApplyOrientation"/>.</summary>
    public int Orientation { get; init; } = 1;

    /// <summary>Whether the file carries an ICC colour profile. Profiles are not applied (as in the official training pipeline).</summary>
    public bool HasIccProfile { get; init; }

    /// <summary>The range the file itself asks to be shown (DICOM window), if any.</summary>
    public ValueRange? DisplayRange { get; init; }

    /// <summary>Why the pixels are incomplete or suspect. Only with <see cref="ImageReadOptions.AllowDamaged"/>; otherwise such a file is an error.</summary>
    public string? Damage { get; init; }

    /// <summary>Bytes of one sample.</summary>
    public int BytesPerSample => SampleType switch { SampleType.UInt8 => 1, SampleType.UInt16 => 2, _ => 4 };

    internal long PixelCount => (long)Width * Height;

    internal long ByteCount => PixelCount * Channels * BytesPerSample;
}
