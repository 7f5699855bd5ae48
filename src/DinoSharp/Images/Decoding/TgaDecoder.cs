using System.Buffers.Binary;

namespace DinoSharp.Images.Decoding;

/// <summary>Targa pictures: gray, palette and true colour, plain or run-length coded.</summary>
internal sealed class TgaDecoder(DecoderInput input) : Decoder(input)
{
    private const int HeaderSize = 18;

    /// <summary>Targa has no signature at its start: every field must make sense, so that no text or noise passes for one.</summary>
    public static bool HasHeader(ReadOnlySpan<byte> file)
    {
        if (file.Length < HeaderSize) return false;
        int palette = file[1], type = file[2], paletteBits = file[7], bits = file[16], descriptor = file[17];
        bool kind = type switch
        {
            1 or 9 => palette == 1 && bits == 8 && paletteBits is 15 or 16 or 24 or 32,
            2 or 10 => bits is 15 or 16 or 24 or 32,
            3 or 11 => bits == 8,
            _ => false,
        };
        return kind && palette <= 1 && (descriptor & 0xC0) == 0 && (descriptor & 15) is 0 or 1 or 8
            && BinaryPrimitives.ReadUInt16LittleEndian(file[12..]) > 0 && BinaryPrimitives.ReadUInt16LittleEndian(file[14..]) > 0;
    }

    public override ImageInfo ReadInfo()
    {
        ReadOnlySpan<byte> h = Input.Content.Span;
        int type = h[2] & 7, bits = type == 1 ? h[7] : h[16];
        bool alpha = bits == 32;
        return new ImageInfo
        {
            Name = Input.Name,
            Format = ImageFormat.Tga,
            Width = BinaryPrimitives.ReadUInt16LittleEndian(h[12..]),
            Height = BinaryPrimitives.ReadUInt16LittleEndian(h[14..]),
            Channels = type == 3 ? 1 : alpha ? 4 : 3,
            Color = type == 3 ? ColorModel.Gray : ColorModel.Rgb,
            HasAlpha = alpha && type != 3,
        };
    }

    public override ImageBuffer Decode()
    {
        ImageInfo info = ReadInfo();
        byte[] pixels = Allocate(info);
        ReadOnlySpan<byte> file = Input.Content.Span;
        int type = file[2], entries = file[1] == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(file[5..]) : 0, entry = (file[7] + 7) / 8;
        int first = BinaryPrimitives.ReadUInt16LittleEndian(file[3..]);
        int paletteAt = HeaderSize + file[0], dataAt = paletteAt + entries * entry;
        if (file.Length < dataAt) throw Truncated(dataAt, file.Length);

        int unit = (file[16] + 7) / 8, total = checked((int)info.PixelCount) * unit;
        string? damage = null;
        ReadOnlySpan<byte> raw = type >= 9 ? Expand(file[dataAt..], unit, total) : file.Slice(dataAt, Math.Min(total, file.Length - dataAt));
        if (TruncatedUnlessAllowed(total, raw.Length, ref damage) is { } error) throw error;

        pixels.AsSpan().Clear();
        bool fromTop = (file[17] & 0x20) != 0, fromRight = (file[17] & 0x10) != 0;
        for (int i = 0; i < raw.Length / unit; i++)
        {
            int x = i % info.Width, y = i / info.Width;
            int to = ((fromTop ? y : info.Height - 1 - y) * info.Width + (fromRight ? info.Width - 1 - x : x)) * info.Channels;
            if ((type & 7) == 3)
            {
                pixels[to] = raw[i];
            }
            else if ((type & 7) == 1)
            {
                int index = raw[i] - first;
                if (index < 0 || index >= entries) throw Fail($"the Targa file is damaged: palette entry {raw[i]} does not exist");
                Color(file.Slice(paletteAt + index * entry, entry), pixels.AsSpan(to, info.Channels));
            }
            else
            {
                Color(raw.Slice(i * unit, unit), pixels.AsSpan(to, info.Channels));
            }
        }

        return new ImageBuffer(info with { Damage = damage }, pixels);
    }

    private static void Color(ReadOnlySpan<byte> bgr, Span<byte> rgb)
    {
        if (bgr.Length == 2)
        {
            int v = BinaryPrimitives.ReadUInt16LittleEndian(bgr);
            for (int c = 0; c < 3; c++) rgb[c] = (byte)(((v >> (10 - 5 * c)) & 31) * 255 / 31);
            return;
        }

        (rgb[0], rgb[1], rgb[2]) = (bgr[2], bgr[1], bgr[0]);
        if (rgb.Length == 4) rgb[3] = bgr[3];
    }

    /// <summary>Run-length packets; as many bytes as the data give, at most <paramref name="total"/>.</summary>
    private static ReadOnlySpan<byte> Expand(ReadOnlySpan<byte> data, int unit, int total)
    {
        byte[] raw = GC.AllocateUninitializedArray<byte>(total);
        int from = 0, to = 0;
        while (to < total && from < data.Length)
        {
            int count = (data[from] & 127) + 1;
            bool run = data[from++] >= 128;
            if (from + (run ? unit : 1) > data.Length) break;
            int length = Math.Min(count * unit, total - to);
            if (run)
            {
                for (int i = 0; i < length; i++) raw[to + i] = data[from + i % unit];
                from += unit;
            }
            else
            {
                length = Math.Min(length, data.Length - from);
                data.Slice(from, length).CopyTo(raw.AsSpan(to));
                from += length;
            }

            to += length;
        }

        return raw.AsSpan(0, to);
    }
}
