using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using DinoSharp.Backbones;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

/// <summary>Damages valid files at random and opens them: whatever happens must be a success or a <see cref="DinoSharpException"/>, without a large allocation.</summary>
public sealed class HostileFileFuzzTests(ITestOutputHelper output) : IDisposable
{
    private const long MaxAllocatedBytes = 16 << 20;
    private static readonly long[] Extremes = [0, 1, -1, 127, 128, 255, 256, 32767, 65535, int.MaxValue, uint.MaxValue, int.MinValue, long.MaxValue, long.MinValue, 1L << 62];
    private readonly string _folder = Directory.CreateTempSubdirectory("dinosharp-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("safetensors")]
    [InlineData("index")]
    [InlineData("zip")]
    [InlineData("legacy")]
    [InlineData("backbone")]
    [InlineData("config")]
    public void Of_2000_mutated_files_each_reads_or_is_refused(string kind) => Run(kind, 2000, seed: 1);

    [Theory]
    [Trait("Category", "Long")]
    [InlineData("safetensors")]
    [InlineData("index")]
    [InlineData("zip")]
    [InlineData("legacy")]
    [InlineData("backbone")]
    [InlineData("config")]
    public void Of_100000_mutated_files_each_reads_or_is_refused(string kind) => Run(kind, 100_000, seed: 1_000_000);

    private void Run(string kind, int inputs, int seed)
    {
        byte[] valid = Valid(kind);
        string path = Path.Combine(_folder, kind switch { "index" => "model.safetensors.index.json", "config" => "config.json", _ => "file" });
        int accepted = 0;
        long mostAllocated = 0;
        TimeSpan slowest = TimeSpan.Zero;
        for (int i = -1; i < inputs; i++)
        {
            byte[] bytes = i < 0 ? valid : Mutate(valid, new Random(seed + i));
            Overwrite(path, bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            long start = Stopwatch.GetTimestamp();
            try
            {
                if (kind == "config") LoadBackbone(_folder);
                else if (kind == "backbone") LoadBackbone(path);
                else ReadAll(path);
                accepted++;
            }
            catch (DinoSharpException error) when (i >= 0)
            {
                Assert.True(error.Message.Length < 4000, $"seed {seed + i}: a message of {error.Message.Length} characters");
            }
            catch (Exception error) when (error is not DinoSharpException)
            {
                Assert.Fail($"{kind}, seed {seed + i}: {error}");
            }

            TimeSpan time = Stopwatch.GetElapsedTime(start);
            slowest = time > slowest ? time : slowest;
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            mostAllocated = Math.Max(mostAllocated, allocated);
            Assert.True(allocated < MaxAllocatedBytes, $"{kind}, seed {seed + i}: {allocated} bytes allocated for a file of {bytes.Length}");
        }

        output.WriteLine($"{kind}: {inputs} mutated files, {accepted - 1} still readable, at most {mostAllocated} bytes allocated and {slowest.TotalMilliseconds:F1} ms for one");
    }

    // Truncating to nothing first would cost a flush to the disk per file on ext4.
    private static void Overwrite(string path, byte[] bytes)
    {
        using var stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Write);
        stream.Write(bytes);
        stream.SetLength(bytes.Length);
    }

    private static void ReadAll(string path)
    {
        using TensorFile file = TensorFile.Open(path);
        foreach (TensorEntry entry in file.Entries.Values)
        {
            if (entry.Type.Scalar() is null) continue;
            using Tensor tensor = file.Read(entry.Name);
            Assert.Equal(entry.ElementCount, tensor.numel());
        }
    }

    private static void LoadBackbone(string path)
    {
        using BackboneWeights weights = BackboneWeights.Open(path);
        using Backbone backbone = weights.CreateBackbone();
    }

    private static byte[] Mutate(byte[] valid, Random random)
    {
        List<byte> bytes = [.. valid];
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            // Half of the damage goes where the structure is: the start and the end of the file.
            int at = random.Next(4) switch { 0 => random.Next(Math.Min(bytes.Count, 64)), 1 => bytes.Count - 1 - random.Next(Math.Min(bytes.Count, 200)), _ => random.Next(bytes.Count) };
            int length = Math.Min(random.Next(1, 40), bytes.Count - at);
            switch (random.Next(7))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = (byte)random.Next(256); break;
                case 2: WriteExtreme(CollectionsMarshal.AsSpan(bytes)[at..], random); break;
                case 3: bytes.RemoveRange(at, length); break;
                case 4: bytes.InsertRange(at, bytes.GetRange(random.Next(bytes.Count - length + 1), length)); break;
                case 5: bytes.RemoveRange(at, bytes.Count - at); break;
                case 6: ReplaceNumber(bytes, at, random); break;
            }

            if (bytes.Count == 0) bytes.Add(0);
        }

        return [.. bytes];
    }

    private static void WriteExtreme(Span<byte> target, Random random)
    {
        Span<byte> number = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(number, Extremes[random.Next(Extremes.Length)]);
        number[..Math.Min(target.Length, 1 << random.Next(4))].CopyTo(target);
    }

    // In JSON numbers are text: replace the digits at or after a place.
    private static void ReplaceNumber(List<byte> bytes, int at, Random random)
    {
        while (at < bytes.Count && bytes[at] is < (byte)'0' or > (byte)'9') at++;
        int end = at;
        while (end < bytes.Count && bytes[end] is >= (byte)'0' and <= (byte)'9') end++;
        bytes.RemoveRange(at, end - at);
        bytes.InsertRange(at, Encoding.ASCII.GetBytes($"{Extremes[random.Next(Extremes.Length)]}"));
    }

    private byte[] Valid(string kind)
    {
        using var scope = NewDisposeScope();
        Tensor a = arange(24, dtype: ScalarType.Float32).view(4, 6), b = ones(3, dtype: ScalarType.Bool), c = arange(5, dtype: ScalarType.Int64), d = zeros(2, 2, dtype: ScalarType.BFloat16);
        Tensor e = tensor(1.5);
        string path = Path.Combine(_folder, "valid");
        switch (kind)
        {
            case "backbone":
            case "config":
                using (var network = new VisionTransformer(new VisionTransformerConfig { PatchSize = 2, Width = 8, Depth = 1, Heads = 1, FeedForwardWidth = 8 }))
                {
                    network.Initialize(new Generator(1));
                    StateDict.Save(network, path);
                }

                if (kind == "backbone") return File.ReadAllBytes(path);
                WeightConverter.Convert(path, _folder, new WeightConversion { To = WeightLayout.HuggingFace });
                return File.ReadAllBytes(Path.Combine(_folder, "config.json"));
            case "safetensors":
                SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = a, ["b"] = b, ["c"] = c, ["d"] = d, ["e"] = e }, [new("format", "pt")]);
                return File.ReadAllBytes(path);
            case "index":
                SafetensorsWriter.WriteFolder(_folder, [new("a", ElementType.Float32, [4, 6]), new("c", ElementType.Int64, [5])], entry => entry.Name == "a" ? a.alias() : c.alias(), shardBytes: 50);
                return File.ReadAllBytes(Path.Combine(_folder, "model.safetensors.index.json"));
            case "zip":
                return PthBuilder.Zip(Pickle(legacy: false), ("archive/data/0", a.bytes.ToArray()), ("archive/data/1", c.bytes.ToArray()));
            default:
                return PthBuilder.Legacy(Pickle(legacy: true), true, ("0", 24, a.bytes.ToArray()), ("1", 5, c.bytes.ToArray()));
        }
    }

    private static byte[] Pickle(bool legacy) => new PickleBuilder().Op('}').Op('(').Text("iteration").Int(3)
        .Text("model").OrderedDictionary().Op('q', 1).Op('(')
        .Text("a").Tensor("0", 24, 0, [4, 6], [6, 1], legacy: legacy)
        .Text("t").Tensor("0", 24, 1, [3, 4], [1, 6], legacy: legacy)
        .Text("c").Tensor("1", 5, 0, [5], [1], "LongStorage", legacy)
        .Op('u').Op('}').Text("_metadata").OrderedDictionary().Op('s').Op('b')
        .Text("again").Op('h', 1)
        .Text("args").Global("argparse", "Namespace").Op(')').Op(0x81).Op('}').Text("lr").Double(0.1).Op('s').Op('b')
        .Op('u').Stop();
}
