using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using DinoSharp.Retrieval;
using DinoSharp.Weights;
using Parquet;
using Parquet.Schema;

namespace DinoSharp.Cli.Embedding;

/// <summary>The finished embeddings in one of four formats, chosen by the extension. Written beside the final name and renamed; a few thousand vectors are in memory at a time.</summary>
internal static class EmbeddingFile
{
    /// <summary>The extensions on offer.</summary>
    public static readonly IReadOnlyList<string> Extensions = [".parquet", ".npy", ".safetensors", ".jsonl"];

    private const int RowsPerGroup = 4096;

    /// <summary>The paths of the rows, one JSON string a line, for formats that hold numbers only; null if the format holds the paths itself.</summary>
    public static string? PathsFile(string path) => Path.GetExtension(path).ToLowerInvariant() is ".npy" or ".safetensors" ? Path.ChangeExtension(path, ".paths.jsonl") : null;

    /// <summary>Writes the file and, where the format needs it, the list of paths before it.</summary>
    /// <param name="path">The file; replaced if it exists.</param>
    /// <param name="rows">Names and vectors; may be enumerated twice.</param>
    /// <param name="count">Number of rows.</param>
    /// <param name="dim">Numbers of a vector.</param>
    /// <param name="metadata">Texts that travel inside of the file, where the format can.</param>
    /// <param name="items">Where the rows come from an index: Parquet has columns for what it knows of their files.</param>
    public static void Write(string path, IEnumerable<(string Name, float[] Vector)> rows, long count, int dim, IReadOnlyDictionary<string, string> metadata, IReadOnlyList<IndexItem>? items = null)
    {
        if (PathsFile(path) is { } paths)
        {
            SafetensorsWriter.WriteBeside(paths, 0, stream =>
            {
                foreach ((string name, _) in rows) WriteLine(stream, json => json.WriteStringValue(name));
            });
        }

        switch (Path.GetExtension(path).ToLowerInvariant())
        {
            case ".parquet":
                SafetensorsWriter.WriteBeside(path, 0, stream => WriteParquetAsync(stream, rows, metadata, items).GetAwaiter().GetResult());
                break;
            case ".jsonl":
                SafetensorsWriter.WriteBeside(path, 0, stream =>
                {
                    foreach ((string name, float[] vector) in rows) WriteLine(stream, json => WriteRow(json, name, vector));
                });
                break;
            case ".npy":
                WriteNumbers(path, NpyFile.Header(count, dim), rows, count, dim);
                break;
            case ".safetensors":
                WriteNumbers(path, SafetensorsHeader(count, dim, metadata), rows, count, dim);
                break;
            default:
                throw new ArgumentException($"no format for {path}", nameof(path));
        }
    }

    private static void WriteNumbers(string path, byte[] header, IEnumerable<(string Name, float[] Vector)> rows, long count, int dim)
    {
        SafetensorsWriter.WriteBeside(path, header.Length + (count * dim * sizeof(float)), stream =>
        {
            stream.Write(header);
            foreach ((_, float[] vector) in rows) stream.Write(MemoryMarshal.AsBytes<float>(vector));
        });
    }

    private static byte[] SafetensorsHeader(long count, int dim, IReadOnlyDictionary<string, string> metadata)
    {
        var json = new JsonObject
        {
            ["__metadata__"] = new JsonObject(metadata.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))),
            ["embeddings"] = new JsonObject { ["dtype"] = "F32", ["shape"] = new JsonArray(count, dim), ["data_offsets"] = new JsonArray(0L, count * dim * sizeof(float)) },
        };
        byte[] text = Encoding.UTF8.GetBytes(json.ToJsonString());
        return [.. BitConverter.GetBytes((long)text.Length + (-text.Length & 7)), .. text, .. Enumerable.Repeat((byte)' ', -text.Length & 7)];
    }

    private static async Task WriteParquetAsync(Stream stream, IEnumerable<(string Name, float[] Vector)> rows, IReadOnlyDictionary<string, string> metadata, IReadOnlyList<IndexItem>? items)
    {
        var path = new DataField<string>("path", nullable: false);
        var element = new DataField<float>("element", nullable: false);
        DataField<string> hash = new("hash", nullable: false);
        DataField<long> size = new("size", nullable: false);
        DataField<DateTime> modified = new("modified", nullable: false);
        var list = new ListField("embedding", element);
        ParquetSchema schema = items is null ? new(path, list) : new(path, hash, size, modified, list);
        int first = 0;
        await using ParquetWriter writer = await ParquetWriter.CreateAsync(schema, stream, new ParquetOptions { CompressionMethod = CompressionMethod.None });
        writer.CustomMetadata = metadata;
        foreach ((string Name, float[] Vector)[] group in rows.Chunk(RowsPerGroup))
        {
            using ParquetRowGroupWriter columns = writer.CreateRowGroup();
            await columns.WriteAsync(path, [.. group.Select(row => row.Name)]);
            if (items is not null)
            {
                IndexItem[] known = [.. items.Skip(first).Take(group.Length)];
                await columns.WriteAsync(hash, [.. known.Select(item => item.Hash)]);
                await columns.WriteAsync<long>(size, known.Select(item => item.Size).ToArray());
                await columns.WriteAsync<DateTime>(modified, known.Select(item => item.Modified).ToArray());
                first += group.Length;
            }

            float[] numbers = [.. group.SelectMany(row => row.Vector)];
            int[] defined = [.. Enumerable.Repeat(element.MaxDefinitionLevel, numbers.Length)]; // no list and no number is null
            int[] repeated = [.. group.SelectMany(row => row.Vector.Select((_, i) => i == 0 ? 0 : 1))]; // 0 begins a list
            await columns.WriteAllPartsAsync<float>(element, numbers, defined, repeated, default);
        }
    }

    private static void WriteLine(Stream stream, Action<Utf8JsonWriter> write)
    {
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping })) write(json);
        stream.WriteByte((byte)'\n');
    }

    private static void WriteRow(Utf8JsonWriter json, string name, float[] vector)
    {
        json.WriteStartObject();
        json.WriteString("path", name);
        json.WriteStartArray("embedding");
        foreach (float number in vector) json.WriteNumberValue(number);
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
