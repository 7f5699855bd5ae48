using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using DinoSharp.Images.Decoding;

namespace DinoSharp.Images;

/// <summary>PNG files with a palette, of which the entries matter and not the colours. The image library knows only the colours.</summary>
internal static class PalettePng
{
    private const int HeaderEnd = 33, ColorType = 25, PaletteType = 3; // signature, then the header chunk

    private static ReadOnlySpan<byte> Signature => [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A];

    /// <summary>Replaces the palette of a PNG by gray levels that equal the entries, so that any decoder gives them back.</summary>
    /// <param name="file">Any file.</param>
    /// <param name="result">The changed file; undefined if it is no PNG with a palette.</param>
    public static bool TryExposeIndices(ReadOnlyMemory<byte> file, out ReadOnlyMemory<byte> result)
    {
        result = default;
        ReadOnlySpan<byte> bytes = file.Span;
        if (bytes.Length < HeaderEnd || !bytes.StartsWith(Signature) || bytes[ColorType] != PaletteType) return false;
        using var changed = new MemoryStream(bytes.Length + 1024);
        changed.Write(bytes[..HeaderEnd]);
        byte[] levels = [.. Enumerable.Range(0, 256).SelectMany(i => Enumerable.Repeat((byte)i, 3))];
        int entries = bytes[ColorType - 1] switch { 1 => 2, 2 => 4, 4 => 16, _ => 256 };
        WriteChunk(changed, "PLTE", levels.AsSpan(0, entries * 3));
        for (int at = HeaderEnd; at < bytes.Length;)
        {
            // A damaged rest is copied as it is: the decoder describes the damage.
            if (bytes.Length - at < 12) return Finish(bytes[at..], out result);
            long length = BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]) + 12L;
            if (length > bytes.Length - at) return Finish(bytes[at..], out result);
            ReadOnlySpan<byte> chunk = bytes.Slice(at, (int)length);
            if (!chunk.Slice(4, 4).SequenceEqual("PLTE"u8) && !chunk.Slice(4, 4).SequenceEqual("tRNS"u8)) changed.Write(chunk);
            at += (int)length;
        }

        return Finish([], out result);

        bool Finish(ReadOnlySpan<byte> rest, out ReadOnlyMemory<byte> finished)
        {
            changed.Write(rest);
            finished = changed.GetBuffer().AsMemory(0, (int)changed.Length);
            return true;
        }
    }

    /// <summary>The map as an 8-bit PNG with the palette of Pascal VOC.</summary>
    public static byte[] Encode(LabelMap map)
    {
        using var file = new MemoryStream();
        file.Write(Signature);
        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, map.Width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], map.Height);
        (header[8], header[9]) = (8, PaletteType);
        WriteChunk(file, "IHDR", header);
        byte[] palette = new byte[768];
        for (int id = 0; id < 256; id++) (palette[id * 3], palette[(id * 3) + 1], palette[(id * 3) + 2]) = LabelMap.Color((byte)id);
        WriteChunk(file, "PLTE", palette);
        using var compressed = new MemoryStream();
        using (var deflate = new ZLibStream(compressed, CompressionLevel.Optimal, leaveOpen: true))
        {
            for (int y = 0; y < map.Height; y++)
            {
                deflate.WriteByte(0); // no filter: ids are no smooth levels
                deflate.Write(map.Values.Slice(y * map.Width, map.Width));
            }
        }

        WriteChunk(file, "IDAT", compressed.GetBuffer().AsSpan(0, (int)compressed.Length));
        WriteChunk(file, "IEND", []);
        return file.ToArray();
    }

    private static void WriteChunk(MemoryStream file, string type, ReadOnlySpan<byte> data)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        int start = (int)file.Length;
        file.Write(Encoding.ASCII.GetBytes(type));
        file.Write(data);
        BinaryPrimitives.WriteUInt32BigEndian(number, PngChunks.Crc(file.GetBuffer().AsSpan(start, (int)file.Length - start)));
        file.Write(number);
    }
}
