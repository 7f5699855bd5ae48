using System.Buffers;
using System.Runtime.InteropServices;

namespace DinoSharp.Images;

/// <summary>
/// The pixels of one picture: height × width × channels, interleaved, rows from the top, without padding. Immutable and safe to share between threads.
/// </summary>
public sealed class ImageBuffer
{
    private readonly byte[] _data;
    private readonly bool _pooled;

    internal ImageBuffer(ImageInfo info, byte[] data, bool pooled = false)
    {
        Info = info;
        _data = data;
        _pooled = pooled;
    }

    /// <summary>Where the picture came from and what its samples mean.</summary>
    public ImageInfo Info { get; }

    /// <summary>Width in pixels.</summary>
    public int Width => Info.Width;

    /// <summary>Height in pixels.</summary>
    public int Height => Info.Height;

    /// <summary>Number of bands, alpha included.</summary>
    public int Channels => Info.Channels;

    /// <summary>Type of each sample.</summary>
    public SampleType SampleType => Info.SampleType;

    /// <summary>All samples as bytes in memory order: [H, W, C].</summary>
    public ReadOnlySpan<byte> Bytes => _data.AsSpan(0, (int)Info.ByteCount);

    /// <summary>The array behind <see cref="Bytes"/>, which may be longer.</summary>
    internal byte[] Array => _data;

    /// <summary>Whether the array is rented; see <see cref="Return"/>.</summary>
    internal bool IsPooled => _pooled;

    /// <summary>All samples, [H, W, C].</summary>
    /// <typeparam name="T"><see cref="byte"/>, <see cref="ushort"/> or <see cref="float"/>, as <see cref="SampleType"/> says.</typeparam>
    /// <exception cref="InvalidOperationException">The samples are of another type.</exception>
    public ReadOnlySpan<T> Samples<T>()
        where T : unmanaged
    {
        return TypeOf<T>() == SampleType ? MemoryMarshal.Cast<byte, T>(Bytes)
            : throw new InvalidOperationException($"{Info.Name} has {SampleType} samples, not {typeof(T).Name}");
    }

    /// <summary>Wraps a copy of samples that did not come from a file.</summary>
    /// <param name="width">Width in pixels.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="channels">Number of bands.</param>
    /// <param name="samples">height × width × channels samples, interleaved.</param>
    /// <param name="name">A name for messages.</param>
    /// <typeparam name="T"><see cref="byte"/>, <see cref="ushort"/> or <see cref="float"/>.</typeparam>
    /// <exception cref="ArgumentException">The count does not match the size.</exception>
    public static ImageBuffer FromSamples<T>(int width, int height, int channels, ReadOnlySpan<T> samples, string name = "image")
        where T : unmanaged
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(height);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(channels);
        if (samples.Length != (long)width * height * channels)
            throw new ArgumentException($"{width}×{height}×{channels} needs {(long)width * height * channels} samples, not {samples.Length}", nameof(samples));
        var info = new ImageInfo
        {
            Name = name,
            Width = width,
            Height = height,
            Channels = channels,
            SampleType = TypeOf<T>(),
            Color = channels switch { 1 => ColorModel.Gray, 3 => ColorModel.Rgb, _ => ColorModel.MultiBand },
        };
        return new ImageBuffer(info, MemoryMarshal.AsBytes(samples).ToArray());
    }

    /// <summary>
    /// The picture as 8-bit RGB, [H, W, 3], by the rules of the official decoder (Pillow's <c>convert("RGB")</c>): alpha is dropped without blending,
    /// gray is replicated, CMYK is converted without a profile. Of more than four bands the first three are red, green and blue unless <paramref name="bands"/> says otherwise.
    /// </summary>
    /// <param name="range">
    /// The sample values that become 0 and 255. Default: of 8-bit samples the whole range; else what the file asks for (DICOM window);
    /// else of 16-bit samples the high byte, but of a TIFF that uses only 8, 12 or 14 of the 16 bits the range of these; else of float samples 0 … 1 if all lie there, otherwise the smallest to the largest finite sample of the bands used.
    /// (0, 255) on 16-bit gray gives what Pillow gives: everything above 255 is clipped.
    /// </param>
    /// <param name="bands">Zero-based bands that are red, green and blue; or one band for gray.</param>
    /// <remarks>Not-a-number samples become 0 (black), as do samples below the range.</remarks>
    /// <exception cref="ImageException">A band does not exist or the range is empty.</exception>
    public ImageBuffer ToRgb8(ValueRange? range = null, IReadOnlyList<int>? bands = null) => RgbConversion.Convert(this, range, bands);

    /// <summary>Cuts out a window.</summary>
    /// <param name="left">First column.</param>
    /// <param name="top">First row.</param>
    /// <param name="width">Width of the window.</param>
    /// <param name="height">Height of the window.</param>
    /// <exception cref="ArgumentException">The window is empty or reaches beyond the picture.</exception>
    public ImageBuffer Crop(int left, int top, int width, int height)
    {
        if (left < 0 || top < 0 || width < 1 || height < 1 || left > Width - width || top > Height - height)
            throw new ArgumentException($"the window {width}×{height} at ({left}, {top}) is not inside the {Width}×{Height} picture {Info.Name}");
        int pixel = Channels * Info.BytesPerSample;
        byte[] cut = GC.AllocateUninitializedArray<byte>(checked(width * height * pixel));
        for (int y = 0; y < height; y++)
            _data.AsSpan((int)(((long)(top + y) * Width + left) * pixel), width * pixel).CopyTo(cut.AsSpan(y * width * pixel));
        return new ImageBuffer(Info with { Width = width, Height = height }, cut);
    }

    /// <summary>Number of float samples that are not finite (NaN or infinite): "no data" in many GeoTIFFs. 0 for integer samples.</summary>
    public long CountNonFinite()
    {
        if (SampleType != SampleType.Float32) return 0;
        long count = 0;
        foreach (float sample in Samples<float>())
        {
            if (!float.IsFinite(sample)) count++;
        }

        return count;
    }

    /// <summary>Writes the picture as PNG or JPEG, whichever the extension names. The file appears complete or not at all.</summary>
    /// <param name="path">Where to; ends in .png, .jpg or .jpeg. An existing file is replaced.</param>
    /// <param name="jpegQuality">1 … 100, for JPEG.</param>
    /// <exception cref="ImageException">Another extension, samples the format cannot hold, or a file that cannot be written.</exception>
    public void Save(string path, int jpegQuality = 92) => ImageWriter.Save(this, path, jpegQuality);

    /// <summary>The same pixels with other words about them.</summary>
    internal ImageBuffer With(ImageInfo info) => new(info, _data, _pooled);

    /// <summary>
    /// Gives a rented array back. Only for pictures that never leave the library: large photographs decoded one after the other then
    /// reuse memory whose pages the system need not provide and clear again, an eighth of the time of decoding.
    /// </summary>
    internal void Return()
    {
        if (_pooled) ArrayPool<byte>.Shared.Return(_data);
    }

    private static SampleType TypeOf<T>() =>
        typeof(T) == typeof(byte) ? SampleType.UInt8
        : typeof(T) == typeof(ushort) ? SampleType.UInt16
        : typeof(T) == typeof(float) ? SampleType.Float32
        : throw new NotSupportedException($"samples are byte, ushort or float, not {typeof(T).Name}");
}
