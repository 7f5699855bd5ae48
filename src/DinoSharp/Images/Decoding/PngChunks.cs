using System.Buffers.Binary;
using System.Text;

namespace DinoSharp.Images.Decoding;

/// <summary>Says what is wrong with a PNG that could not be decoded; the library's own words are "read error".</summary>
internal static class PngChunks
{
    private static readonly uint[] CrcTable = MakeTable();

    /// <summary>The first chunk that is cut off or has a wrong checksum; null if all are whole.</summary>
    public static string? FindDamage(ReadOnlySpan<byte> file)
    {
        for (int at = 8; at < file.Length;)
        {
            if (file.Length - at < 12) return $"the file ends inside a chunk header at byte {at:N0}";
            uint length = BinaryPrimitives.ReadUInt32BigEndian(file[at..]);
            string type = Encoding.ASCII.GetString(file.Slice(at + 4, 4));
            if (!type.All(char.IsAsciiLetter)) return $"there is no chunk at byte {at:N0} where one belongs";
            if (length > file.Length - at - 12) return $"the file ends inside the chunk {type} at byte {at:N0}, which needs {length + 12 - (file.Length - at):N0} bytes more";
            if (Crc(file.Slice(at + 4, (int)length + 4)) != BinaryPrimitives.ReadUInt32BigEndian(file[(at + 8 + (int)length)..]))
                return $"the chunk {type} at byte {at:N0} has a wrong checksum";
            if (type == "IEND") return null;
            at += (int)length + 12;
        }

        return "the file ends before its end chunk (IEND)";
    }

    /// <summary>The checksum of a chunk: of its type and data.</summary>
    public static uint Crc(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data) crc = CrcTable[(byte)(crc ^ b)] ^ crc >> 8;
        return ~crc;
    }

    private static uint[] MakeTable()
    {
        uint[] table = new uint[256];
        for (uint n = 0; n < 256; n++)
        {
            uint c = n;
            for (int bit = 0; bit < 8; bit++) c = (c & 1) != 0 ? 0xEDB88320 ^ c >> 1 : c >> 1;
            table[n] = c;
        }

        return table;
    }
}
