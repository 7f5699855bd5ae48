using System.Text;
using System.Text.Json;
using DinoSharp.Cli.Embedding;
using DinoSharp.Weights;
using Parquet;
using Xunit;

namespace DinoSharp.Tests.Cli.Embedding;

public sealed class EmbeddingFileTests : IDisposable
{
    private const int Dim = 3;

    private static readonly (string Name, float[] Vector)[] Rows = [.. Enumerable.Range(0, 5000).Select(i => ($"folder/{i} ☕ \"q\".jpg", new[] { i, i / 3f, -1e-20f }))];
    private static readonly Dictionary<string, string> Metadata = new() { ["model"] = "random:vits16", ["pooling"] = "classToken" };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Parquet()
    {
        Write("x.parquet");
        await using ParquetReader reader = await ParquetReader.CreateAsync(_folder.File("x.parquet"));
        Assert.Equal("random:vits16", reader.CustomMetadata["model"]);
        Assert.Equal(["path", "embedding/list/element"], reader.Schema.DataFields.Select(f => f.Path.ToString()));
        var names = new List<string>();
        var numbers = new List<float>();
        for (int g = 0; g < reader.RowGroupCount; g++)
        {
            using ParquetRowGroupReader group = reader.OpenRowGroupReader(g);
            string?[] text = new string?[group.RowCount];
            float[] values = new float[group.RowCount * Dim];
            int[] defined = new int[values.Length], repeated = new int[values.Length];
            await group.ReadAsync(reader.Schema.DataFields[0], text.AsMemory());
            await group.ReadRawAsync<float>(reader.Schema.DataFields[1], values, defined, repeated);
            Assert.Equal(Enumerable.Range(0, values.Length).Select(i => i % Dim == 0 ? 0 : 1), repeated);
            Assert.All(defined, level => Assert.Equal(2, level));
            names.AddRange(text!);
            numbers.AddRange(values);
        }

        Assert.Equal(2, reader.RowGroupCount);
        Check(names, numbers);
    }

    [Fact]
    public void Npy()
    {
        Write("x.npy");
        byte[] bytes = File.ReadAllBytes(_folder.File("x.npy"));
        int header = 10 + bytes[8] + (bytes[9] << 8);
        Assert.Equal("\u0093NUMPY\u0001\0", Encoding.Latin1.GetString(bytes, 0, 8));
        Assert.Equal("{'descr': '<f4', 'fortran_order': False, 'shape': (5000, 3), }", Encoding.ASCII.GetString(bytes, 10, header - 10).TrimEnd());
        Assert.Equal((0, (byte)'\n'), (header % 64, bytes[header - 1]));
        Check(Paths("x.paths.jsonl"), Floats(bytes[header..]));
    }

    [Fact]
    public void Safetensors()
    {
        Write("x.safetensors");
        using TensorFile file = TensorFile.Open(_folder.File("x.safetensors"));
        Assert.Equal("classToken", file.Metadata["pooling"]);
        Assert.Equal([5000, 3], file.Entries["embeddings"].Shape);
        using TorchSharp.torch.Tensor tensor = file.Read("embeddings");
        Check(Paths("x.paths.jsonl"), tensor.data<float>().ToArray());
    }

    [Fact]
    public void JsonLines()
    {
        Write("x.jsonl");
        JsonElement[] lines = [.. File.ReadLines(_folder.File("x.jsonl")).Select(line => JsonDocument.Parse(line).RootElement)];
        Check(lines.Select(line => line.GetProperty("path").GetString()!), lines.SelectMany(line => line.GetProperty("embedding").EnumerateArray().Select(n => n.GetSingle())));
    }

    [Fact]
    public void AnEmptyResultIsStillAFileOfItsFormat()
    {
        foreach (string extension in EmbeddingFile.Extensions)
        {
            EmbeddingFile.Write(_folder.File("empty" + extension), [], 0, Dim, Metadata);
            Assert.True(File.Exists(_folder.File("empty" + extension)));
        }
    }

    private static IEnumerable<float> Floats(byte[] bytes) => bytes.Chunk(4).Select(four => BitConverter.ToSingle(four));

    private static void Check(IEnumerable<string> names, IEnumerable<float> numbers)
    {
        Assert.Equal(Rows.Select(row => row.Name), names);
        Assert.Equal(Rows.SelectMany(row => row.Vector), numbers);
    }

    private void Write(string name) => EmbeddingFile.Write(_folder.File(name), Rows, Rows.Length, Dim, Metadata);

    private IEnumerable<string> Paths(string name) => File.ReadLines(_folder.File(name)).Select(line => JsonSerializer.Deserialize<string>(line)!);
}
