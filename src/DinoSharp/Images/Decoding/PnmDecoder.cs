using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace DinoSharp.Images.Decoding;

/// <summary>PBM, PGM, PPM (plain and binary) and PFM.</summary>
internal sealed class PnmDecoder(DecoderInput input) : Decoder(input)
{
    /// <summary>"P", the kind, white space.</summary>
    public static bool HasHeader(ReadOnlySpan<byte> file) =>
        file.Length >= 8 && file[0] == 'P' && (file[1] is (>= (byte)'1' and <= (byte)'6') or (byte)'F' or (byte)'f') && IsSpace(file[2]);

    public override ImageInfo ReadInfo() => ReadHeader(out _, out _);

    public override ImageBuffer Decode()
    {
        ImageInfo info = ReadHeader(out int at, out double maximum);
        byte[] pixels = Allocate(info);
        pixels.AsSpan().Clear();
        char kind = (char)Input.Content.Span[1];
        ReadOnlySpan<byte> data = Input.Content.Span[Math.Min(at, Input.Content.Length)..];
        string? damage = null;
        long count = info.PixelCount * info.Channels;
        long expected = kind switch
        {
            '4' => (info.Width + 7) / 8 * (long)info.Height,
            'F' or 'f' => count * 4,
            '5' or '6' => count * (maximum > 255 ? 2 : 1),
            _ => count, // plain text: at least one character a sample
        };
        if (TruncatedUnlessAllowed(expected, data.Length, ref damage) is { } error) throw error;

        switch (kind)
        {
            case '1' or '2' or '3': damage ??= ReadText(info, data, kind == '1', maximum, pixels); break;
            case '4': ReadBits(info, data, pixels); break;
            case '5' or '6': ReadIntegers(data, maximum, pixels); break;
            default: ReadFloats(info, data, little: maximum < 0, pixels); break;
        }

        return new ImageBuffer(info with { Damage = damage }, pixels);
    }

    private ImageInfo ReadHeader(out int at, out double maximum)
    {
        ReadOnlySpan<byte> file = Input.Content.Span;
        char kind = (char)file[1];
        at = 2;
        int width = (int)Number(file, ref at), height = (int)Number(file, ref at);
        maximum = kind is '1' or '4' ? 1 : Number(file, ref at, signed: kind is 'F' or 'f');
        bool isFloat = kind is 'F' or 'f';
        if (!isFloat && maximum is < 1 or > 65535) throw Fail($"the largest sample value is {maximum}; it must be 1 … 65535");
        if (!isFloat || at < file.Length) at++; // one white space
        bool color = kind is '3' or '6' or 'F';
        return new ImageInfo
        {
            Name = Input.Name,
            Format = ImageFormat.Pnm,
            Width = width,
            Height = height,
            Channels = color ? 3 : 1,
            Color = color ? ColorModel.Rgb : ColorModel.Gray,
            SampleType = isFloat ? SampleType.Float32 : maximum > 255 ? SampleType.UInt16 : SampleType.UInt8,
        };
    }

    private double Number(ReadOnlySpan<byte> file, ref int at, bool signed = false)
    {
        SkipSpace(file, ref at);
        int start = at;
        while (at < file.Length && !IsSpace(file[at]) && file[at] != '#' && at - start < 32) at++;
        string text = Encoding.ASCII.GetString(file[start..at]);
        bool good = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value);
        if (!good || (!signed && (value < 1 || value > int.MaxValue || value != Math.Floor(value)))) throw Fail($"the header has \"{text}\" where a number belongs");
        return value;
    }

    private static void SkipSpace(ReadOnlySpan<byte> file, ref int at)
    {
        while (at < file.Length && (IsSpace(file[at]) || file[at] == '#'))
        {
            if (file[at] == '#')
            {
                while (at < file.Length && file[at] is not ((byte)'\n' or (byte)'\r')) at++;
            }
            else
            {
                at++;
            }
        }
    }

    private static bool IsSpace(byte b) => b is (byte)' ' or (>= 9 and <= 13);

    private string? ReadText(ImageInfo info, ReadOnlySpan<byte> data, bool bits, double maximum, byte[] pixels)
    {
        int at = 0;
        for (int i = 0; i < info.PixelCount * info.Channels; i++)
        {
            SkipSpace(data, ref at);
            int value = 0, start = at;
            while (at < data.Length && data[at] is >= (byte)'0' and <= (byte)'9' && (!bits || at == start)) value = Math.Min(65536, value * 10 + data[at++] - '0');
            if (at == start || value > maximum)
            {
                if (!Input.Options.AllowDamaged) throw Fail(at >= data.Length ? "the file is truncated: samples are missing at the end" : $"sample {i} is not a number from 0 to {maximum}");
                return $"only {i} of {info.PixelCount * info.Channels} samples could be read";
            }

            if (info.SampleType == SampleType.UInt16) MemoryMarshal.Cast<byte, ushort>(pixels.AsSpan())[i] = (ushort)Stretch(value, maximum, 65535);
            else pixels[i] = bits ? (byte)(value == 0 ? 255 : 0) : (byte)Stretch(value, maximum, 255);
        }

        return null;
    }

    private static void ReadBits(ImageInfo info, ReadOnlySpan<byte> data, byte[] pixels)
    {
        int stride = (info.Width + 7) / 8;
        for (int y = 0; y < info.Height && (y + 1) * stride <= data.Length; y++)
        {
            for (int x = 0; x < info.Width; x++) pixels[y * info.Width + x] = (data[y * stride + x / 8] >> (7 - x % 8) & 1) == 0 ? (byte)255 : (byte)0;
        }
    }

    private static void ReadIntegers(ReadOnlySpan<byte> data, double maximum, byte[] pixels)
    {
        if (maximum > 255)
        {
            Span<ushort> samples = MemoryMarshal.Cast<byte, ushort>(pixels.AsSpan());
            for (int i = 0; i < Math.Min(samples.Length, data.Length / 2); i++)
                samples[i] = (ushort)Stretch(BinaryPrimitives.ReadUInt16BigEndian(data[(2 * i)..]), maximum, 65535);
            return;
        }

        for (int i = 0; i < Math.Min(pixels.Length, data.Length); i++) pixels[i] = (byte)Stretch(data[i], maximum, 255);
    }

    private static void ReadFloats(ImageInfo info, ReadOnlySpan<byte> data, bool little, byte[] pixels)
    {
        Span<float> samples = MemoryMarshal.Cast<byte, float>(pixels.AsSpan());
        int row = info.Width * info.Channels;
        for (int i = 0; i < Math.Min(samples.Length, data.Length / 4); i++)
        {
            int y = info.Height - 1 - i / row; // PFM rows run from the bottom
            samples[y * row + i % row] = little ? BinaryPrimitives.ReadSingleLittleEndian(data[(4 * i)..]) : BinaryPrimitives.ReadSingleBigEndian(data[(4 * i)..]);
        }
    }

    // Samples up to an unusual maximum are spread over the whole range, as readers of the format do.
    private static int Stretch(int value, double maximum, int full) => maximum == full ? value : (int)(Math.Min(value, maximum) * full / maximum + 0.5);
}
