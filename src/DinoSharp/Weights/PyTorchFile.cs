using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>
/// A <c>.pth</c> file written by <c>torch.save</c>: a state dict, or nested dictionaries and lists with tensors in them. Names of nested
/// tensors are joined by dots (<c>teacher.backbone.cls_token</c>). Nothing in the file is executed; see <see cref="PickleReader"/>.
/// </summary>
public sealed class PyTorchFile : TensorFile
{
    private const int MaxPickleBytes = 256 << 20;
    private const int MaxDepth = 64;
    private const int MaxVisits = 1_000_000;
    private const int MaxTexts = 1000;
    private const int MaxNameLength = 1000;

    private readonly MappedFile _file;
    private readonly OrderedDictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, PickleTensor> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, PickleStorage> _storages = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _storageOffsets = new(StringComparer.Ordinal);
    private int _visits;

    internal PyTorchFile(MappedFile file, TensorFileFormat format)
        : base(file.Path, format)
    {
        _file = file;
        Flatten("", format == TensorFileFormat.PyTorchZip ? ReadZip() : ReadLegacy(), 0);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>First bytes of the zip container.</summary>
    internal static ReadOnlySpan<byte> ZipMagic => [0x50, 0x4B, 0x03, 0x04];

    /// <summary>First bytes of the legacy container: a pickle of its magic number.</summary>
    internal static ReadOnlySpan<byte> LegacyMagic => [0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E];

    internal override (MappedFile File, long Offset)? Place(TensorEntry entry) => _tensors[entry.Name] is var tensor && IsContiguous(tensor) ? (_file, Start(tensor)) : null;

    private protected override void Fill(TensorEntry entry, Tensor target)
    {
        PickleTensor tensor = _tensors[entry.Name];
        if (entry.ElementCount == 0) return;
        if (IsContiguous(tensor))
        {
            base.Fill(entry, target);
            return;
        }

        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        Tensor covering = empty((long)LastIndex(tensor) + 1, entry.Type.Scalar()!.Value);
        CopyBytes(_file, Start(tensor), entry.Type, covering);
        target.copy_(covering.as_strided(tensor.Shape, tensor.Strides, 0));
    }

    private long Start(PickleTensor tensor) =>
        _storageOffsets[tensor.Storage.Key] + (tensor.Storage.First * (tensor.Storage.Type?.Bytes() ?? 1)) + (tensor.Offset * tensor.Type.Bytes());

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _file.Dispose();

    private object? ReadZip()
    {
        Dictionary<string, (long Offset, long Length)> members = ZipDirectory.Read(_file);
        string[] pickles = [.. members.Keys.Where(name => name.Split('/') is [_, "data.pkl"])];
        if (pickles.Length != 1)
            throw new TensorFileException(Path, $"this zip archive is no .pth file: it has {pickles.Length} members named <folder>/data.pkl, one is expected");
        string top = pickles[0][..^"data.pkl".Length];
        if (members.Keys.Any(name => name == $"{top}constants.pkl" || name.StartsWith($"{top}code/", StringComparison.Ordinal)))
            throw new TensorFileException(Path, "this is a TorchScript program, which would have to be executed; save the state dict instead");
        if (members.TryGetValue($"{top}byteorder", out (long Offset, long Length) order)
            && (order.Length > 16 || Encoding.ASCII.GetString(_file.ReadBytes(order.Offset, (int)order.Length)) != "little"))
        {
            throw new TensorFileException(Path, "the file was not written on a little-endian machine; save it again on one");
        }

        (long offset, long length) = members[pickles[0]];
        if (length > MaxPickleBytes) throw new TensorFileException(Path, $"its description of {length} bytes is above the limit of {MaxPickleBytes}");
        using MappedRange pickle = _file.Map(offset, (int)length);
        object? root = new PickleReader(pickle.Bytes, Path, _storages).Read();
        foreach ((string key, PickleStorage storage) in _storages)
        {
            if (!members.TryGetValue($"{top}data/{key}", out (long Offset, long Length) member))
                throw new TensorFileException(Path, $"damaged .pth file: storage '{key}' is missing");
            if (ByteCount(storage) != member.Length)
                throw new TensorFileException(
                    Path,
                    $"damaged .pth file: storage '{key}' of {storage.Count} elements needs {ByteCount(storage)} bytes and has {member.Length}");
            _storageOffsets.Add(key, member.Offset);
        }

        return root;
    }

    private object? ReadLegacy()
    {
        using MappedRange range = _file.Map(0, (int)Math.Min(_file.Length, MaxPickleBytes));
        ReadOnlySpan<byte> rest = range.Bytes[LegacyMagic.Length..];
        var none = new Dictionary<string, PickleStorage>();
        if (ReadNext(ref rest, Path, none) is not 1001L)
            throw new TensorFileException(Path, "damaged .pth file: expected version 1001 of the older container");
        if (ReadNext(ref rest, Path, none) is not PickleDictionary system || !system.Items.Contains(("little_endian", true)))
            throw new TensorFileException(Path, "the file was not written on a little-endian machine; save it again on one");
        object? root = ReadNext(ref rest, Path, _storages);
        if (ReadNext(ref rest, Path, none) is not PickleList keys)
            throw new TensorFileException(Path, "damaged .pth file: the list of storages is missing");

        long position = range.Bytes.Length - rest.Length;
        foreach (object? item in keys.Items)
        {
            if (item is not string key || !_storages.TryGetValue(key, out PickleStorage? storage))
                throw new TensorFileException(Path, $"damaged .pth file: storage '{item}' belongs to no tensor");
            long count = BinaryPrimitives.ReadInt64LittleEndian(_file.ReadBytes(position, 8));
            if (count != storage.Count)
                throw new TensorFileException(Path, $"damaged .pth file: storage '{key}' has {count} elements where {storage.Count} are described");
            position += 8;
            if (ByteCount(storage) > _file.Length - position)
                throw new TensorFileException(
                    Path,
                    $"damaged .pth file: storage '{key}' of {storage.Count} elements goes beyond the end of the file: truncated?");
            if (!_storageOffsets.TryAdd(key, position)) throw new TensorFileException(Path, $"damaged .pth file: storage '{key}' is there twice");
            position += ByteCount(storage);
        }

        string? missing = _storages.Keys.FirstOrDefault(key => !_storageOffsets.ContainsKey(key));
        if (missing is not null) throw new TensorFileException(Path, $"damaged .pth file: storage '{missing}' is missing");
        if (position != _file.Length)
            throw new TensorFileException(Path, $"damaged .pth file: {_file.Length - position} bytes at the end belong to no storage");
        return root;
    }

    private static object? ReadNext(ref ReadOnlySpan<byte> rest, string path, Dictionary<string, PickleStorage> storages)
    {
        var reader = new PickleReader(rest, path, storages);
        object? value = reader.Read();
        rest = rest[reader.Position..];
        return value;
    }

    private long ByteCount(PickleStorage storage) =>
        TensorEntry.ByteCountOf(storage.Type ?? ElementType.UInt8, [storage.Count])
            ?? throw new TensorFileException(Path, $"damaged .pth file: storage '{storage.Key}' has {storage.Count} elements");

    private void Flatten(string name, object? value, int depth)
    {
        if (name.Length > MaxNameLength)
            throw new TensorFileException(Path, $"refused: it has a name longer than {MaxNameLength} characters, '{name[..40]}…'");
        if (depth > MaxDepth || ++_visits > MaxVisits)
            throw new TensorFileException(Path, $"refused: its dictionaries are nested more than {MaxDepth} deep or hold more than {MaxVisits} values");
        switch (value)
        {
            case PickleTensor tensor:
                AddTensor(name, tensor);
                break;
            case PickleDictionary dictionary:
                foreach ((object? key, object? item) in dictionary.IsEmpty ? [] : dictionary.Items) Flatten(Join(name, key), item, depth + 1);
                break;
            case PickleList { Items: var items }:
                for (int i = 0; i < items.Count; i++) FlattenItem(name, i, items[i], depth);
                break;
            case object?[] items:
                for (int i = 0; i < items.Length; i++) FlattenItem(name, i, items[i], depth);
                break;
            case string or long or double or bool when _metadata.Count < MaxTexts:
                string text = Convert.ToString(value, CultureInfo.InvariantCulture)!;
                _metadata[name] = text.Length <= 1000 ? text : text[..1000];
                break;
            case PicklePlaceholder placeholder when _metadata.Count < MaxTexts:
                _metadata[name] = $"({placeholder.Name.Replace(' ', '.')}, not read)";
                break;
        }
    }

    // Numbers in lists are data of their own (a loss curve, a permutation) and would flood the metadata.
    private void FlattenItem(string name, int index, object? value, int depth)
    {
        if (value is PickleTensor or PickleDictionary or PickleList or object?[]) Flatten(Join(name, (long)index), value, depth + 1);
    }

    private static string Join(string name, object? key)
    {
        // A longer name is refused by the caller; cutting it here keeps a repeated long key from being copied whole each time.
        string text = Convert.ToString(key, CultureInfo.InvariantCulture) ?? "None";
        if (text.Length > MaxNameLength) text = text[..(MaxNameLength + 1)];
        return name.Length == 0 ? text : $"{name}.{text}";
    }

    private void AddTensor(string name, PickleTensor tensor)
    {
        if (tensor.Shape.Length != tensor.Strides.Length) throw Damaged($"has {tensor.Shape.Length} axes and {tensor.Strides.Length} strides");
        long bytes = TensorEntry.ByteCountOf(tensor.Type, tensor.Shape)
            ?? throw Damaged($"has the impossible shape [{string.Join(", ", tensor.Shape)}]");
        if (tensor.Offset < 0 || tensor.Strides.Any(stride => stride < 0)) throw Damaged("has a negative offset or stride");
        long available = tensor.Storage.Type is null ? tensor.Storage.Slice / tensor.Type.Bytes() : tensor.Storage.Slice;
        if (bytes > 0 && (UInt128)tensor.Offset + LastIndex(tensor) >= (UInt128)available)
            throw Damaged($"reaches beyond its storage of {available} elements");
        if (bytes > Math.Max(_file.Length, 1 << 20)) throw Damaged($"repeats its elements to {bytes} bytes, more than the file holds");
        if (!_entries.TryAdd(name, new TensorEntry(name, tensor.Type, [.. tensor.Shape]))) throw Damaged("is there twice");
        _tensors.Add(name, tensor);

        TensorFileException Damaged(string problem) => new(Path, $"damaged .pth file: tensor '{name}' {problem}");
    }

    private static UInt128 LastIndex(PickleTensor tensor)
    {
        UInt128 last = 0;
        for (int i = 0; i < tensor.Shape.Length; i++) last += (UInt128)Math.Max(tensor.Shape[i] - 1, 0) * (UInt128)tensor.Strides[i];
        return last;
    }

    private static bool IsContiguous(PickleTensor tensor)
    {
        long expected = 1;
        for (int i = tensor.Shape.Length - 1; i >= 0; i--)
        {
            if (tensor.Shape[i] != 1 && tensor.Strides[i] != expected) return false;
            expected *= tensor.Shape[i];
        }

        return true;
    }
}
