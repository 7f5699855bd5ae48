using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Batches of 8 and 32 of the same network: whether an image costs the same in both, and the memory that each takes.</summary>
internal static class BatchBenchmark
{
    /// <summary>Argument that makes this program compute one batch and print what it holds of memory, in MiB; network, precision, batch and a file with the choices of auto follow.</summary>
    public const string OnlyBatch = "--only-batch";

    private const int Size = 224;

    private const double Noise = 0.02;

    private static readonly int[] Batches = [8, 32];

    private static readonly string[] Networks = ["dinov3-vits16", "dinov3-vitb16", "dinov3-vitl16", "dinov3-convnext-tiny"];

    /// <summary>The goal that the numbers decide.</summary>
    public static IReadOnlyList<Goal> Run(Report report)
    {
        var reached = new List<Reached>();
        string routes = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.json");
        string[][] rows;
        try
        {
            rows = [.. Networks.SelectMany(preset => Rows(preset, routes, reached))];
        }
        finally
        {
            File.Delete(routes);
        }

        report.Section(
            "Batches",
            $"{Size} pixels, {get_num_threads()} threads, both batches in turn. {Measure.Words} Images per second at the median; to batch 8, best to best / median to median. "
            + "Memory: the most that a process of its own holds during one pass, with libraries, weights for libtorch and packed weights.");
        report.Table(["network", "route", "batch", "ms", "repetitions", "images/s", "to batch 8", "MiB"], rows);
        return [new Goal($"throughput of batch {Batches[1]} (noise of {Noise:P0} is let pass)", $"times that of batch {Batches[0]}", 1 - Noise, reached)];
    }

    /// <summary>What <see cref="OnlyBatch"/> does.</summary>
    public static void ComputeOnce(string preset, string type, string batch, string routes)
    {
        using var random = new Generator(1);
        using Backbone network = ForwardBenchmark.Network(Presets.Find(preset).Config, random);
        using var quiet = no_grad();
        using InferenceEngine? engine = EngineChoice.For(network, Enum.Parse<ComputeType>(type), new RouteMemory(routes)).Engine;
        using Tensor images = randn([int.Parse(batch, CultureInfo.InvariantCulture), 3, Size, Size], generator: random);
        GC.Collect();
        if (OperatingSystem.IsLinux()) File.WriteAllText("/proc/self/clear_refs", "5"); // the peak begins anew, without what loading took for a moment
        Pass(network, engine, images);
        Console.WriteLine(OwnProcess.PeakMebibytes().ToString(CultureInfo.InvariantCulture));
    }

    private static IEnumerable<string[]> Rows(string preset, string routes, List<Reached> reached)
    {
        using var random = new Generator(1);
        using Backbone network = ForwardBenchmark.Network(Presets.Find(preset).Config, random);
        using var quiet = no_grad();
        Tensor[] images = [.. Batches.Select(batch => randn([batch, 3, Size, Size], generator: random))];
        foreach (ComputeType type in new[] { ComputeType.Float32, ComputeType.Auto })
        {
            (InferenceEngine? engine, InferenceRoute route) = EngineChoice.For(network, type, new RouteMemory(routes));
            IReadOnlyList<Timing> times = Measure.Interleaved(3, [.. images.Select((batch, i) => new Subject($"{Batches[i]}", () => Pass(network, engine, batch)))]);
            engine?.Dispose();
            string name = type == ComputeType.Auto ? $"Auto ({route.Compute})" : $"{type}";
            for (int i = 0; i < Batches.Length; i++)
            {
                double scale = (double)Batches[i] / Batches[0], best = scale * times[0].Best / times[i].Best, median = scale * times[0].Median / times[i].Median;
                if (i > 0) reached.Add(new($"{preset}, {name}", best, median));
                yield return
                [
                    preset, name, Text(Batches[i]), $"{Report.Number(times[i].Best)} / {Report.Number(times[i].Median)}", Text(times[i].Count), Report.Number(1000 * Batches[i] / times[i].Median),
                    $"{Report.Number(best)} / {Report.Number(median)}", OwnProcess.Again(OnlyBatch, preset, type.ToString(), Text(Batches[i]), routes),
                ];
            }

            Console.Error.WriteLine($"{preset} {name} done");
        }

        foreach (Tensor batch in images) batch.Dispose();
    }

    private static void Pass(Backbone network, InferenceEngine? engine, Tensor images)
    {
        using var scope = NewDisposeScope();
        int[] last = [network.Config.LayerCount - 1];
        network.NormalizeTokens((engine?.Forward(images, last) ?? network.RunLayers(images, last))[0]);
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
