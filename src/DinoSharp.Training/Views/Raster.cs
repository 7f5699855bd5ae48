using System.Buffers;
using DinoSharp.Images;

namespace DinoSharp.Training.Views;

/// <summary>Pixels on their way from an image to a view. Owns a rented buffer: dispose it.</summary>
/// <remarks>Two kinds: 8-bit RGB, equal to the original bit for bit, and any number of bands in float, for which the original has no answer.</remarks>
internal abstract class Raster(int width, int height) : IDisposable
{
    public int Width => width;

    public int Height => height;

    /// <summary>A part of the picture, brought to a square of a given side (bicubic).</summary>
    public abstract Raster Cut(CropWindow window, int size);

    /// <summary>The whole picture at another size (bicubic).</summary>
    public Raster Resized(int size) => Cut(new CropWindow(0, 0, Height, Width), size);

    /// <summary>Mirrors left and right.</summary>
    public abstract void Flip();

    /// <summary>Changes the colours; what means nothing to these bands is left out.</summary>
    public abstract void Change(ColorChange color);

    /// <summary>Blurs with a Gaussian of nine taps.</summary>
    public abstract void Blur(float sigma);

    /// <summary>Inverts the bright half of the values.</summary>
    public abstract void Solarize();

    /// <summary>(value in [0, 1] − mean) / std, band by band. [C, H, W]</summary>
    public abstract void Normalize(Normalization normalization, Span<float> target);

    /// <summary>Everything that is done to the values of one crop.</summary>
    public void Distort(Distortion distortion)
    {
        Change(distortion.Color);
        if (distortion.BlurSigma is float sigma) Blur(sigma);
        if (distortion.Solarize) Solarize();
    }

    public abstract void Dispose();
}

/// <summary>8-bit RGB: every step rounds to 8 bit as Pillow does.</summary>
internal sealed class RgbRaster : Raster
{
    private const int Channels = 3;
    private const float Scale = 1f / 255; // multiplied, not divided, as the original does

    private readonly byte[] _pixels;

    private RgbRaster(int width, int height)
        : base(width, height)
    {
        _pixels = ArrayPool<byte>.Shared.Rent(checked(width * height * Channels));
    }

    private Span<byte> Pixels => _pixels.AsSpan(0, Width * Height * Channels);

    public static RgbRaster From(ImageBuffer image, ValueRange? range)
    {
        var raster = new RgbRaster(image.Width, image.Height);
        image.ToRgb8(range).Bytes.CopyTo(raster.Pixels);
        return raster;
    }

    public override RgbRaster Cut(CropWindow window, int size)
    {
        var result = new RgbRaster(size, size);
        Resize.UInt8(
            Pixels, Width, Height, Channels, new PixelWindow(window.Left, window.Top, window.Width, window.Height), result.Pixels, size, size, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        return result;
    }

    public override void Flip() => PillowColor.FlipHorizontal(Pixels, Width, Channels);

    public override void Change(ColorChange color)
    {
        foreach (ColorOperation operation in color.Jitter?.Order ?? [])
        {
            switch (operation)
            {
                case ColorOperation.Brightness: PillowColor.Brightness(Pixels, color.Jitter!.Brightness); break;
                case ColorOperation.Contrast: PillowColor.Contrast(Pixels, Channels, color.Jitter!.Contrast); break;
                case ColorOperation.Saturation: PillowColor.Saturation(Pixels, color.Jitter!.Saturation); break;
                default: PillowColor.Hue(Pixels, color.Jitter!.Hue); break;
            }
        }

        if (color.Grayscale) PillowColor.Grayscale(Pixels);
    }

    public override void Blur(float sigma) => GaussianBlur.Apply(Pixels, Width, Height, Channels, sigma);

    public override void Solarize() => PillowColor.Solarize(Pixels);

    public override void Normalize(Normalization normalization, Span<float> target)
    {
        ReadOnlySpan<byte> pixels = Pixels;
        int plane = Width * Height;
        Span<float> table = stackalloc float[256];
        for (int c = 0; c < Channels; c++)
        {
            float mean = normalization.Mean[c], std = normalization.Std[c];
            for (int v = 0; v < 256; v++) table[v] = (v * Scale - mean) / std;
            Span<float> band = target.Slice(c * plane, plane);
            for (int i = 0, from = c; i < band.Length; i++, from += Channels) band[i] = table[pixels[from]];
        }
    }

    public override void Dispose() => ArrayPool<byte>.Shared.Return(_pixels);
}

/// <summary>
/// Any number of bands as floats: gray, multispectral, 16 bit. Integer samples, and floats that come with a range, lie in [0, 1] and stay there;
/// other floats have no limits. Hue, saturation and the loss of colour mean nothing here and are left out, as is solarising without limits.
/// </summary>
internal sealed class BandRaster : Raster
{
    private readonly float[] _pixels;
    private readonly int _bands;
    private readonly bool _limited;

    private BandRaster(int width, int height, int bands, bool limited)
        : base(width, height)
    {
        (_bands, _limited) = (bands, limited);
        _pixels = ArrayPool<float>.Shared.Rent(checked(width * height * bands));
    }

    private Span<float> Pixels => _pixels.AsSpan(0, Width * Height * _bands);

    /// <exception cref="ImageException">The image has too few bands.</exception>
    public static BandRaster From(ImageBuffer image, int bands, ValueRange? range)
    {
        bool limited = range is not null || image.SampleType != SampleType.Float32;
        ImageBuffer chosen = BandConversion.Select(image, bands, range, bands: null);
        var raster = new BandRaster(image.Width, image.Height, bands, limited);
        Span<float> pixels = raster.Pixels;
        if (chosen.SampleType == SampleType.Float32)
        {
            chosen.Samples<float>().CopyTo(pixels);
        }
        else
        {
            ReadOnlySpan<byte> bytes = chosen.Bytes;
            for (int i = 0; i < pixels.Length; i++) pixels[i] = bytes[i] / 255f;
        }

        raster.Limit();
        return raster;
    }

    public override BandRaster Cut(CropWindow window, int size)
    {
        var result = new BandRaster(size, size, _bands, _limited);
        Resize.Float(
            (ReadOnlySpan<float>)Pixels, Width, Height, _bands, new PixelWindow(window.Left, window.Top, window.Width, window.Height), result.Pixels, size, size, Interpolation.Bicubic);
        result.Limit();
        return result;
    }

    public override void Flip()
    {
        for (int y = 0; y < Height; y++)
        {
            Span<float> row = Pixels.Slice(y * Width * _bands, Width * _bands);
            row.Reverse();
            for (int x = 0; x < Width; x++) row.Slice(x * _bands, _bands).Reverse();
        }
    }

    public override void Change(ColorChange color)
    {
        foreach (ColorOperation operation in color.Jitter?.Order ?? [])
        {
            if (operation == ColorOperation.Brightness)
            {
                foreach (ref float v in Pixels) v *= color.Jitter!.Brightness;
            }
            else if (operation == ColorOperation.Contrast)
            {
                for (int band = 0; band < _bands; band++) Contrast(band, color.Jitter!.Contrast);
            }

            Limit();
        }
    }

    public override void Blur(float sigma) => GaussianBlur.Apply(Pixels, Width, Height, _bands, sigma);

    public override void Solarize()
    {
        if (!_limited) return;
        foreach (ref float v in Pixels)
        {
            if (v >= 0.5f) v = 1 - v;
        }
    }

    public override void Normalize(Normalization normalization, Span<float> target)
    {
        ReadOnlySpan<float> pixels = Pixels;
        int plane = Width * Height;
        for (int c = 0; c < _bands; c++)
        {
            float mean = normalization.Mean[c], std = normalization.Std[c];
            for (int i = 0; i < plane; i++) target[c * plane + i] = (pixels[i * _bands + c] - mean) / std;
        }
    }

    public override void Dispose() => ArrayPool<float>.Shared.Return(_pixels);

    private void Contrast(int band, float factor)
    {
        Span<float> pixels = Pixels;
        double sum = 0;
        for (int i = band; i < pixels.Length; i += _bands) sum += pixels[i];
        float mean = (float)(sum / (Width * Height));
        for (int i = band; i < pixels.Length; i += _bands) pixels[i] = mean + factor * (pixels[i] - mean);
    }

    private void Limit()
    {
        if (!_limited) return;
        foreach (ref float v in Pixels) v = Math.Clamp(v, 0, 1);
    }
}
