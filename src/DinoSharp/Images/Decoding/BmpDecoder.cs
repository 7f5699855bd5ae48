using System.Buffers.Binary;
using System.Numerics;

namespace DinoSharp.Images.Decoding;

/// <summary>Windows and OS/2 bitmaps. libvips reads none, and the format is small enough to read here in managed code.</summary>
internal sealed class BmpDecoder(DecoderInput input) : Decoder(input)
{
    private const int FileHeader = 14;

    private enum Compression
    {
        None = 0,
        Rle8 = 1,
        Rle4 = 2,
        BitFields = 3,
        AlphaBitFields = 6,
    }

    /// <summary>Whether the sizes after "BM" are those of a bitmap.</summary>
    public static bool HasHeader(ReadOnlySpan<byte> file) =>
        file.Length >= FileHeader + 12 && BinaryPrimitives.ReadUInt32LittleEndian(file[FileHeader..]) is 12 or 16 or 40 or 52 or 56 or 64 or 108 or 124;

    public override ImageInfo ReadInfo() => Read().Info;

    public override ImageBuffer Decode()
    {
        Header header = Read();
        byte[] pixels = Allocate(header.Info);
        pixels.AsSpan().Clear();
        string? damage = null;
        ReadOnlySpan<byte> data = Input.Content.Span[Math.Min(header.DataOffset, Input.Content.Length)..];
        if (header.Compression is Compression.Rle8 or Compression.Rle4)
        {
            damage = UnpackRuns(header, data, pixels);
            if (damage is not null && !Input.Options.AllowDamaged) throw Fail($"the BMP file is truncated or damaged: {damage}");
        }
        else
        {
            int stride = checked((int)(((long)header.Info.Width * header.Bits + 31) / 32 * 4));
            long expected = (long)stride * header.Info.Height;
            if (TruncatedUnlessAllowed(expected, data.Length, ref damage) is { } error) throw error;
            for (int row = 0; row < header.Info.Height && (long)(row + 1) * stride <= data.Length; row++)
                UnpackRow(header, data.Slice(row * stride, stride), Target(header, pixels, row));
        }

        return new ImageBuffer(header.Info with { Damage = damage }, pixels);
    }

    private Header Read()
    {
        ReadOnlySpan<byte> file = Input.Content.Span;
        int size = (int)BinaryPrimitives.ReadUInt32LittleEndian(file[FileHeader..]);
        if (file.Length < FileHeader + size) throw Truncated(FileHeader + size, file.Length);
        ReadOnlySpan<byte> h = file[FileHeader..];
        bool old = size <= 16 && size == 12;
        int width = old ? BinaryPrimitives.ReadUInt16LittleEndian(h[4..]) : BinaryPrimitives.ReadInt32LittleEndian(h[4..]);
        int height = old ? BinaryPrimitives.ReadUInt16LittleEndian(h[6..]) : BinaryPrimitives.ReadInt32LittleEndian(h[8..]);
        int bits = BinaryPrimitives.ReadUInt16LittleEndian(h[(old ? 10 : 14)..]);
        var compression = size >= 40 ? (Compression)BinaryPrimitives.ReadUInt32LittleEndian(h[16..]) : Compression.None;
        bool known = (compression, bits) is (Compression.None, 1 or 2 or 4 or 8 or 16 or 24 or 32) or (Compression.Rle8, 8) or (Compression.Rle4, 4)
            or (Compression.BitFields or Compression.AlphaBitFields, 16 or 32);
        if (!known) throw Fail($"this kind of BMP is not supported: {bits} bits per pixel, compression {(uint)compression}");
        if (width <= 0 || height is 0 or int.MinValue) throw Fail($"the header gives an impossible size, {width}×{height}");

        uint[] masks = Masks(file, size, bits, compression);
        byte[] palette = bits <= 8 ? Palette(file, size, old, bits) : [];
        int channels = masks[3] != 0 ? 4 : 3;
        var info = new ImageInfo
        {
            Name = Input.Name,
            Format = ImageFormat.Bmp,
            Width = width,
            Height = Math.Abs(height),
            Channels = channels,
            Color = ColorModel.Rgb,
            HasAlpha = channels == 4,
        };
        return new Header(info, bits, compression, BottomUp: height > 0, (int)Math.Min(int.MaxValue, BinaryPrimitives.ReadUInt32LittleEndian(file[10..])), masks, palette);
    }

    private uint[] Masks(ReadOnlySpan<byte> file, int headerSize, int bits, Compression compression)
    {
        if (compression is not (Compression.BitFields or Compression.AlphaBitFields))
            return bits == 16 ? [0x7C00, 0x03E0, 0x001F, 0] : [0x00FF0000, 0x0000FF00, 0x000000FF, 0];
        // In the header from version 2 on, right behind it before.
        int count = headerSize >= 56 || compression == Compression.AlphaBitFields ? 4 : 3, at = FileHeader + 40;
        if (file.Length < at + 4 * count) throw Truncated(at + 4 * count, file.Length);
        uint[] masks = new uint[4];
        for (int i = 0; i < count; i++) masks[i] = BinaryPrimitives.ReadUInt32LittleEndian(file[(at + 4 * i)..]);
        return masks;
    }

    private byte[] Palette(ReadOnlySpan<byte> file, int headerSize, bool old, int bits)
    {
        int entry = old ? 3 : 4, used = headerSize >= 40 ? (int)Math.Min(int.MaxValue, BinaryPrimitives.ReadUInt32LittleEndian(file[(FileHeader + 32)..])) : 0;
        int count = used is > 0 and <= 256 ? used : 1 << bits, at = FileHeader + headerSize;
        int end = (int)Math.Min(int.MaxValue, BinaryPrimitives.ReadUInt32LittleEndian(file[10..]));
        if (end > at) count = Math.Min(count, Math.Max(1, (end - at) / entry));
        if (file.Length < at + count * entry) throw Truncated(at + count * entry, file.Length);
        byte[] palette = new byte[256 * 3]; // an index without an entry is black
        for (int i = 0; i < Math.Min(count, 256); i++)
        {
            for (int c = 0; c < 3; c++) palette[i * 3 + c] = file[at + i * entry + 2 - c];
        }

        return palette;
    }

    private static Span<byte> Target(Header header, byte[] pixels, int row)
    {
        int stride = header.Info.Width * header.Info.Channels;
        return pixels.AsSpan((header.BottomUp ? header.Info.Height - 1 - row : row) * stride, stride);
    }

    private static void UnpackRow(Header header, ReadOnlySpan<byte> row, Span<byte> to)
    {
        switch (header.Bits)
        {
            case <= 8:
                int perByte = 8 / header.Bits, mask = (1 << header.Bits) - 1;
                for (int x = 0; x < header.Info.Width; x++)
                    header.Color(row[x / perByte] >> (8 - header.Bits * (x % perByte + 1)) & mask, to[(x * 3)..]);
                break;
            case 24:
                for (int i = 0; i < to.Length; i += 3)
                {
                    to[i] = row[i + 2];
                    to[i + 1] = row[i + 1];
                    to[i + 2] = row[i];
                }

                break;
            default:
                int bytes = header.Bits / 8, channels = header.Info.Channels;
                for (int x = 0; x < header.Info.Width; x++)
                {
                    uint value = bytes == 2 ? BinaryPrimitives.ReadUInt16LittleEndian(row[(x * 2)..]) : BinaryPrimitives.ReadUInt32LittleEndian(row[(x * 4)..]);
                    for (int c = 0; c < channels; c++) to[x * channels + c] = Field(value, header.Masks[c]);
                }

                break;
        }
    }

    // A field of n bits, spread over 0 … 255.
    private static byte Field(uint value, uint mask)
    {
        if (mask == 0) return 0;
        int shift = BitOperations.TrailingZeroCount(mask);
        ulong largest = mask >> shift, field = (value & mask) >> shift;
        return (byte)((field * 255 + largest / 2) / largest);
    }

    /// <summary>Run-length codes: (count, value), or 0 and: 0 end of row, 1 end, 2 skip, n literals. Returns what is wrong, if anything.</summary>
    private static string? UnpackRuns(Header header, ReadOnlySpan<byte> data, byte[] pixels)
    {
        int width = header.Info.Width, x = 0, row = 0, at = 0;
        bool nibbles = header.Bits == 4;
        while (at + 2 <= data.Length)
        {
            int count = data[at], value = data[at + 1];
            at += 2;
            if (count > 0)
            {
                for (int i = 0; i < count; i++)
                {
                    if (x >= width || row >= header.Info.Height) return "a run reaches beyond the picture";
                    header.Color(nibbles ? (i % 2 == 0 ? value >> 4 : value & 15) : value, Target(header, pixels, row)[(x++ * 3)..]);
                }
            }
            else if (value == 0)
            {
                (x, row) = (0, row + 1);
            }
            else if (value == 1)
            {
                return null;
            }
            else if (value == 2)
            {
                if (at + 2 > data.Length) break;
                (x, row) = (x + data[at], row + data[at + 1]);
                at += 2;
            }
            else
            {
                int bytes = nibbles ? (value + 1) / 2 : value;
                if (at + bytes > data.Length) break;
                for (int i = 0; i < value; i++)
                {
                    if (x >= width || row >= header.Info.Height) return "a run reaches beyond the picture";
                    int index = nibbles ? (data[at + i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15 : data[at + i];
                    header.Color(index, Target(header, pixels, row)[(x++ * 3)..]);
                }

                at += bytes + bytes % 2;
            }
        }

        // Some writers leave the end code out.
        return row >= header.Info.Height || (row == header.Info.Height - 1 && x >= width) ? null : "the pixel data end before the picture does";
    }

    private sealed record Header(ImageInfo Info, int Bits, Compression Compression, bool BottomUp, int DataOffset, uint[] Masks, byte[] Palette)
    {
        public void Color(int index, Span<byte> to)
        {
            ReadOnlySpan<byte> color = Palette.AsSpan(index * 3, 3);
            color.CopyTo(to);
        }
    }
}
