using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Forward passes of the backbones: our own kernels in every precision against the same network on libtorch, interleaved in one process.</summary>
internal static class ForwardBenchmark
{
    private static readonly (string Preset, int Size, int Batch)[] Work =
    [
        ("dinov3-vits16", 224, 1), ("dinov3-vits16", 224, 8), ("dinov3-vits16", 768, 1),
        ("dinov3-vitb16", 224, 1), ("dinov3-vitb16", 224, 8), ("dinov3-vitb16", 768, 1),
        ("dinov3-vitl16", 224, 1),
    ];

    public static void Run(Report report)
    {
        int threads = get_num_threads();
        IReadOnlyDictionary<ComputeType, double> peaks = Peaks.Measure();
        ComputeType[] types = [.. peaks.Keys];
        report.Section(
            "Forward",
            $"Untrained weights (layer scale drawn around 0.3, so that every block counts), {threads} threads. Times are the best / the median of interleaved repetitions in ms; ratios are of the medians, against libtorch in float32. "
            + "The error is that of the normalised tokens against libtorch in float32, relative; the cosine is that of the worst token. "
            + "The last column is the arithmetic of the whole pass (linear layers and attention, 2 operations a multiply-add) at the best time, as a share of what a register-resident loop of that precision reached on all threads: "
            + $"{string.Join(", ", peaks.Select(p => $"{p.Key} {p.Value:F0} Gop/s"))}.");
        report.Table(["network", "pixels", "batch", "route", "ms", "ratio", "images/s", "error", "worst cosine", "Gop/s", "of peak"], Work.SelectMany(work => Rows(work, types, peaks)));
    }

    /// <summary>A network of a preset's shape in which every block counts.</summary>
    public static VisionTransformer Network(VisionTransformerConfig config, Generator random)
    {
        var network = new VisionTransformer(config);
        network.Initialize(random);
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            if (name.EndsWith(".gamma", StringComparison.Ordinal)) parameter.uniform_(0.1, 0.5, random);
            else if (name.EndsWith(".bias", StringComparison.Ordinal)) parameter.normal_(0, 0.1, random);
        }

        return network;
    }

    private static IEnumerable<string[]> Rows((string Preset, int Size, int Batch) work, ComputeType[] types, IReadOnlyDictionary<ComputeType, double> peaks)
    {
        var config = (VisionTransformerConfig)Presets.Find(work.Preset).Config;
        using var random = new Generator(1);
        using VisionTransformer network = Network(config, random);
        VisionTransformerEngine[] engines = [.. types.Select(type => VisionTransformerEngine.TryCreate(network, type, out string reason) ?? throw new DinoSharpException($"nothing to compare: {reason}"))];
        using Tensor images = randn([work.Batch, 3, work.Size, work.Size], generator: random);
        using var quiet = no_grad();
        FeatureError[] errors = [.. engines.Select(engine => FeatureError.Measure(network, engine, images))];
        // A speed of wrong numbers is no speed.
        foreach ((ComputeType type, FeatureError error) in types.Zip(errors))
        {
            if (type == ComputeType.Float32 && error.Relative > 1e-5) throw new DinoSharpException($"the two paths differ: {error}");
        }

        IReadOnlyList<Timing> times = Measure.Interleaved(
            2,
            [new Subject("libtorch float32", () => network.ForwardFeatures(images).Dispose()), .. engines.Select((engine, i) => new Subject($"own {types[i]}", () => Array.ForEach(engine.Forward(images, [config.Depth - 1]), t => t.Dispose())))]);
        for (int i = 0; i < times.Count; i++)
        {
            double speed = work.Batch * Flops(config, work.Size) / times[i].Best / 1e6;
            ComputeType type = i == 0 ? ComputeType.Float32 : types[i - 1];
            yield return
            [
                work.Preset, Text(work.Size), Text(work.Batch), i == 0 ? "libtorch" : type.ToString(), $"{Report.Number(times[i].Best)} / {Report.Number(times[i].Median)}", Report.Number(times[0].Median / times[i].Median),
                Report.Number(1000 * work.Batch / times[i].Best), i == 0 ? "" : errors[i - 1].Relative.ToString("E1", CultureInfo.InvariantCulture), i == 0 ? "" : errors[i - 1].WorstCosine.ToString("F6", CultureInfo.InvariantCulture),
                speed.ToString("F0", CultureInfo.InvariantCulture), (speed / peaks[type]).ToString("P0", CultureInfo.InvariantCulture),
            ];
        }

        foreach (VisionTransformerEngine engine in engines) engine.Dispose();
    }

    private static double Flops(VisionTransformerConfig config, int size)
    {
        double patches = Math.Pow(size / config.PatchSize, 2), tokens = 1 + config.Registers + patches, d = config.Width;
        double feed = (config.FeedForward == FeedForwardKind.SwiGlu ? 3 : 2) * d * config.FeedForwardWidth;
        return 2 * ((patches * 3 * config.PatchSize * config.PatchSize * d) + (config.Depth * ((tokens * ((4 * d * d) + feed)) + (2 * tokens * tokens * d))));
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
