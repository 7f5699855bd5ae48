using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Forward passes of the backbones in float32: our own kernels against the same network on libtorch, interleaved in one process.</summary>
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
        double peak = Lanes512.IsSupported ? PeakOf<Lanes512, Vector512<float>>() : Lanes256.IsSupported ? PeakOf<Lanes256, Vector256<float>>() : 0;
        report.Section(
            "Forward, float32",
            $"Untrained weights, {threads} threads. Times are the best and the median of interleaved repetitions; the ratio is of the medians. The last column is the arithmetic of the whole pass "
            + $"(linear layers and attention, 2 operations a multiply-add) at the best time, as a share of the {peak:F0} GFLOP/s that a register-resident multiply-add loop reached on all threads.");
        report.Table(["network", "pixels", "batch", "libtorch ms", "own kernels ms", "ratio", "images/s", "GFLOP/s", "of peak"], Work.Select(work => Row(work, peak)));
    }

    private static string[] Row((string Preset, int Size, int Batch) work, double peak)
    {
        var config = (VisionTransformerConfig)Presets.Find(work.Preset).Config;
        using var random = new Generator(1);
        using var network = new VisionTransformer(config);
        network.Initialize(random);
        using VisionTransformerEngine engine = VisionTransformerEngine.TryCreate(network, out string reason) ?? throw new DinoSharpException($"nothing to compare: {reason}");
        using Tensor images = randn([work.Batch, 3, work.Size, work.Size], generator: random);
        using var quiet = no_grad();
        Check(network, engine, images);
        IReadOnlyList<Timing> times = Measure.Interleaved(
            4,
            new Subject("libtorch", () => network.ForwardFeatures(images).Dispose()),
            new Subject("own kernels", () => Array.ForEach(engine.Forward(images, [config.Depth - 1]), t => t.Dispose())));
        double flops = work.Batch * Flops(config, work.Size), speed = flops / times[1].Best / 1e6;
        return
        [
            work.Preset, Text(work.Size), Text(work.Batch), $"{Report.Number(times[0].Best)} / {Report.Number(times[0].Median)}", $"{Report.Number(times[1].Best)} / {Report.Number(times[1].Median)}",
            Report.Number(times[0].Median / times[1].Median), Report.Number(1000 * work.Batch / times[1].Best), speed.ToString("F0", CultureInfo.InvariantCulture), (speed / peak).ToString("P0", CultureInfo.InvariantCulture),
        ];
    }

    // A speed of wrong numbers is no speed.
    private static void Check(VisionTransformer network, VisionTransformerEngine engine, Tensor images)
    {
        using var scope = NewDisposeScope();
        Tensor expected = network.ForwardFeatures(images).PreNorm, actual = engine.Forward(images, [network.Config.LayerCount - 1])[0];
        double error = ((actual - expected).abs().max() / expected.abs().max()).item<float>();
        if (!(error < 1e-5)) throw new DinoSharpException($"the two paths differ by {error:g3} of the largest value");
    }

    private static double Flops(VisionTransformerConfig config, int size)
    {
        double patches = Math.Pow(size / config.PatchSize, 2), tokens = 1 + config.Registers + patches, d = config.Width;
        double feed = (config.FeedForward == FeedForwardKind.SwiGlu ? 3 : 2) * d * config.FeedForwardWidth;
        return 2 * ((patches * 3 * config.PatchSize * config.PatchSize * d) + (config.Depth * ((tokens * ((4 * d * d) + feed)) + (2 * tokens * tokens * d))));
    }

    // Tiles whose operands stay in the first-level cache, on all threads at once.
    private static unsafe double PeakOf<L, V>()
        where L : struct, ILanes<V>
        where V : struct
    {
        const int depth = 64, repeats = 20_000;
        var workers = new Workers(get_num_threads());
        double best = 0;
        for (int round = 0; round < 10; round++)
        {
            long start = Stopwatch.GetTimestamp();
            workers.Phase(workers.Count, _ =>
            {
                float* a = stackalloc float[depth * 8], b = stackalloc float[depth * 48], c = stackalloc float[8 * 48];
                for (int i = 0; i < repeats; i++) Tile<L, V>.Multiply(3, depth, a, L.Rows, b, 3 * L.Count, c, 3 * L.Count, accumulate: false);
            });
            double flops = 2.0 * workers.Count * repeats * depth * L.Rows * 3 * L.Count;
            best = Math.Max(best, flops / Stopwatch.GetElapsedTime(start).TotalSeconds / 1e9);
        }

        return best;
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
