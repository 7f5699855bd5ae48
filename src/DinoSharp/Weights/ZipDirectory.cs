using System.Buffers.Binary;
using System.Text;

namespace DinoSharp.Weights;

/// <summary>
/// The members of an uncompressed zip file, to be used in place. Sizes come from the central directory alone (PyTorch leaves them zero in
/// the local headers), data offsets from the local headers alone (their padding differs). Compressed, encrypted, overlapping or repeated
/// members are refused, so no member is larger than the file.
/// </summary>
internal static class ZipDirectory
{
    private const int EndBytes = 22, Locator64Bytes = 20, End64Bytes = 56, CentralBytes = 46, LocalBytes = 30;
    private const long MaxDirectoryBytes = 64 << 20;

    /// <summary>Reads the directory: name → offset and length of the stored bytes.</summary>
    public static Dictionary<string, (long Offset, long Length)> Read(MappedFile file)
    {
        (long count, long length, long offset) = FindDirectory(file);
        using MappedRange directory = file.Map(offset, (int)length);
        ReadOnlySpan<byte> rest = directory.Bytes;
        var members = new Dictionary<string, (long Offset, long Length)>(StringComparer.Ordinal);
        var ranges = new List<(long Start, long End, string Name)>();
        for (long i = 0; i < count; i++)
        {
            if (rest.Length < CentralBytes || BinaryPrimitives.ReadUInt32LittleEndian(rest) != 0x02014B50)
                throw Damaged(file, "the directory ends early or is no directory");
            int nameLength = UInt16(rest, 28), extraLength = UInt16(rest, 30), next = CentralBytes + nameLength + extraLength + UInt16(rest, 32);
            if (rest.Length < next) throw Damaged(file, "the directory ends early");
            string name = Encoding.UTF8.GetString(rest.Slice(CentralBytes, nameLength));
            if ((UInt16(rest, 8) & 1) != 0) throw Damaged(file, $"member '{name}' is encrypted");
            if (UInt16(rest, 10) != 0)
                throw Damaged(file, $"member '{name}' is compressed (method {UInt16(rest, 10)}); torch.save stores members uncompressed");
            (long stored, long full, long header) = Sizes(file, rest, rest.Slice(CentralBytes + nameLength, extraLength), name);
            if (stored != full) throw Damaged(file, $"member '{name}' is stored in {stored} bytes but declared to have {full}");
            long start = DataOffset(file, name, header, offset);
            if (full > offset - start) throw Damaged(file, $"member '{name}' has {full} bytes and does not fit into the file: truncated?");
            if (!members.TryAdd(name, (start, full))) throw Damaged(file, $"member '{name}' is there twice");
            ranges.Add((header, start + full, name));
            rest = rest[next..];
        }

        ranges.Sort();
        for (int i = 1; i < ranges.Count; i++)
        {
            if (ranges[i].Start < ranges[i - 1].End) throw Damaged(file, $"members '{ranges[i - 1].Name}' and '{ranges[i].Name}' overlap");
        }

        return members;
    }

    private static (long Count, long Length, long Offset) FindDirectory(MappedFile file)
    {
        int tailLength = (int)Math.Min(file.Length, EndBytes + ushort.MaxValue);
        byte[] tail = file.ReadBytes(file.Length - tailLength, tailLength);
        int at = tailLength - EndBytes;
        while (at >= 0 && !(BinaryPrimitives.ReadUInt32LittleEndian(tail.AsSpan(at)) == 0x06054B50 && UInt16(tail, at + 20) == tailLength - at - EndBytes))
            at--;
        if (at < 0) throw Damaged(file, "there is no directory at its end: truncated?");
        long end = file.Length - tailLength + at;
        (long count, long length, long offset) = (UInt16(tail, at + 10), UInt32(tail, at + 12), UInt32(tail, at + 16));
        if (UInt16(tail, at + 4) is not (0 or ushort.MaxValue)) throw Damaged(file, "it is one part of a split archive");

        byte[] locator = end >= Locator64Bytes ? file.ReadBytes(end - Locator64Bytes, Locator64Bytes) : [];
        if (locator.Length > 0 && UInt32(locator, 0) == 0x07064B50)
        {
            long at64 = Int64(file, locator, 8);
            if (at64 > end - Locator64Bytes - End64Bytes) throw Damaged(file, "the end record lies outside the file");
            byte[] end64 = file.ReadBytes(at64, End64Bytes);
            if (UInt32(end64, 0) != 0x06064B50) throw Damaged(file, "there is no end record where one is announced");
            (long count64, long length64, long offset64) = (Int64(file, end64, 32), Int64(file, end64, 40), Int64(file, end64, 48));
            if ((count != ushort.MaxValue && count != count64)
                || (length != uint.MaxValue && length != length64)
                || (offset != uint.MaxValue && offset != offset64))
                throw Damaged(file, "its two end records disagree");
            (count, length, offset, end) = (count64, length64, offset64, at64);
        }

        if (offset > end || length > end - offset || length > MaxDirectoryBytes)
            throw Damaged(file, $"a directory of {length} bytes at byte {offset} does not fit");
        if (count > length / CentralBytes) throw Damaged(file, $"{count} members do not fit into a directory of {length} bytes");
        return (count, length, offset);
    }

    private static (long Stored, long Full, long Header) Sizes(MappedFile file, ReadOnlySpan<byte> entry, ReadOnlySpan<byte> extra, string name)
    {
        (long stored, long full, long header) = (UInt32(entry, 20), UInt32(entry, 24), UInt32(entry, 42));
        if (stored != uint.MaxValue && full != uint.MaxValue && header != uint.MaxValue) return (stored, full, header);
        while (extra.Length >= 4)
        {
            int length = UInt16(extra, 2);
            if (length > extra.Length - 4) break;
            ReadOnlySpan<byte> field = extra.Slice(4, length);
            if (UInt16(extra, 0) == 1)
            {
                // Only the saturated values are there, in this order.
                if (full == uint.MaxValue) full = Next(ref field);
                if (stored == uint.MaxValue) stored = Next(ref field);
                if (header == uint.MaxValue) header = Next(ref field);
                return (stored, full, header);
            }

            extra = extra[(4 + length)..];
        }

        throw Damaged(file, $"member '{name}' announces a size beyond 4 GB and does not give it");

        long Next(ref ReadOnlySpan<byte> field)
        {
            if (field.Length < 8) throw Damaged(file, $"member '{name}' announces a size beyond 4 GB and does not give it");
            long value = Int64(file, field, 0);
            field = field[8..];
            return value;
        }
    }

    private static long DataOffset(MappedFile file, string name, long header, long directory)
    {
        if (header > directory - LocalBytes) throw Damaged(file, $"member '{name}' lies outside the file");
        byte[] local = file.ReadBytes(header, LocalBytes);
        if (UInt32(local, 0) != 0x04034B50) throw Damaged(file, $"member '{name}' has no header at byte {header}");
        long start = header + LocalBytes + UInt16(local, 26) + UInt16(local, 28);
        if (start > directory) throw Damaged(file, $"member '{name}' lies outside the file");
        if (Encoding.UTF8.GetString(file.ReadBytes(header + LocalBytes, UInt16(local, 26))) != name)
            throw Damaged(file, $"member '{name}' has another name in its own header");
        return start;
    }

    private static ushort UInt16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint UInt32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);

    private static long Int64(MappedFile file, ReadOnlySpan<byte> bytes, int at)
    {
        long value = BinaryPrimitives.ReadInt64LittleEndian(bytes[at..]);
        return value >= 0 ? value : throw Damaged(file, "a size is beyond 2^63");
    }

    private static TensorFileException Damaged(MappedFile file, string problem) => new(file.Path, $"damaged .pth file: as a zip archive, {problem}");
}
