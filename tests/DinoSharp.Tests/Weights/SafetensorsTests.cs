using System.Buffers.Binary;
using System.Text;
using DinoSharp.Weights;
using Xunit;
using static DinoSharp.Tests.Weights.TensorAssert;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class SafetensorsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dinosharp-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<ScalarType> Types =>
        [ScalarType.Float64, ScalarType.Float32, ScalarType.Float16, ScalarType.BFloat16, ScalarType.Int64, ScalarType.Int32, ScalarType.Int16, ScalarType.Int8, ScalarType.Byte, ScalarType.Bool];

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_type_and_shape_survives_a_round_trip(ScalarType type)
    {
        using var scope = NewDisposeScope();
        Tensor values = randint(0, type == ScalarType.Bool ? 2 : 100, [3, 5, 2]).to(type);
        string path = File("all.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = values, ["scalar"] = values[0, 0, 0], ["empty"] = zeros(0, 4, dtype: type), ["view"] = values.transpose(0, 2) }, [new("note", "grüße")]);

        using TensorFile file = TensorFile.Open(path);
        Assert.Equal(TensorFileFormat.Safetensors, file.Format);
        Assert.Equal("grüße", file.Metadata["note"]);
        Assert.Equal(["a", "scalar", "empty", "view"], file.Entries.Keys);
        foreach ((string name, Tensor expected) in new (string, Tensor)[] { ("a", values), ("scalar", values[0, 0, 0]), ("empty", zeros(0, 4, dtype: type)), ("view", values.transpose(0, 2)) })
        {
            Tensor read = file.Read(name);
            Assert.Equal(type, read.dtype);
            Assert.Equal(expected.shape, read.shape);
            AssertSame(expected, read);
        }
    }

    [Fact]
    public void CopyTo_fills_a_view_and_converts_the_type()
    {
        using var scope = NewDisposeScope();
        Tensor values = randn(4, 6);
        string path = File("a.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = values });
        using TensorFile file = TensorFile.Open(path);
        Tensor target = zeros(12, 6);
        file.CopyTo("a", target.narrow(0, 4, 4));
        AssertSame(values, target.narrow(0, 4, 4));
        Assert.Equal(0, target.narrow(0, 0, 4).abs().sum().item<float>() + target.narrow(0, 8, 4).abs().sum().item<float>());

        Tensor half = zeros([4, 6], dtype: ScalarType.BFloat16);
        file.CopyTo("a", half);
        AssertSame(values.to(ScalarType.BFloat16), half);

        Tensor transposed = zeros(6, 4).t();
        file.CopyTo("a", transposed);
        AssertSame(values, transposed);

        var wrong = Assert.Throws<TensorFileException>(() => file.CopyTo("a", zeros(6, 4)));
        Assert.Contains("[4, 6]", wrong.Message);
        Assert.Contains("no tensor 'b'", Assert.Throws<TensorFileException>(() => file.Read("b")).Message);
    }

    [Fact]
    public void A_tensor_larger_than_a_window_is_read_whole()
    {
        using var scope = NewDisposeScope();
        Tensor values = arange(0, (MappedFile.WindowBytes / 4 * 2) + 17, dtype: ScalarType.Int32);
        string path = File("large.safetensors");
        SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["pad"] = ones(3, dtype: ScalarType.Int8), ["large"] = values });
        using TensorFile file = TensorFile.Open(path);
        AssertSame(values, file.Read("large"));
    }

    [Fact]
    public void A_tensor_beyond_four_gigabytes_is_read_from_its_place()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "files with holes are made on Linux only");
        const long far = 5L << 30;
        string path = File("far.safetensors");
        byte[] header = Encoding.UTF8.GetBytes($$"""{"hole":{"dtype":"U8","shape":[{{far}}],"data_offsets":[0,{{far}}]},"a":{"dtype":"F32","shape":[2],"data_offsets":[{{far}},{{far + 8}}] } }""");
        using (var stream = new FileStream(path, FileMode.Create))
        {
            stream.Write(BitConverter.GetBytes((ulong)header.Length));
            stream.Write(header);
            stream.Position += far;
            stream.Write(BitConverter.GetBytes(1.5f));
            stream.Write(BitConverter.GetBytes(-2f));
        }

        using var scope = NewDisposeScope();
        using TensorFile file = TensorFile.Open(path);
        AssertSame(tensor(new[] { 1.5f, -2f }), file.Read("a"));
    }

    [Fact]
    public void Eight_threads_read_the_same_values()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> tensors = Enumerable.Range(0, 50).ToDictionary(i => $"t{i}", i => randn(100, 101));
        string path = File("threads.safetensors");
        SafetensorsWriter.Write(path, tensors);
        using TensorFile file = TensorFile.Open(path);
        Parallel.For(0, 400, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            using Tensor read = file.Read($"t{i % 50}");
            AssertSame(tensors[$"t{i % 50}"], read);
        });
    }

    [Fact]
    public void Shards_are_written_and_read_as_one_file()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> tensors = Enumerable.Range(0, 7).ToDictionary(i => $"t{i}", i => randn(10, i + 1));
        TensorEntry[] entries = [.. tensors.Select(pair => new TensorEntry(pair.Key, ElementType.Float32, [.. pair.Value.shape]))];
        IReadOnlyList<string> files = SafetensorsWriter.WriteFolder(_folder, entries, entry => tensors[entry.Name].alias(), shardBytes: 400);
        Assert.True(files.Count > 3);
        Assert.All(files.Skip(1), path => Assert.True(new FileInfo(path).Length < 1000));

        foreach (string path in new[] { _folder, files[0] })
        {
            using TensorFile file = TensorFile.Open(path);
            Assert.Equal(TensorFileFormat.ShardedSafetensors, file.Format);
            Assert.Equal(tensors.Keys, file.Entries.Keys);
            foreach ((string name, Tensor expected) in tensors) AssertSame(expected, file.Read(name));
        }
    }

    [Theory]
    [InlineData("../model.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("sub/model.safetensors")]
    [InlineData("..\\model.safetensors")]
    [InlineData("C:model.safetensors")]
    [InlineData("..")]
    [InlineData("")]
    public void An_index_that_leaves_its_folder_is_refused(string shard)
    {
        string path = File("model.safetensors.index.json");
        System.IO.File.WriteAllText(path, "{\"weight_map\": {\"a\": " + System.Text.Json.JsonSerializer.Serialize(shard) + "}}");
        Assert.Contains("plain name", Assert.Throws<TensorFileException>(() => TensorFile.Open(_folder)).Message);
    }

    public static TheoryData<string, string> BrokenHeaders => new()
    {
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "twice" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}""", "needs 8 bytes" },
        { """{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}""", "impossible shape" },
        { """{"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,8]}}""", "impossible shape" },
        { """{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", "non-negative" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", "data_offsets" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]}}""", "truncated" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}""", "below 2^63" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", "overlap" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}""", "belong to no tensor" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "at the end belong to no tensor" },
        { """{"a":{"dtype":"F37","shape":[4],"data_offsets":[0,16]}}""", "unknown dtype 'F37'" },
        { """{"a":{"dtype":"F32","shape":[4]}}""", "needs dtype, shape" },
        { """{"a":{"dtype":"F32","shape":[4.5],"data_offsets":[0,16]}}""", "whole numbers" },
        { """{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}""", "no valid JSON" },
        { """{"a":[]}""", "expected a JSON" },
        { """{"__metadata__":{"a":1}}""", "expected a JSON" },
        { """{"__metadata__":{"a":"1","a":"2"}}""", "twice" },
        { """{"a":{"dtype":"F32","shape":[[[[[[[[[[4]]]]]]]]]],"data_offsets":[0,16]}}""", "safetensors" },
        { """{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}} {}""", "no valid JSON" },
        { "{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "no valid JSON" },
        { """{"a":""", "no valid JSON" },
    };

    [Theory]
    [MemberData(nameof(BrokenHeaders))]
    public void A_broken_header_is_refused_by_name(string header, string expected)
    {
        string path = File("broken.safetensors");
        System.IO.File.WriteAllBytes(path, Bytes((ulong)Encoding.UTF8.GetByteCount(header), header, 16));
        Assert.Contains(expected, Assert.Throws<TensorFileException>(() => TensorFile.Open(path)).Message);
    }

    [Theory]
    [InlineData(1UL << 63, "above the limit")]
    [InlineData(ulong.MaxValue, "above the limit")]
    [InlineData(100_000_001UL, "above the limit")]
    [InlineData(1000UL, "truncated")]
    public void A_wrong_header_length_is_refused(ulong length, string expected)
    {
        string path = File("broken.safetensors");
        System.IO.File.WriteAllBytes(path, Bytes(length, "{}", 0));
        Assert.Contains(expected, Assert.Throws<TensorFileException>(() => TensorFile.Open(path)).Message);
    }

    [Fact]
    public void A_header_of_endless_tensors_is_cut_off()
    {
        string header = $"{{{string.Join(',', Enumerable.Range(0, 200_001).Select(i => $"\"{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"))}}}";
        string path = File("many.safetensors");
        System.IO.File.WriteAllBytes(path, Bytes((ulong)header.Length, header, 0));
        Assert.Contains("more than 200000 tensors", Assert.Throws<TensorFileException>(() => TensorFile.Open(path)).Message);
    }

    [Fact]
    public void Types_that_TorchSharp_lacks_are_listed_and_refused_when_read()
    {
        string header = """{"a":{"dtype":"F8_E4M3","shape":[16],"data_offsets":[0,16]}}""";
        string path = File("f8.safetensors");
        System.IO.File.WriteAllBytes(path, Bytes((ulong)header.Length, header, 16));
        using TensorFile file = TensorFile.Open(path);
        Assert.Equal(ElementType.Float8E4M3, file.Entries["a"].Type);
        Assert.Contains("Float8E4M3", Assert.Throws<TensorFileException>(() => file.Read("a")).Message);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull")]
    [InlineData("<!DOCTYPE html><html>", "web page")]
    [InlineData("hello", "not recognised")]
    [InlineData("{\"model_type\": \"dinov3_vit\"}", "no weight_map")]
    public void Other_files_are_told_apart(string content, string expected)
    {
        string path = File("other.safetensors");
        System.IO.File.WriteAllText(path, content);
        Assert.Contains(expected, Assert.Throws<TensorFileException>(() => TensorFile.Open(path)).Message);
    }

    [Fact]
    public void A_file_cut_short_after_opening_is_an_error_not_a_crash()
    {
        string path = File("cut.safetensors");
        using (var scope = NewDisposeScope()) SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = zeros(100_000) });
        using TensorFile file = TensorFile.Open(path);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) stream.SetLength(5000);
        Assert.Contains("cut short", Assert.Throws<TensorFileException>(() => file.Read("a")).Message);
    }

    [Fact]
    public void An_interrupted_write_leaves_the_old_file_and_no_rest()
    {
        string path = File("a.safetensors");
        System.IO.File.WriteAllText(path, "old");
        TensorEntry[] entries = [new("a", ElementType.Float32, [4]), new("b", ElementType.Float32, [4])];
        Assert.Throws<OperationCanceledException>(() => SafetensorsWriter.Write(path, entries, entry => entry.Name == "a" ? zeros(4) : throw new OperationCanceledException()));
        Assert.Equal("old", System.IO.File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder));
    }

    private static byte[] Bytes(ulong headerLength, string header, int dataBytes)
    {
        var bytes = new List<byte>(new byte[8]);
        BinaryPrimitives.WriteUInt64LittleEndian(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes), headerLength);
        bytes.AddRange(Encoding.UTF8.GetBytes(header));
        bytes.AddRange(new byte[dataBytes]);
        return [.. bytes];
    }

    private string File(string name) => Path.Combine(_folder, name);
}
