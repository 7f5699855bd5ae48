using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Forward passes of the ConvNeXt: our own kernels against the modules on libtorch, as they are and with channels-last maps.</summary>
internal static class ConvNeXtBenchmark
{
    private static readonly (string Preset, int Size, int Batch)[] Work = [("dinov3-convnext-tiny", 256, 1), ("dinov3-convnext-tiny", 256, 8), ("dinov3-convnext-base", 256, 1)];

    public static void Run(Report report)
    {
        IReadOnlyDictionary<ComputeType, double> peaks = Peaks.Measure();
        report.Section(
            "ConvNeXt, forward",
            $"Untrained weights (scales drawn between 0.1 and 0.5), {get_num_threads()} threads. Times are best / median in ms of interleaved repetitions; the ratio is of the medians, against libtorch in float32. The error is that of the normalised tokens. "
            + $"The last column is the arithmetic at the best time as a share of what a loop of that precision reaches in the first-level cache: {string.Join(", ", peaks.Select(p => $"{p.Key} {p.Value:F0} Gop/s"))}.");
        report.Table(["network", "pixels", "batch", "route", "ms", "to libtorch", "images/s", "error", "Gop/s", "of peak"], Work.SelectMany(work => Rows(work, peaks)));
    }

    private static IEnumerable<string[]> Rows((string Preset, int Size, int Batch) work, IReadOnlyDictionary<ComputeType, double> peaks)
    {
        var config = (ConvNeXtConfig)Presets.Find(work.Preset).Config;
        using var random = new Generator(1);
        using var network = new ConvNeXt(config);
        network.Initialize(random);
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            if (name.EndsWith("gamma", StringComparison.Ordinal)) parameter.uniform_(0.1, 0.5, random);
        }

        using Tensor images = randn([work.Batch, 3, work.Size, work.Size], generator: random), channelsLast = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2); // [B, C, H, W]
        var subjects = new List<(string Name, ComputeType Type, FeatureError Error, Action Run, IDisposable? Owned)>
        {
            ("libtorch", ComputeType.Float32, new(0, 1), () => network.RunLayers(images, [3])[0].Dispose(), null),
            ("libtorch, channels last", ComputeType.Float32, new(0, 1), () => network.RunLayers(channelsLast, [3])[0].Dispose(), null),
        };
        foreach (ComputeType type in peaks.Keys)
        {
            (InferenceEngine? made, InferenceRoute route) = EngineChoice.For(network, type, memory: null);
            InferenceEngine engine = made ?? throw new DinoSharpException($"nothing to compare: {route}");
            FeatureError error = FeatureError.Measure(network, engine, images);
            if (type == ComputeType.Float32 && error.Relative > 1e-5) throw new DinoSharpException($"the two paths differ: {error}");
            subjects.Add((type.ToString(), type, error, () => engine.Forward(images, [3])[0].Dispose(), engine));
        }

        IReadOnlyList<Timing> times = Measure.Interleaved(1.5, [.. subjects.Select(s => new Subject(s.Name, s.Run))]);
        for (int i = 0; i < times.Count; i++)
        {
            double speed = work.Batch * Flops(config, work.Size) / times[i].Best / 1e6;
            yield return
            [
                work.Preset, Text(work.Size), Text(work.Batch), subjects[i].Name, $"{Report.Number(times[i].Best)} / {Report.Number(times[i].Median)}", Report.Number(times[0].Median / times[i].Median), Report.Number(1000 * work.Batch / times[i].Best),
                i < 2 ? "" : subjects[i].Error.Relative.ToString("E1", CultureInfo.InvariantCulture), speed.ToString("F0", CultureInfo.InvariantCulture), (speed / peaks[subjects[i].Type]).ToString("P0", CultureInfo.InvariantCulture),
            ];
        }

        foreach (var subject in subjects) subject.Owned?.Dispose();
    }

    private static double Flops(ConvNeXtConfig config, int size)
    {
        int[] depths = [config.Depths.Stage0, config.Depths.Stage1, config.Depths.Stage2, config.Depths.Stage3], widths = [config.Dims.Stage0, config.Dims.Stage1, config.Dims.Stage2, config.Dims.Stage3];
        double total = 0;
        for (int s = 0; s < 4; s++)
        {
            double pixels = Math.Pow(size >> (s + 2), 2), inputs = s == 0 ? 16.0 * config.InputChannels : 4.0 * widths[s - 1], c = widths[s];
            total += 2 * pixels * ((inputs * c) + (depths[s] * ((49 * c) + (8 * c * c))));
        }

        return total;
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
