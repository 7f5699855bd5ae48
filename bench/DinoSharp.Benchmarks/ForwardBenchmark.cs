using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Forward passes of the backbones up to the normalised tokens: our own kernels in every precision, the same network on libtorch and in ONNX Runtime, interleaved in one process.</summary>
internal static class ForwardBenchmark
{
    private static readonly Work[] Short =
    [
        new("dinov3-vits16", 224, 1), new("dinov3-vits16", 224, 8), new("dinov3-vits16", 256, 1), new("dinov3-vits16", 256, 8), new("dinov3-vits16", 768, 1),
        new("dinov3-vitb16", 224, 1), new("dinov3-vitb16", 224, 8), new("dinov3-vitb16", 256, 1), new("dinov3-vitb16", 768, 1),
        new("dinov3-vitl16", 224, 1), new("dinov3-vitl16", 256, 1),
    ];

    private static readonly Work[] Rest = [new("dinov3-vitb16", 256, 8), new("dinov3-vitl16", 224, 8), new("dinov3-vitl16", 256, 8)];

    private static readonly Work[] ConvNeXts = [new("dinov3-convnext-tiny", 256, 1), new("dinov3-convnext-tiny", 256, 8), new("dinov3-convnext-base", 256, 1)];

    /// <summary>Vision transformers, as many as fit into a few minutes.</summary>
    public static void Run(Report report) => Compare(report, "Forward", Short);

    /// <summary>The large batches that the short set leaves out, and batches of 32 beside those of 8.</summary>
    public static void RunRest(Report report)
    {
        BatchBenchmark.Run(report); // first, while no large network has left its memory behind
        Compare(report, "Forward, large batches", Rest);
    }

    /// <summary>ConvNeXt networks.</summary>
    public static void RunConvNeXt(Report report) => Compare(report, "ConvNeXt, forward", ConvNeXts);

    /// <summary>A network of a preset's shape in which every block counts.</summary>
    public static Backbone Network(BackboneConfig config, Generator random)
    {
        Backbone network = config is VisionTransformerConfig vit ? new VisionTransformer(vit) : new ConvNeXt((ConvNeXtConfig)config);
        network.Initialize(random);
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            if (name.EndsWith("gamma", StringComparison.Ordinal)) parameter.uniform_(0.1, 0.5, random);
            else if (name.EndsWith(".bias", StringComparison.Ordinal)) parameter.normal_(0, 0.1, random);
        }

        return network;
    }

    private static void Compare(Report report, string title, IEnumerable<Work> works)
    {
        var peaks = new Peaks();
        var rows = new List<Row>();
        var choices = new List<string[]>();
        foreach (Work work in works)
        {
            rows.AddRange(Rows(work, peaks, choices));
            Console.Error.WriteLine($"{work.Preset} {work.Size} x {work.Batch} done");
        }

        report.Section(
            title,
            $"Untrained weights (scales drawn between 0.1 and 0.5, so that every block counts), {get_num_threads()} threads, ONNX Runtime {OnnxPeer.Version} on the same weights in its fused operators. All end with the normalised tokens. "
            + "Times are best / median in ms of interleaved repetitions. Ratios are of the medians: against libtorch in float32 with the graph written the obvious way, and against ONNX Runtime (float32 against its float32; the others against the faster of its two). "
            + "The error is that of the normalised tokens against libtorch in float32; the cosine is that of the worst token. \"Of peak\": the arithmetic of the whole pass (2 operations a multiply-add) at the best time, as a share of what a loop of that precision "
            + $"reaches here in the first-level cache on all threads, the most of several measurements between the rows: {peaks}. \"Linear layers\": the same for the linear layers alone, in the time spent in them (bias, GELU, residual and rounding included), and their share of the pass.");
        report.Table(
            ["network", "pixels", "batch", "route", "ms", "to libtorch", "to ONNX Runtime", "images/s", "error", "worst cosine", "Gop/s", "of peak", "linear layers: of peak", "share of the time"],
            rows.Select(row => row.Cells(peaks)));
        report.Section("What auto chose", "The reasons as `dino doctor` shows them; times of one picture.");
        report.Table(["network", "pixels", "route"], choices);
    }

    private static IEnumerable<Row> Rows(Work work, Peaks peaks, List<string[]> choices)
    {
        BackboneConfig config = Presets.Find(work.Preset).Config;
        using var random = new Generator(1);
        using Backbone network = Network(config, random);
        using Tensor images = randn([work.Batch, 3, work.Size, work.Size], generator: random);
        float[] pixels = images.data<float>().ToArray();
        using var quiet = no_grad();
        using Tensor expected = FeatureError.Expected(network, images); // [B, N, D]
        int[] last = [config.LayerCount - 1];
        var passes = new List<Pass> { new("libtorch Float32", ComputeType.Float32, () => Finish(network, network.RunLayers(images, last))) };
        if (config is ConvNeXtConfig)
        {
            Tensor channelsLast = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2); // [B, C, H, W]
            passes.Add(new("libtorch Float32, channels last", ComputeType.Float32, () => Finish(network, network.RunLayers(channelsLast, last))) { Owned = channelsLast });
        }

        int first = passes.Count;
        foreach (ComputeType type in peaks.Types.Append(ComputeType.Auto))
        {
            (InferenceEngine? made, InferenceRoute route) = EngineChoice.For(network, type, memory: null);
            if (type == ComputeType.Auto) choices.Add([work.Preset, Row.Text(work.Size), route.Description]);
            string name = type == ComputeType.Auto ? $"Auto ({route.Compute})" : $"{type}";
            passes.Add(made is null ? new(name, route.Compute, passes[0].Run) : new(name, route.Compute, () => Finish(network, made.Forward(images, last))) { Owned = made, Error = FeatureError.Measure(network, made, images, expected) });
        }

        foreach (bool int8 in new[] { false, true })
        {
            var peer = new OnnxPeer(network, images, expected.shape, int8);
            passes.Add(new(int8 ? "ONNX Runtime int8" : "ONNX Runtime float32", int8 ? ComputeType.Int8 : ComputeType.Float32, () => peer.Run(pixels)) { Owned = peer, Error = peer.Error(pixels, expected) });
        }

        // A speed of wrong numbers is no speed.
        foreach (Pass pass in passes)
        {
            if (pass.Error.Relative > (pass.Type == ComputeType.Float32 ? 2e-5 : 0.1)) throw new DinoSharpException($"{pass.Name} computes something else: {pass.Error}");
        }

        peaks.Measure();
        IReadOnlyList<Timing> times = Measure.Interleaved(1.5, [.. passes.Select(pass => new Subject(pass.Name, pass.Timed))]);
        peaks.Measure();
        foreach (Pass pass in passes) pass.Owned?.Dispose();
        double onnx = times[^2].Median, onnxBest = Math.Min(onnx, times[^1].Median);
        return [.. passes.Select((pass, i) => new Row(work, pass, times[i], times[0].Median, i < first || i >= passes.Count - 2 ? null : pass.Type == ComputeType.Float32 ? onnx : onnxBest))];
    }

    private static void Finish(Backbone network, Tensor[] layers)
    {
        network.NormalizeTokens(layers[0]).Dispose();
        layers[0].Dispose();
    }

    private sealed record Work(string Preset, int Size, int Batch);

    /// <summary>One way to compute a network.</summary>
    private sealed record Pass(string Name, ComputeType Type, Action Run)
    {
        public FeatureError Error { get; init; } = new(0, 1);

        public IDisposable? Owned { get; init; }

        /// <summary>The fastest that its linear layers were; none where they are not ours.</summary>
        public (double Seconds, double[] Operations)? Linear { get; private set; }

        public void Timed()
        {
            LinearClock clock = Inference.Workers.Shared.Linear;
            clock.Take();
            Run();
            (double Seconds, double _, double[] Operations) taken = clock.Take();
            if (taken.Seconds > 0 && (Linear is null || taken.Seconds < Linear.Value.Seconds)) Linear = (taken.Seconds, taken.Operations);
        }
    }

    /// <summary>A row of the table; its shares are known when all peaks are.</summary>
    private sealed record Row(Work Work, Pass Pass, Timing Time, double Libtorch, double? Onnx)
    {
        public static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

        public string[] Cells(Peaks peaks)
        {
            BackboneConfig config = Presets.Find(Work.Preset).Config;
            double speed = Work.Batch * Arithmetic.Operations(config, Work.Size) / Time.Best / 1e6;
            (string share, string ofTime) = ("", "");
            if (Pass.Linear is { } linear)
            {
                // The last vector of an image is padded; only its tokens count. Pixels of these maps fill their vectors.
                int tokens = Arithmetic.Tokens(config, Work.Size), lanes = Lanes512.IsSupported ? 16 : 8;
                double useful = config is VisionTransformerConfig ? (double)tokens / ((tokens + lanes - 1) / lanes * lanes) : 1;
                double ideal = linear.Operations.Select((operations, type) => operations == 0 ? 0 : useful * operations / peaks[(ComputeType)type] / 1e9).Sum();
                (share, ofTime) = (Percent(ideal / linear.Seconds), Percent(1000 * linear.Seconds / Time.Best));
            }

            return
            [
                Work.Preset, Text(Work.Size), Text(Work.Batch), Pass.Name, $"{Report.Number(Time.Best)} / {Report.Number(Time.Median)}", Report.Number(Libtorch / Time.Median),
                Onnx is { } onnx ? Report.Number(onnx / Time.Median) : "", Report.Number(1000 * Work.Batch / Time.Best),
                Pass.Error.Relative == 0 ? "" : Pass.Error.Relative.ToString("E1", CultureInfo.InvariantCulture), Pass.Error.Relative == 0 ? "" : Pass.Error.WorstCosine.ToString("F6", CultureInfo.InvariantCulture),
                speed.ToString("F0", CultureInfo.InvariantCulture), Percent(speed / peaks[Pass.Type]), share, ofTime,
            ];
        }

        private static string Percent(double share) => share.ToString("P0", CultureInfo.InvariantCulture);
    }
}
