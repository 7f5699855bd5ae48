using System.Runtime.InteropServices;

namespace DinoSharp.Images;

/// <summary>The bands of a picture for a model of any number of channels: 8-bit samples as they are, others as floats of 0 … 1.</summary>
internal static class BandConversion
{
    /// <summary>
    /// Takes bands by number, by default the first ones. 16-bit samples are divided by 65535 and floats are taken as they are unless a range says
    /// which values are 0 and 1; nothing is clipped. A sample that is not finite becomes 0. The one band of a coloured picture is its luminance (ITU-R 601-2, as Pillow's <c>convert("L")</c>).
    /// </summary>
    public static ImageBuffer Select(ImageBuffer image, int channels, ValueRange? range, IReadOnlyList<int>? bands)
    {
        ImageInfo info = image.Info;
        if (channels == 1 && bands is null && info is { Color: ColorModel.Rgb, Channels: >= 3 } or { Color: ColorModel.Cmyk, Channels: >= 4 }) return Luminance(image, range);
        if (bands is null && info.Channels - (info.HasAlpha ? 1 : 0) < channels)
            throw new ImageException(info.Name, $"the model takes {channels} bands, the picture has {info.Channels}{(info.HasAlpha ? " (the last is alpha)" : "")}");
        if (bands is not null && bands.Count != channels) throw new ImageException(info.Name, $"the model takes {channels} bands, {bands.Count} are named");
        int[] chosen = bands is null ? [.. Enumerable.Range(0, channels)] : [.. bands];
        if (chosen.Any(b => b < 0 || b >= info.Channels)) throw new ImageException(info.Name, $"the picture has the bands 0 … {info.Channels - 1}, not {string.Join(", ", chosen)}");

        bool bytes = info.SampleType == SampleType.UInt8 && range is null;
        ImageInfo result = info with { Channels = channels, SampleType = bytes ? SampleType.UInt8 : SampleType.Float32, Color = ColorModel.MultiBand, HasAlpha = false };
        if (result.ByteCount > System.Array.MaxLength) throw new ImageException(info.Name, $"{info.Width}×{info.Height} with {channels} float bands needs more than 2 GiB; cut it into tiles first");
        byte[] data = GC.AllocateUninitializedArray<byte>((int)result.ByteCount);
        if (bytes) Take(image.Bytes, info.Channels, chosen, data.AsSpan(), v => v);
        else Scale(image, chosen, range, MemoryMarshal.Cast<byte, float>(data.AsSpan()));
        return new ImageBuffer(result, data);
    }

    private static ImageBuffer Luminance(ImageBuffer image, ValueRange? range)
    {
        ImageBuffer rgb = image.Info.Color == ColorModel.Cmyk ? image.ToRgb8(range) : Select(image, 3, range, bands: null);
        ImageInfo result = rgb.Info with { Channels = 1, Color = ColorModel.Gray };
        byte[] data = GC.AllocateUninitializedArray<byte>((int)result.ByteCount);
        if (rgb.SampleType == SampleType.UInt8)
        {
            ReadOnlySpan<byte> from = rgb.Bytes;
            for (int i = 0; i < data.Length; i++) data[i] = PillowColor.Luminance(from[3 * i], from[3 * i + 1], from[3 * i + 2]);
        }
        else
        {
            ReadOnlySpan<float> from = rgb.Samples<float>();
            Span<float> gray = MemoryMarshal.Cast<byte, float>(data.AsSpan());
            for (int i = 0; i < gray.Length; i++) gray[i] = 0.299f * from[3 * i] + 0.587f * from[3 * i + 1] + 0.114f * from[3 * i + 2];
        }

        return new ImageBuffer(result, data);
    }

    private static void Scale(ImageBuffer image, int[] chosen, ValueRange? range, Span<float> result)
    {
        double low = range?.Low ?? 0, high = range?.High ?? image.SampleType switch { SampleType.UInt8 => 255, SampleType.UInt16 => 65535, _ => 1 };
        double factor = 1 / (high - low);
        if (!double.IsFinite(factor)) throw new ImageException(image.Info.Name, $"the value range {low} … {high} is empty or not finite");
        switch (image.SampleType)
        {
            case SampleType.UInt8: Take(image.Bytes, image.Channels, chosen, result, v => (float)((v - low) * factor)); break;
            case SampleType.UInt16: Take(image.Samples<ushort>(), image.Channels, chosen, result, v => (float)((v - low) * factor)); break;
            default: Take(image.Samples<float>(), image.Channels, chosen, result, v => float.IsFinite(v) ? (float)((v - low) * factor) : 0); break;
        }
    }

    private static void Take<TFrom, TTo>(ReadOnlySpan<TFrom> samples, int channels, int[] chosen, Span<TTo> result, Func<TFrom, TTo> convert)
    {
        for (int i = 0, o = 0; o < result.Length; i += channels)
        {
            foreach (int band in chosen) result[o++] = convert(samples[i + band]);
        }
    }
}
