using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Forward passes of the backbones: our own kernels in every precision against the same network on libtorch, interleaved in one process.</summary>
internal static class ForwardBenchmark
{
    private static readonly (string Preset, int Size, int Batch)[] Short =
    [
        ("dinov3-vits16", 224, 1), ("dinov3-vits16", 224, 8), ("dinov3-vits16", 256, 8), ("dinov3-vits16", 768, 1),
        ("dinov3-vitb16", 224, 1), ("dinov3-vitb16", 224, 8), ("dinov3-vitb16", 256, 1), ("dinov3-vitb16", 768, 1),
        ("dinov3-vitl16", 224, 1), ("dinov3-vitl16", 256, 1),
    ];

    private static readonly (string Preset, int Size, int Batch)[] Rest =
    [
        ("dinov3-vits16", 256, 1), ("dinov3-vitb16", 256, 8), ("dinov3-vitl16", 224, 8), ("dinov3-vitl16", 256, 8),
    ];

    /// <summary>What fits into a few minutes.</summary>
    public static void Run(Report report) => Run(report, Short);

    /// <summary>The sizes and batches that the short set leaves out.</summary>
    public static void RunRest(Report report) => Run(report, Rest);

    private static void Run(Report report, IEnumerable<(string Preset, int Size, int Batch)> works)
    {
        IReadOnlyDictionary<ComputeType, double> peaks = Peaks.Measure();
        report.Section(
            "Forward",
            $"Untrained weights (layer scale drawn between 0.1 and 0.5, so that every block counts), {get_num_threads()} threads, ONNX Runtime {OnnxPeer.Version} on the same weights in its fused operators. Times are best / median in ms of interleaved repetitions. "
            + "Ratios are of the medians: against libtorch in float32 with the graph written the obvious way, and against ONNX Runtime (float32 against its float32; reduced precision against the faster of its two). "
            + "The error is that of the normalised tokens against libtorch in float32; the cosine is that of the worst token. The last column is the arithmetic of the whole pass (linear layers and attention, 2 operations a multiply-add) at the best time, "
            + $"as a share of what a loop of that precision reaches here in the first-level cache on all threads: {string.Join(", ", peaks.Select(p => $"{p.Key} {p.Value:F0} Gop/s"))}.");
        report.Table(["network", "pixels", "batch", "route", "ms", "to libtorch", "to ONNX Runtime", "images/s", "error", "worst cosine", "Gop/s", "of peak"], works.SelectMany(work => Rows(work, peaks)));
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

    private static IEnumerable<string[]> Rows((string Preset, int Size, int Batch) work, IReadOnlyDictionary<ComputeType, double> peaks)
    {
        var config = (VisionTransformerConfig)Presets.Find(work.Preset).Config;
        using var random = new Generator(1);
        using VisionTransformer network = Network(config, random);
        using Tensor images = randn([work.Batch, 3, work.Size, work.Size], generator: random);
        float[] pixels = images.data<float>().ToArray();
        using var quiet = no_grad();
        var routes = new List<Route> { new("libtorch Float32", ComputeType.Float32, new(0, 1), () => network.ForwardFeatures(images).Dispose(), null) };
        foreach (ComputeType type in peaks.Keys)
        {
            (InferenceEngine? made, InferenceRoute route) = EngineChoice.For(network, type, memory: null);
            InferenceEngine engine = made ?? throw new DinoSharpException($"nothing to compare: {route}");
            routes.Add(new(type.ToString(), type, FeatureError.Measure(network, engine, images), () => Array.ForEach(engine.Forward(images, [config.Depth - 1]), t => t.Dispose()), engine));
        }

        foreach (bool int8 in new[] { false, true })
        {
            var peer = new OnnxPeer(network, images, int8);
            routes.Add(new(int8 ? "ONNX Runtime int8" : "ONNX Runtime float32", int8 ? ComputeType.Int8 : ComputeType.Float32, peer.Error(network, images), () => peer.Run(pixels), peer));
        }

        // A speed of wrong numbers is no speed.
        foreach (Route route in routes)
        {
            if (route.Error.Relative > (route.Type == ComputeType.Float32 ? 2e-5 : 0.1)) throw new DinoSharpException($"{route.Name} computes something else: {route.Error}");
        }

        IReadOnlyList<Timing> times = Measure.Interleaved(1.5, [.. routes.Select(route => new Subject(route.Name, route.Run))]);
        double onnx = times[^2].Median, onnxBest = Math.Min(onnx, times[^1].Median);
        for (int i = 0; i < times.Count; i++)
        {
            double speed = work.Batch * Flops(config, work.Size) / times[i].Best / 1e6;
            Route route = routes[i];
            bool isPeer = i == 0 || i >= times.Count - 2;
            yield return
            [
                work.Preset, Text(work.Size), Text(work.Batch), route.Name, $"{Report.Number(times[i].Best)} / {Report.Number(times[i].Median)}", Report.Number(times[0].Median / times[i].Median),
                isPeer ? "" : Report.Number((route.Type == ComputeType.Float32 ? onnx : onnxBest) / times[i].Median), Report.Number(1000 * work.Batch / times[i].Best),
                i == 0 ? "" : route.Error.Relative.ToString("E1", CultureInfo.InvariantCulture), i == 0 ? "" : route.Error.WorstCosine.ToString("F6", CultureInfo.InvariantCulture),
                speed.ToString("F0", CultureInfo.InvariantCulture), (speed / peaks[route.Type]).ToString("P0", CultureInfo.InvariantCulture),
            ];
        }

        foreach (Route route in routes) route.Owned?.Dispose();
    }

    private static double Flops(VisionTransformerConfig config, int size)
    {
        double patches = Math.Pow(size / config.PatchSize, 2), tokens = 1 + config.Registers + patches, d = config.Width;
        double feed = (config.FeedForward == FeedForwardKind.SwiGlu ? 3 : 2) * d * config.FeedForwardWidth;
        return 2 * ((patches * 3 * config.PatchSize * config.PatchSize * d) + (config.Depth * ((tokens * ((4 * d * d) + feed)) + (2 * tokens * tokens * d))));
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private sealed record Route(string Name, ComputeType Type, FeatureError Error, Action Run, IDisposable? Owned);
}
