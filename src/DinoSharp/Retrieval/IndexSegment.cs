using System.Text.Json;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Retrieval;

/// <summary>One file of an index: some pictures and their vectors, written once and never changed. Vectors are read when they are needed, through a memory map.</summary>
internal sealed class IndexSegment : IDisposable
{
    private const string Vectors = "vectors", Listing = "items", Base = "base";

    private static readonly JsonSerializerOptions Json = new() { RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true };

    private readonly TensorFile _file;

    private IndexSegment(TensorFile file, string name, IReadOnlyList<IndexItem> items, IReadOnlyList<string> removed, string baseFolder) =>
        (_file, Name, Items, Removed, BaseFolder) = (file, name, items, removed, baseFolder);

    public string Name { get; }

    /// <summary>The pictures, one per row of the vectors.</summary>
    public IReadOnlyList<IndexItem> Items { get; }

    /// <summary>Full paths of pictures of earlier segments that are gone.</summary>
    public IReadOnlyList<string> Removed { get; }

    /// <summary>The folder that relative paths start from.</summary>
    public string BaseFolder { get; }

    /// <summary>Length D of a vector.</summary>
    public int Dim => (int)_file.Entries[Vectors].Shape[1];

    public static void Write(string folder, string name, IReadOnlyList<IndexItem> items, IReadOnlyList<string> removed, string baseFolder, Tensor vectors)
    {
        using var scope = NewDisposeScope();
        byte[] listing = JsonSerializer.SerializeToUtf8Bytes(new ItemList(items, removed));
        SafetensorsWriter.Write(
            Path.Combine(folder, name),
            [KeyValuePair.Create(Vectors, vectors), KeyValuePair.Create(Listing, tensor(listing))],
            [KeyValuePair.Create(Base, baseFolder)]);
    }

    public static IndexSegment Open(string folder, string name)
    {
        TensorFile file = TensorFile.Open(Path.Combine(folder, name));
        try
        {
            if (!file.Entries.TryGetValue(Vectors, out TensorEntry? vectors) || vectors.Shape.Length != 2 || vectors.Type != ElementType.Float32 || !file.Entries.TryGetValue(Listing, out TensorEntry? listing) || listing.Type != ElementType.UInt8)
                throw new TensorFileException(file.Path, "is no part of an index: expected tensors 'vectors' [N, D] of F32 and 'items' of U8");
            using Tensor bytes = file.Read(Listing);
            ItemList items = JsonSerializer.Deserialize<ItemList>(bytes.bytes, Json) ?? throw new JsonException("it holds null");
            if (items.Items.Contains(null!) || items.Removed.Contains(null!)) throw new JsonException("an entry is null");
            if (items.Items.Count != vectors.Shape[0]) throw new TensorFileException(file.Path, $"damaged: it lists {items.Items.Count} pictures for {vectors.Shape[0]} vectors");
            string baseFolder = file.Metadata.GetValueOrDefault(Base) is { } written && Path.IsPathFullyQualified(written) ? written : Path.GetFullPath(folder); // written elsewhere, on another system
            return new IndexSegment(file, name, [.. items.Items.Select(item => item with { FullPath = Path.GetFullPath(item.Path, baseFolder) })], items.Removed, baseFolder);
        }
        catch (Exception e) when (e is JsonException or ArgumentException) // no list, or names that no file can have
        {
            file.Dispose();
            throw new TensorFileException(file.Path, $"damaged: its list of pictures cannot be read: {e.Message}", e);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>All vectors, a copy. [N, D]</summary>
    public Tensor ReadVectors() => _file.Read(Vectors);

    /// <summary>The same as numbers. [N, D]</summary>
    public float[] ReadValues()
    {
        using Tensor vectors = ReadVectors();
        return vectors.data<float>().ToArray();
    }

    public void Dispose() => _file.Dispose();

    private sealed record ItemList(IReadOnlyList<IndexItem> Items, IReadOnlyList<string> Removed);
}
