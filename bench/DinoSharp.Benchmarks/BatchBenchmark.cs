using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Batches of 8 and 32 of the same network: whether an image costs the same in both, and the memory that each takes.</summary>
internal static class BatchBenchmark
{
    private const int Size = 224;

    private static readonly int[] Batches = [8, 32];

    public static void Run(Report report)
    {
        report.Section(
            "Batches",
            $"{Size} pixels, {get_num_threads()} threads, interleaved; images per second at the median, and against the first batch size. Memory: the most that the process holds during a pass (network, packed weights and libtorch included), and how much of it is new with the pass.");
        report.Table(["network", "route", "batch", "ms", "images/s", "to batch 8", "peak MiB", "of it by the pass, MiB"], new[] { "dinov3-vits16", "dinov3-vitb16" }.SelectMany(Rows));
    }

    private static IEnumerable<string[]> Rows(string preset)
    {
        BackboneConfig config = Presets.Find(preset).Config;
        using var random = new Generator(1);
        using Backbone network = ForwardBenchmark.Network(config, random);
        using var quiet = no_grad();
        Tensor[] images = [.. Batches.Select(batch => randn([batch, 3, Size, Size], generator: random))];
        foreach (ComputeType type in new[] { ComputeType.Float32, ComputeType.Auto })
        {
            (InferenceEngine? engine, InferenceRoute route) = EngineChoice.For(network, type, memory: null);
            Action[] passes = [.. images.Select(batch => (Action)(() => Pass(batch)))];
            (long Before, long Peak)[] memory = [.. passes.Select(Memory)];
            IReadOnlyList<Timing> times = Measure.Interleaved(6, [.. passes.Select((pass, i) => new Subject($"{Batches[i]}", pass))]);
            for (int i = 0; i < Batches.Length; i++)
            {
                double speed = 1000 * Batches[i] / times[i].Median;
                yield return
                [
                    preset, type == ComputeType.Auto ? $"Auto ({route.Compute})" : $"{type}", Text(Batches[i]), $"{Report.Number(times[i].Best)} / {Report.Number(times[i].Median)}", Report.Number(speed),
                    Report.Number(speed / (1000 * Batches[0] / times[0].Median)), Text(memory[i].Peak), Text(memory[i].Peak - memory[i].Before),
                ];
            }

            engine?.Dispose();

            void Pass(Tensor batch)
            {
                using var scope = NewDisposeScope();
                int[] last = [config.LayerCount - 1];
                network.NormalizeTokens((engine?.Forward(batch, last) ?? network.RunLayers(batch, last))[0]);
            }
        }

        foreach (Tensor batch in images) batch.Dispose();
    }

    // MiB in use before a pass and at most during it, as Linux counts them.
    private static (long Before, long Peak) Memory(Action pass)
    {
        if (!OperatingSystem.IsLinux()) return (0, 0);
        GC.Collect();
        File.WriteAllText("/proc/self/clear_refs", "5"); // the peak begins anew
        long before = Status("VmRSS:");
        pass();
        return (before, Status("VmHWM:"));
    }

    private static long Status(string key) => long.Parse(File.ReadLines("/proc/self/status").First(line => line.StartsWith(key, StringComparison.Ordinal)).Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024;

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
