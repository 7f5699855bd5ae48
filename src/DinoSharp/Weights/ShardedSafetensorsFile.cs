using System.Text.Json;

namespace DinoSharp.Weights;

/// <summary>Several safetensors files that together hold one model, listed by an index (<c>{"metadata": …, "weight_map": {name: file}}</c>).</summary>
public sealed class ShardedSafetensorsFile : TensorFile
{
    private const long MaxIndexBytes = 100_000_000;

    private readonly Dictionary<string, SafetensorsFile> _shards = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, TensorEntry> _entries = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SafetensorsFile> _shardOf = new(StringComparer.Ordinal);

    private ShardedSafetensorsFile(string path)
        : base(path, TensorFileFormat.ShardedSafetensors)
    {
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Opens an index and every shard it names. Shards lie beside the index; a name that leads anywhere else is refused.</summary>
    /// <param name="path">The <c>*.index.json</c> file.</param>
    /// <returns>The open file; dispose it.</returns>
    /// <exception cref="TensorFileException">The index or a shard is missing, damaged, or they disagree.</exception>
    public static ShardedSafetensorsFile OpenIndex(string path)
    {
        var file = new ShardedSafetensorsFile(path);
        try
        {
            file.ReadIndex();
            return file;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            file.Dispose();
            throw new TensorFileException(path, $"the index is no valid JSON: {error.Message}", error);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    internal override (MappedFile File, long Offset)? Place(TensorEntry entry) => _shardOf[entry.Name].Place(entry);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        foreach (SafetensorsFile shard in _shards.Values) shard.Dispose();
    }

    private void ReadIndex()
    {
        using MappedFile index = MappedFile.Open(Path);
        if (index.Length > MaxIndexBytes)
            throw new TensorFileException(Path, $"an index of {index.Length} bytes is above the limit of {MaxIndexBytes}");
        using MappedRange json = index.Map(0, (int)index.Length);
        var reader = new Utf8JsonReader(json.Bytes, new JsonReaderOptions { MaxDepth = 16 });
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject) throw new TensorFileException(Path, "expected a JSON object with weight_map");
        bool found = false;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (key != "weight_map")
            {
                reader.Skip();
                continue;
            }

            if (found) throw new TensorFileException(Path, "has weight_map twice");
            found = true;
            ReadWeightMap(ref reader);
        }

        if (!found)
            throw new TensorFileException(Path, "this JSON file is no index of shards: it has no weight_map; give the folder or the .safetensors file instead");
        foreach ((string name, SafetensorsFile shard) in _shards)
        {
            string? extra = shard.Entries.Keys.FirstOrDefault(key => !_shardOf.TryGetValue(key, out SafetensorsFile? owner) || owner != shard);
            if (extra is not null)
                throw new TensorFileException(Path, $"shard '{name}' holds the tensor '{extra}', which weight_map does not place there");
            foreach ((string metadataKey, string value) in shard.Metadata) _metadata.TryAdd(metadataKey, value);
        }
    }

    private void ReadWeightMap(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new TensorFileException(Path, "weight_map must be an object: tensor name → file name");
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            string tensor = reader.GetString()!;
            reader.Read();
            string fileName = reader.TokenType == JsonTokenType.String
                ? reader.GetString()!
                : throw new TensorFileException(Path, $"weight_map entry '{tensor}' is no file name");
            if (fileName is "" or "." or ".." || fileName.AsSpan().ContainsAny("/\\:\0"))
            {
                throw new TensorFileException(Path, $"weight_map places '{tensor}' in '{fileName}': only the plain name of a file beside the index is allowed");
            }

            if (!_shards.TryGetValue(fileName, out SafetensorsFile? shard))
            {
                shard = SafetensorsFile.Open(System.IO.Path.Combine(folder, fileName));
                _shards.Add(fileName, shard);
            }

            TensorEntry entry = shard.Entries.GetValueOrDefault(tensor)
                ?? throw new TensorFileException(Path, $"weight_map places '{tensor}' in '{fileName}', which does not hold it");
            if (!_entries.TryAdd(tensor, entry)) throw new TensorFileException(Path, $"weight_map has the tensor '{tensor}' twice");
            _shardOf.Add(tensor, shard);
        }
    }
}
