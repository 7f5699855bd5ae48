using System.Numerics;

namespace DinoSharp.Images;

/// <summary>Any picture → 8-bit RGB. The rules are those of the official decoder, stated at <see cref="ImageBuffer.ToRgb8"/>.</summary>
internal static class RgbConversion
{
    public static ImageBuffer Convert(ImageBuffer image, ValueRange? range, IReadOnlyList<int>? bands)
    {
        ImageInfo info = image.Info;
        if (range is { } r && (r.High == r.Low || !double.IsFinite(r.High - r.Low)))
            throw new ImageException(info.Name, $"the value range {r.Low} … {r.High} is empty or not finite");
        if (bands is null && range is null && info is { SampleType: SampleType.UInt8, Channels: 3, Color: not ColorModel.Cmyk }) return image;

        byte[] rgb = GC.AllocateUninitializedArray<byte>(checked((int)(info.PixelCount * 3)));
        if (info.Color == ColorModel.Cmyk && info.Channels >= 4 && bands is null)
            CmykToRgb(info.SampleType == SampleType.UInt8 ? image.Bytes : ToBytes(image, range), info.Channels, rgb);
        else
            TakeBands(image, range, ChooseBands(info, bands), rgb);

        ImageInfo result = info with
        {
            Channels = 3,
            SampleType = SampleType.UInt8,
            Color = ColorModel.Rgb,
            HasAlpha = false,
            DisplayRange = null,
        };
        return new ImageBuffer(result, rgb);
    }

    private static int[] ChooseBands(ImageInfo info, IReadOnlyList<int>? bands)
    {
        if (bands is null)
        {
            bool gray = info.Color == ColorModel.Gray || info.Channels < 3;
            return gray ? [0, 0, 0] : [0, 1, 2];
        }

        if (bands.Count is not (1 or 3)) throw new ImageException(info.Name, $"name one band for gray or three for red, green and blue, not {bands.Count}");
        foreach (int band in bands)
        {
            if (band < 0 || band >= info.Channels)
                throw new ImageException(info.Name, $"there is no band {band}; the picture has {info.Channels}, counted from 0");
        }

        return bands.Count == 1 ? [bands[0], bands[0], bands[0]] : [.. bands];
    }

    private static void TakeBands(ImageBuffer image, ValueRange? range, int[] bands, byte[] rgb)
    {
        int channels = image.Channels;
        switch (image.SampleType)
        {
            case SampleType.UInt8 when range is null:
                ReadOnlySpan<byte> bytes = image.Bytes;
                if (channels == 1)
                {
                    for (int i = 0, o = 0; i < bytes.Length; i++, o += 3) rgb[o] = rgb[o + 1] = rgb[o + 2] = bytes[i];
                }
                else
                {
                    for (int i = 0, o = 0; o < rgb.Length; i += channels, o += 3)
                    {
                        rgb[o] = bytes[i + bands[0]];
                        rgb[o + 1] = bytes[i + bands[1]];
                        rgb[o + 2] = bytes[i + bands[2]];
                    }
                }

                break;
            case SampleType.UInt8:
                Map(image.Bytes, channels, bands, Table(256, range.Value), rgb);
                break;
            case SampleType.UInt16:
                Map(image.Samples<ushort>(), channels, bands, Table16(range ?? image.Info.DisplayRange ?? SensorRange(image, bands)), rgb);
                break;
            default:
                ReadOnlySpan<float> samples = image.Samples<float>();
                ValueRange span = range ?? image.Info.DisplayRange ?? FiniteRange(samples, channels, bands);
                for (int i = 0, o = 0; o < rgb.Length; i += channels, o += 3)
                {
                    for (int c = 0; c < 3; c++) rgb[o + c] = Scale(samples[i + bands[c]], span);
                }

                break;
        }
    }

    private static void Map<T>(ReadOnlySpan<T> samples, int channels, int[] bands, byte[] table, byte[] rgb)
        where T : unmanaged, IBinaryInteger<T>
    {
        for (int i = 0, o = 0; o < rgb.Length; i += channels, o += 3)
        {
            for (int c = 0; c < 3; c++) rgb[o + c] = table[int.CreateTruncating(samples[i + bands[c]])];
        }
    }

    // Without a range: the high byte, as Pillow takes it of 16-bit RGB.
    private static byte[] Table16(ValueRange? range) => range is { } r ? Table(65536, r) : [.. Enumerable.Range(0, 65536).Select(v => (byte)(v >> 8))];

    // PNG and the like spread samples over all 16 bits. Sensors and scanners that write TIFF often use 8, 12 or 14 of them, and the high byte would be black.
    private static ValueRange? SensorRange(ImageBuffer image, int[] bands)
    {
        if (image.Info.Format != ImageFormat.Tiff) return null;
        int largest = 0;
        ReadOnlySpan<ushort> samples = image.Samples<ushort>();
        foreach (int band in bands.Distinct())
        {
            for (int i = band; i < samples.Length; i += image.Channels) largest = Math.Max(largest, samples[i]);
        }

        return largest < 1 << 8 ? new ValueRange(0, 255) : largest < 1 << 12 ? new ValueRange(0, 4095) : largest < 1 << 14 ? new ValueRange(0, 16383) : null;
    }

    private static byte[] Table(int length, ValueRange range)
    {
        byte[] table = new byte[length];
        for (int v = 0; v < length; v++) table[v] = Scale(v, range);
        return table;
    }

    private static byte Scale(double value, ValueRange range)
    {
        double scaled = (value - range.Low) / (range.High - range.Low) * 255 + 0.5;
        return scaled >= 255 ? (byte)255 : scaled >= 0 ? (byte)scaled : (byte)0; // NaN fails both comparisons: black
    }

    private static ValueRange FiniteRange(ReadOnlySpan<float> samples, int channels, int[] bands)
    {
        float low = float.PositiveInfinity, high = float.NegativeInfinity;
        foreach (int band in bands.Distinct())
        {
            for (int i = band; i < samples.Length; i += channels)
            {
                if (!float.IsFinite(samples[i])) continue;
                low = Math.Min(low, samples[i]);
                high = Math.Max(high, samples[i]);
            }
        }

        return low >= 0 && high <= 1 ? new ValueRange(0, 1) : high > low ? new ValueRange(low, high) : new ValueRange(float.IsFinite(low) ? low : 0, (float.IsFinite(low) ? low : 0) + 1.0);
    }

    private static byte[] ToBytes(ImageBuffer image, ValueRange? range)
    {
        if (image.SampleType != SampleType.UInt16) throw new ImageException(image.Info.Name, "CMYK with float samples is not supported; convert it to 8 or 16 bit");
        byte[] table = Table16(range);
        ReadOnlySpan<ushort> samples = image.Samples<ushort>();
        byte[] bytes = new byte[samples.Length];
        for (int i = 0; i < bytes.Length; i++) bytes[i] = table[samples[i]];
        return bytes;
    }

    /// <summary>Ink to light as Pillow computes it, 0 = no ink.</summary>
    private static void CmykToRgb(ReadOnlySpan<byte> cmyk, int channels, byte[] rgb)
    {
        for (int i = 0, o = 0; o < rgb.Length; i += channels, o += 3)
        {
            int paper = 255 - cmyk[i + 3];
            for (int c = 0; c < 3; c++)
            {
                int t = cmyk[i + c] * paper + 128;
                rgb[o + c] = (byte)Math.Max(0, paper - ((t + (t >> 8)) >> 8));
            }
        }
    }
}
