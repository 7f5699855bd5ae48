using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>An ONNX model under construction: nodes in order, weights as initializers. Field numbers are those of onnx.proto3 (ONNX 1.17).</summary>
internal sealed class OnnxWriter
{
    private const int Float = 1, SignedByte = 3, Long = 7;

    private readonly Message _graph = new();
    private int _names;

    public OnnxWriter() => _graph.Text(2, "backbone");

    /// <summary>A weight: float32, int8 or int64.</summary>
    public string Constant(Tensor value)
    {
        using Tensor packed = value.cpu().contiguous();
        string name = NewName("w");
        var tensor = new Message();
        foreach (long size in packed.shape) tensor.Number(1, size);
        tensor.Number(2, packed.dtype switch { ScalarType.Float32 => Float, ScalarType.Int8 => SignedByte, ScalarType.Int64 => Long, _ => throw new ArgumentException($"{packed.dtype}") });
        tensor.Text(8, name);
        tensor.Bytes(9, packed.bytes.ToArray());
        _graph.Child(5, tensor);
        return name;
    }

    /// <summary>A node with one output, whose name is returned.</summary>
    public string Node(string type, string[] inputs, params (string Name, object Value)[] attributes) => Nodes(type, inputs, 1, attributes)[0];

    /// <summary>A node with several outputs.</summary>
    public string[] Nodes(string type, string[] inputs, int outputs, params (string Name, object Value)[] attributes)
    {
        string[] parts = type.Split(':'), names = [.. Enumerable.Range(0, outputs).Select(_ => NewName("x"))];
        var node = new Message();
        foreach (string input in inputs) node.Text(1, input);
        foreach (string output in names) node.Text(2, output);
        node.Text(3, NewName("n"));
        node.Text(4, parts[^1]);
        foreach ((string name, object value) in attributes)
        {
            var attribute = new Message();
            attribute.Text(1, name);
            switch (value)
            {
                case float f:
                    attribute.Single(2, f);
                    attribute.Number(20, 1);
                    break;
                case int i:
                    attribute.Number(3, i);
                    attribute.Number(20, 2);
                    break;
                case int[] list:
                    foreach (int i in list) attribute.Number(8, i);
                    attribute.Number(20, 7);
                    break;
                default:
                    throw new ArgumentException($"{value.GetType()}");
            }

            node.Child(5, attribute);
        }

        if (parts.Length > 1) node.Text(7, parts[0]);
        _graph.Child(1, node);
        return names;
    }

    /// <summary>Another name for a value: a node that copies nothing that matters.</summary>
    public void Rename(string value, string name)
    {
        var node = new Message();
        node.Text(1, value);
        node.Text(2, name);
        node.Text(4, "Identity");
        _graph.Child(1, node);
    }

    public void Input(string name, params long[] shape) => _graph.Child(11, Value(name, shape));

    public void Output(string name, params long[] shape) => _graph.Child(12, Value(name, shape));

    public void Save(string path)
    {
        var model = new Message();
        model.Number(1, 10);
        foreach ((string domain, int version) in new[] { ("", 21), ("com.microsoft", 1) })
        {
            var set = new Message();
            set.Text(1, domain);
            set.Number(2, version);
            model.Child(8, set);
        }

        model.Child(7, _graph);
        using FileStream file = File.Create(path);
        model.WriteTo(file);
    }

    private static Message Value(string name, long[] shape)
    {
        Message sizes = new(), tensor = new(), type = new(), value = new();
        foreach (long size in shape)
        {
            var dimension = new Message();
            dimension.Number(1, size);
            sizes.Child(1, dimension);
        }

        tensor.Number(1, Float);
        tensor.Child(2, sizes);
        type.Child(1, tensor);
        value.Text(1, name);
        value.Child(2, type);
        return value;
    }

    private string NewName(string prefix) => FormattableString.Invariant($"{prefix}{_names++}");

    // A protobuf message as a list of pieces, so that weights of a gigabyte are not copied at every level.
    private sealed class Message
    {
        private readonly List<byte[]> _pieces = [];
        private long _length;

        public void Number(int field, long value)
        {
            Varint((uint)field << 3);
            Varint((ulong)value);
        }

        public void Single(int field, float value)
        {
            Varint(((uint)field << 3) | 5);
            byte[] bytes = new byte[4];
            BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
            Add(bytes);
        }

        public void Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

        public void Bytes(int field, byte[] value)
        {
            Varint(((uint)field << 3) | 2);
            Varint((ulong)value.Length);
            Add(value);
        }

        public void Child(int field, Message child)
        {
            Varint(((uint)field << 3) | 2);
            Varint((ulong)child._length);
            foreach (byte[] piece in child._pieces) Add(piece);
        }

        public void WriteTo(Stream stream)
        {
            foreach (byte[] piece in CollectionsMarshal.AsSpan(_pieces)) stream.Write(piece);
        }

        private void Varint(ulong value)
        {
            Span<byte> bytes = stackalloc byte[10];
            int count = 0;
            while (value >= 0x80)
            {
                bytes[count++] = (byte)(value | 0x80);
                value >>= 7;
            }

            bytes[count++] = (byte)value;
            Add(bytes[..count].ToArray());
        }

        private void Add(byte[] piece)
        {
            _pieces.Add(piece);
            _length += piece.Length;
        }
    }
}
