using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace DinoSharp.Tests.Weights;

/// <summary>Writes the bytes of a pickle opcode by opcode, so that tests can make every file that torch.save can, and every file that it cannot.</summary>
internal sealed class PickleBuilder
{
    private readonly MemoryStream _bytes = new();

    public PickleBuilder(int protocol = 2) => Op(0x80, (byte)protocol);

    public PickleBuilder Op(params ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public PickleBuilder Op(char code) => Op((byte)code);

    public PickleBuilder Op(char code, byte operand) => Op((byte)code, operand);

    public PickleBuilder Global(string module, string name) => Op('c').Op(Encoding.UTF8.GetBytes($"{module}\n{name}\n"));

    public PickleBuilder Text(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        return Op('X').Op(BitConverter.GetBytes(bytes.Length)).Op(bytes);
    }

    public PickleBuilder Int(long value)
    {
        if (value is >= int.MinValue and <= int.MaxValue) return Op('J').Op(BitConverter.GetBytes((int)value));
        return Op(0x8A, 8).Op(BitConverter.GetBytes(value));
    }

    public PickleBuilder Double(double value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleBigEndian(bytes, value);
        return Op('G').Op(bytes);
    }

    public PickleBuilder Numbers(params ReadOnlySpan<long> values)
    {
        Op('(');
        foreach (long value in values) Int(value);
        return Op('t');
    }

    public PickleBuilder OrderedDictionary() => Global("collections", "OrderedDict").Op(')').Op('R');

    /// <summary>A tensor as torch.save describes it.</summary>
    public PickleBuilder Tensor(string key, long count, long offset, long[] shape, long[] strides, string storage = "FloatStorage", bool legacy = false)
    {
        Global("torch._utils", "_rebuild_tensor_v2").Op('(').Storage(key, count, storage, legacy);
        return Int(offset).Numbers(shape).Numbers(strides).Op(0x89).OrderedDictionary().Op('t').Op('R');
    }

    public PickleBuilder Storage(string key, long count, string storage = "FloatStorage", bool legacy = false)
    {
        Op('(').Text("storage").Global("torch", storage).Text(key).Text("cpu").Int(count);
        if (legacy) Op('N');
        return Op('t').Op('Q');
    }

    public byte[] Stop() => Op('.')._bytes.ToArray();

    public byte[] Bytes() => _bytes.ToArray();
}

/// <summary>Wraps pickles and storages into the two containers of torch.save.</summary>
internal static class PthBuilder
{
    public static byte[] Zip(byte[] pickle, params ReadOnlySpan<(string Name, byte[] Content)> members)
    {
        List<(string Name, byte[] Content)> all = [("archive/data.pkl", pickle), ("archive/byteorder", "little"u8.ToArray()), .. members, ("archive/version", "3\n"u8.ToArray())];
        return ZipOf(CompressionLevel.NoCompression, [.. all]);
    }

    public static byte[] ZipOf(CompressionLevel level, params ReadOnlySpan<(string Name, byte[] Content)> members)
    {
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach ((string name, byte[] content) in members)
            {
                using Stream entry = archive.CreateEntry(name, level).Open();
                entry.Write(content);
            }
        }

        return stream.ToArray();
    }

    public static byte[] Legacy(byte[] pickle, bool littleEndian = true, params ReadOnlySpan<(string Key, long Count, byte[] Content)> storages)
    {
        using var stream = new MemoryStream();
        stream.Write([0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]);
        stream.Write(new PickleBuilder().Op('M').Op(0xE9, 0x03).Stop());
        stream.Write(new PickleBuilder().Op('}').Op('(').Text("protocol_version").Int(1001).Text("little_endian").Op((byte)(littleEndian ? 0x88 : 0x89)).Op('u').Stop());
        stream.Write(pickle);
        PickleBuilder keys = new PickleBuilder().Op(']').Op('(');
        foreach ((string key, _, _) in storages) keys.Text(key);
        stream.Write(keys.Op('e').Stop());
        foreach ((_, long count, byte[] content) in storages)
        {
            stream.Write(BitConverter.GetBytes(count));
            stream.Write(content);
        }

        return stream.ToArray();
    }
}
