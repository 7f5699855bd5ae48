using DinoSharp.Backbones;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class LoadingMemoryTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [Trait("Category", "Long")]
    [InlineData(null)]
    [InlineData(ElementType.BFloat16)]
    public async Task Loading_a_gigabyte_takes_no_more_memory_than_the_network_and_one_tensor(ElementType? type)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the peak of resident memory is read from /proc");
        string path = _folder.File("vitl.safetensors");
        long model, largest;
        using (var scope = NewDisposeScope())
        {
            using Backbone network = Backbone.Create(Presets.Find("vitl16").Config);
            model = network.state_dict().Values.Sum(tensor => tensor.numel() * tensor.element_size());
            largest = network.state_dict().Values.Max(tensor => tensor.numel() * tensor.element_size());
            using (no_grad())
            {
                foreach (Tensor tensor in network.parameters()) tensor.zero_();
            }

            StateDict.Save(network, path);
        }

        if (type is not null)
        {
            string converted = _folder.File("converted.safetensors");
            WeightConverter.Convert(path, converted, new WeightConversion { To = WeightLayout.Timm, Type = type });
            path = converted;
        }

        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(_folder.Path, "dotnet", typeof(LoadingMemoryTests).Assembly.Location, "load", path);
        long used = long.Parse(outcome.Succeeded());
        output.WriteLine($"file {new FileInfo(path).Length >> 20} MiB, network {model >> 20} MiB, largest tensor {largest >> 20} MiB: resident memory grew by {used >> 20} MiB at most");
        const long bookkeeping = 64 << 20; // managed heap, code compiled meanwhile, the allocator's own
        Assert.InRange(used, model, model + largest + bookkeeping);
    }

    /// <summary>Loads a file in this process and prints by how many bytes its resident memory grew at most; memory that other tests gave back would hide it.</summary>
    internal static int Measure(string path)
    {
        zeros(1).Dispose(); // libtorch itself is not counted
        File.WriteAllText("/proc/self/clear_refs", "5"); // resets the peak
        long before = Status("VmRSS:");
        using BackboneWeights weights = BackboneWeights.Open(path);
        using Backbone backbone = weights.CreateBackbone();
        Console.WriteLine(Status("VmHWM:") - before);
        return 0;
    }

    private static long Status(string key) => 1024 * long.Parse(File.ReadLines("/proc/self/status").First(line => line.StartsWith(key, StringComparison.Ordinal))[key.Length..].Trim().Split(' ')[0]);
}
