using DinoSharp.Images.Decoding;

namespace DinoSharp.Images;

/// <summary>
/// Reads image files. The format is found from the content; a file that is truncated, damaged, too large or not an image is an
/// <see cref="ImageException"/> that names the file and the cause. All members may be called from any number of threads.
/// </summary>
public static class ImageFile
{
    /// <summary>The version of the native image library, or a message why it cannot be loaded.</summary>
    public static string NativeLibrary => VipsDecoder.Describe();

    /// <summary>Reads the header only: size, bands, sample type, frames. No pixel is decoded and the pixel limit does not apply.</summary>
    /// <param name="source">A path, or bytes.</param>
    /// <param name="options">How it would be read; null for the defaults.</param>
    /// <exception cref="ImageException">Not an image that can be read.</exception>
    public static ImageInfo ReadInfo(ImageSource source, ImageReadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        options ??= ImageReadOptions.Default;
        ImageInfo info = Open(source, options).ReadInfo();
        return options.ApplyOrientation && !source.AsStored && info.Orientation >= 5 ? info with { Width = info.Height, Height = info.Width } : info;
    }

    /// <summary>Reads and decodes an image with all its bands as they are stored. <see cref="ImageBuffer.ToRgb8"/> makes 8-bit RGB of it.</summary>
    /// <param name="source">A path, or bytes.</param>
    /// <param name="options">How to read it; null for the defaults.</param>
    /// <exception cref="ImageException">Not an image that can be read, above the pixel limit, or damaged.</exception>
    public static ImageBuffer Read(ImageSource source, ImageReadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        return Read(source, options ?? ImageReadOptions.Default, pooled: false);
    }

    /// <summary>Reads an image from a stream, from where it stands to its end. The stream stays open.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="options">How to read it; null for the defaults.</param>
    /// <exception cref="ImageException">Not an image that can be read, above the pixel limit, or damaged.</exception>
    public static ImageBuffer Read(Stream stream, ImageReadOptions? options = null) => Read(ImageSource.FromStream(stream), options);

    /// <summary>Reads an image from the bytes of a file.</summary>
    /// <param name="content">The file's bytes.</param>
    /// <param name="options">How to read it; null for the defaults.</param>
    /// <exception cref="ImageException">Not an image that can be read, above the pixel limit, or damaged.</exception>
    public static ImageBuffer Read(ReadOnlyMemory<byte> content, ImageReadOptions? options = null) => Read(ImageSource.FromBytes(content), options);

    /// <summary>The same, into a rented array: the caller calls <see cref="ImageBuffer.Return"/>.</summary>
    internal static ImageBuffer Read(ImageSource source, ImageReadOptions options, bool pooled)
    {
        ImageBuffer stored = Open(source, options, pooled).Decode();
        return options.ApplyOrientation && !source.AsStored ? Orientation.Apply(stored) : stored;
    }

    private static Decoder Open(ImageSource source, ImageReadOptions options, bool pooled = false)
    {
        ReadOnlyMemory<byte> content = source.Read();
        ImageFormat format = FormatDetector.Detect(content.Span, source.Name);
        var input = new DecoderInput(source.Name, content, format, options, pooled);
        return format switch
        {
            ImageFormat.Bmp => new BmpDecoder(input),
            ImageFormat.Tga => new TgaDecoder(input),
            ImageFormat.Pnm => new PnmDecoder(input),
            ImageFormat.Dicom => new DicomDecoder(input),
            ImageFormat.Jpeg when JpegHeader.Read(content.Span) is { NeedsManagedDecoder: true } => new HighBitJpegDecoder(input),
            _ => new VipsDecoder(input),
        };
    }
}
