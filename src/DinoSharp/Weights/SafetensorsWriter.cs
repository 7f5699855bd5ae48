using System.Text.Json;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>
/// Writes safetensors files. Tensors are asked for one at a time, so peak memory is one tensor; the file is written beside its final name,
/// flushed to the disk and renamed, so that an interrupted run leaves the old file or none.
/// </summary>
public static class SafetensorsWriter
{
    /// <summary>Writes named tensors in the order given.</summary>
    /// <param name="path">The file to write; replaced if it exists.</param>
    /// <param name="tensors">Name and tensor, on any device; not disposed.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>.</param>
    /// <exception cref="TensorFileException">The file cannot be written (no space, no permission).</exception>
    public static void Write(string path, IEnumerable<KeyValuePair<string, Tensor>> tensors, IEnumerable<KeyValuePair<string, string>>? metadata = null)
    {
        var byName = new OrderedDictionary<string, Tensor>(tensors, StringComparer.Ordinal);
        Write(
            path,
            [.. byName.Select(pair => new TensorEntry(pair.Key, ElementTypes.Of(pair.Value.dtype), [.. pair.Value.shape]))],
            entry => byName[entry.Name].alias(),
            metadata);
    }

    /// <summary>Writes one file, asking for each tensor when its turn comes.</summary>
    /// <param name="path">The file to write; replaced if it exists.</param>
    /// <param name="entries">Name, stored type and shape of every tensor.</param>
    /// <param name="read">Gives the tensor of an entry, of the declared shape, of any type and device; it is converted, written and disposed.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>.</param>
    /// <exception cref="TensorFileException">The file cannot be written (no space, no permission).</exception>
    public static void Write(
        string path,
        IReadOnlyList<TensorEntry> entries,
        Func<TensorEntry,
        Tensor> read,
        IEnumerable<KeyValuePair<string,
        string>>? metadata = null)
    {
        // Widest elements first keeps every tensor aligned to its element size, as readers that map the file expect.
        TensorEntry[] ordered = [.. entries.OrderByDescending(entry => entry.Type.Bytes())];
        byte[] header = Header(ordered, metadata);
        long total = 8L + header.Length + ordered.Sum(entry => entry.ByteCount);
        WriteBeside(path, total, stream =>
        {
            stream.Write(BitConverter.GetBytes((ulong)header.Length));
            stream.Write(header);
            foreach (TensorEntry entry in ordered) WriteElements(stream, entry, read);
        });
    }

    /// <summary>
    /// Writes shards of at most the given size and the index <c>model.safetensors.index.json</c>, or one <c>model.safetensors</c> if everything
    /// fits into one.
    /// </summary>
    /// <param name="folder">The folder to write to; created if missing.</param>
    /// <param name="entries">Name, stored type and shape of every tensor.</param>
    /// <param name="read">Gives the tensor of an entry, as in the single-file form.</param>
    /// <param name="shardBytes">Largest size of the tensors of one file; a larger single tensor gets a file of its own. Null: one file.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c> of every file.</param>
    /// <returns>The files written, the one to open first.</returns>
    /// <exception cref="TensorFileException">A file cannot be written (no space, no permission).</exception>
    public static IReadOnlyList<string> WriteFolder(
        string folder,
        IReadOnlyList<TensorEntry> entries,
        Func<TensorEntry,
        Tensor> read,
        long? shardBytes = null,
        IEnumerable<KeyValuePair<string,
        string>>? metadata = null)
    {
        if (shardBytes is <= 0) throw new ArgumentOutOfRangeException(nameof(shardBytes), shardBytes, "the shard size must be positive");
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TensorFileException(folder, $"cannot be created: {error.Message}", error);
        }

        List<List<TensorEntry>> shards = Split(entries, shardBytes);
        if (shards.Count == 1)
        {
            string single = Path.Combine(folder, "model.safetensors");
            Write(single, entries, read, metadata);
            return [single];
        }

        string[] names = [.. Enumerable.Range(1, shards.Count).Select(i => $"model-{i:D5}-of-{shards.Count:D5}.safetensors")];
        for (int i = 0; i < shards.Count; i++) Write(Path.Combine(folder, names[i]), shards[i], read, metadata);
        string index = Path.Combine(folder, "model.safetensors.index.json");
        byte[] json = Index(shards, names);
        WriteBeside(index, json.Length, stream => stream.Write(json));
        return [index, .. names.Select(name => Path.Combine(folder, name))];
    }

    /// <summary>Writes a file beside its final name, flushes it to the disk and renames it.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="length">Expected length: reserved before writing, so that a full disk is noticed at the start.</param>
    /// <param name="write">Writes the content.</param>
    internal static void WriteBeside(string path, long length, Action<Stream> write)
    {
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, PreallocationSize = length };
            using (var stream = new FileStream(temporary, options))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception error)
        {
            try
            {
                File.Delete(temporary);
            }
            catch (Exception second) when (second is IOException or UnauthorizedAccessException)
            {
                // The first error is the one to report.
            }

            if (error is DirectoryNotFoundException)
                throw new TensorFileException(path, $"there is no folder {Path.GetDirectoryName(Path.GetFullPath(path))}; create it first", error);
            if (error is IOException or UnauthorizedAccessException)
                throw new TensorFileException(path, $"cannot be written ({length} bytes): {error.Message}", error);
            throw;
        }
    }

    private static void WriteElements(Stream stream, TensorEntry entry, Func<TensorEntry, Tensor> read)
    {
        using var scope = NewDisposeScope();
        Tensor tensor = read(entry);
        if (!entry.Shape.AsSpan().SequenceEqual(tensor.shape))
            throw new InvalidOperationException($"tensor '{entry.Name}' was announced as {entry.ShapeText} and came as [{string.Join(", ", tensor.shape)}]");
        ScalarType type = entry.Type.Scalar()
            ?? throw new ArgumentException($"tensor '{entry.Name}': TorchSharp has no tensors of type {entry.Type}");
        Tensor flat = tensor.detach().to(type).cpu().contiguous().view(-1);
        long count = flat.numel(), step = MappedFile.WindowBytes / entry.Type.Bytes();
        for (long first = 0; first < count; first += step)
        {
            using var inner = NewDisposeScope();
            stream.Write(flat.narrow(0, first, Math.Min(step, count - first)).bytes);
        }
    }

    private static byte[] Header(TensorEntry[] entries, IEnumerable<KeyValuePair<string, string>>? metadata)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (metadata?.Any() == true)
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }

            long offset = 0;
            foreach (TensorEntry entry in entries)
            {
                json.WriteStartObject(entry.Name);
                json.WriteString("dtype", entry.Type.SafetensorsName());
                json.WriteStartArray("shape");
                foreach (long size in entry.Shape) json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += entry.ByteCount);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        while (buffer.Length % 8 != 0) buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }

    private static List<List<TensorEntry>> Split(IReadOnlyList<TensorEntry> entries, long? shardBytes)
    {
        List<List<TensorEntry>> shards = [[]];
        long size = 0;
        foreach (TensorEntry entry in entries)
        {
            if (shards[^1].Count > 0 && size + entry.ByteCount > shardBytes)
            {
                shards.Add([]);
                size = 0;
            }

            shards[^1].Add(entry);
            size += entry.ByteCount;
        }

        return shards;
    }

    private static byte[] Index(List<List<TensorEntry>> shards, string[] names)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteStartObject("metadata");
            json.WriteNumber("total_size", shards.SelectMany(shard => shard).Sum(entry => entry.ByteCount));
            json.WriteEndObject();
            json.WriteStartObject("weight_map");
            for (int i = 0; i < shards.Count; i++)
            {
                foreach (TensorEntry entry in shards[i]) json.WriteString(entry.Name, names[i]);
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }
}
