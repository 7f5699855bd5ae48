using DinoSharp.Backbones;
using DinoSharp.Inference;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Forward passes of the backbones up to the normalised tokens: our own kernels in every precision, the same network on libtorch and in ONNX Runtime, interleaved in one process.</summary>
internal static class ForwardBenchmark
{
    private const double SecondsEach = 1;

    private static readonly Work[] Short =
    [
        new("dinov3-vits16", 224, 1), new("dinov3-vits16", 224, 8), new("dinov3-vits16", 256, 1), new("dinov3-vits16", 256, 8), new("dinov3-vits16", 768, 1),
        new("dinov3-vitb16", 224, 1), new("dinov3-vitb16", 224, 8), new("dinov3-vitb16", 256, 1), new("dinov3-vitb16", 768, 1),
        new("dinov3-vitl16", 224, 1), new("dinov3-vitl16", 256, 1),
    ];

    private static readonly Work[] Rest = [new("dinov3-vitb16", 256, 8), new("dinov3-vitl16", 224, 8), new("dinov3-vitl16", 256, 8)];

    private static readonly Work[] ConvNeXts = [new("dinov3-convnext-tiny", 256, 1), new("dinov3-convnext-tiny", 256, 8), new("dinov3-convnext-base", 256, 1)];

    /// <summary>Vision transformers, as many as fit into a few minutes.</summary>
    public static void Run(Report report)
    {
        (IReadOnlyList<ForwardRow> rows, Peaks peaks) = Compare(report, "Forward", Short);
        report.Goals($"{string.Join(", ", Rest.AsEnumerable())} take minutes and are in `forward-rest`. {ForwardGoals.Text}", ForwardGoals.OfTransformers(rows, peaks, Short.Concat(Rest)));
    }

    /// <summary>The large batches that the short set leaves out, and batches of 32 beside those of 8.</summary>
    public static void RunRest(Report report)
    {
        IReadOnlyList<Goal> batches = BatchBenchmark.Run(report);
        (IReadOnlyList<ForwardRow> rows, Peaks peaks) = Compare(report, "Forward, large batches", Rest);
        report.Goals($"The other works are in `forward`. {ForwardGoals.Text}", [.. ForwardGoals.OfTransformers(rows, peaks, Short.Concat(Rest)), .. batches]);
    }

    /// <summary>ConvNeXt networks.</summary>
    public static void RunConvNeXt(Report report)
    {
        (IReadOnlyList<ForwardRow> rows, Peaks peaks) = Compare(report, "ConvNeXt, forward", ConvNeXts);
        report.Goals(ForwardGoals.Text, ForwardGoals.OfConvNeXts(rows, peaks));
    }

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

    private static (IReadOnlyList<ForwardRow> Rows, Peaks Peaks) Compare(Report report, string title, IEnumerable<Work> works)
    {
        var peaks = new Peaks();
        var rows = new List<ForwardRow>();
        var choices = new List<string[]>();
        foreach (IGrouping<string, Work> of in works.GroupBy(work => work.Preset)) rows.AddRange(Rows(of.Key, of, peaks, choices));
        report.Section(
            title,
            $"Untrained weights (scales drawn between 0.1 and 0.5, so that every block counts), {get_num_threads()} threads, ONNX Runtime {OnnxPeer.Version} on the same weights in its fused operators. All end with the normalised tokens. "
            + $"Times are in ms, best / median. {Measure.Words} In the rest the threads of the one before go to sleep; those of ONNX Runtime are told to when a pass ends (`session.force_spinning_stop`), because they would otherwise "
            + "hold a core while the next is timed. "
            + "Ratios, best to best / median to median: to libtorch in float32 with the graph written the obvious way, and to ONNX Runtime (float32 to its float32; the others to the faster of its two that keeps the limits which ours must keep; its int8 has a row of its own in any case). "
            + "Where auto takes kernels that are measured anyway, their row bears its name. The error is that of the normalised tokens against libtorch in float32; the cosine is that of the worst token. Images/s are of the median. "
            + $"\"Of peak\": the arithmetic of the whole pass (2 operations a multiply-add) at the best time, as a share of what a loop of that precision reaches here in the first-level cache on all threads, the most of several measurements between the rows: {peaks}. "
            + "\"Linear layers\": the same for the linear layers alone, in the best time spent in them (bias, GELU, residual and rounding included), and their share of the pass. "
            + "\"Products\": their matrix products alone, by the time of each thread within the tiles (waiting for weights and tokens included; bias, GELU, residual, rounding and waiting for other threads not), best / median of repetitions of their own, because looking at the clock costs time.");
        report.Table(ForwardRow.Header, rows.Select(row => row.Cells(peaks)));
        report.Section("What auto chose", "The reasons as `dino doctor` shows them; times of one picture.");
        report.Table(["network", "route"], choices);
        return (rows, peaks);
    }

    // One network at several sizes and batches: its engines and the choice of auto are made once.
    private static IEnumerable<ForwardRow> Rows(string preset, IEnumerable<Work> works, Peaks peaks, List<string[]> choices)
    {
        BackboneConfig config = Presets.Find(preset).Config;
        using var random = new Generator(1);
        using Backbone network = Network(config, random);
        using var quiet = no_grad();
        var engines = new List<Engine>();
        foreach (ComputeType type in peaks.Types.Prepend(ComputeType.Float32).Distinct())
        {
            (InferenceEngine? made, InferenceRoute route) = EngineChoice.For(network, type, memory: null);
            engines.Add(new(made, route.Compute, type.ToString(), IsAuto: false));
        }

        (InferenceEngine? chosen, InferenceRoute why) = EngineChoice.For(network, ComputeType.Auto, memory: null);
        choices.Add([preset, why.Description]);
        int same = why.Description.StartsWith(Kernels.Words(why.Compute), StringComparison.Ordinal) ? engines.FindIndex(engine => engine.Own is not null && engine.Type == why.Compute) : -1; // ours, and not MKL or libtorch in the same precision
        if (same < 0) engines.Add(new(chosen, why.Compute, $"Auto ({why.Compute})", IsAuto: true));
        else
        {
            chosen?.Dispose(); // one measurement is enough
            engines[same] = engines[same] with { Name = $"Auto ({engines[same].Name})", IsAuto = true };
        }

        foreach (Work work in works)
        {
            foreach (ForwardRow row in Rows(work, network, engines, random, peaks)) yield return row;
            Console.Error.WriteLine($"{work} done");
        }

        foreach (Engine engine in engines) engine.Own?.Dispose();
    }

    private static IReadOnlyList<ForwardRow> Rows(Work work, Backbone network, IReadOnlyList<Engine> engines, Generator random, Peaks peaks)
    {
        using Tensor images = randn([work.Batch, 3, work.Size, work.Size], generator: random);
        float[] pixels = images.data<float>().ToArray();
        using Tensor expected = FeatureError.Expected(network, images); // [B, N, D]
        int[] last = [network.Config.LayerCount - 1];
        var passes = new List<ForwardPass> { new("libtorch Float32", ComputeType.Float32, () => Finish(network, network.RunLayers(images, last))) };
        if (network is ConvNeXt)
        {
            Tensor channelsLast = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2); // [B, C, H, W]
            passes.Add(new("libtorch Float32, channels last", ComputeType.Float32, () => Finish(network, network.RunLayers(channelsLast, last))) { Owned = channelsLast });
        }

        foreach (Engine engine in engines)
        {
            passes.Add(engine.Own is not { } own
                ? new(engine.Name, engine.Type, passes[0].Run) { IsOurs = true, IsAuto = engine.IsAuto }
                : new(engine.Name, engine.Type, () => Finish(network, own.Forward(images, last))) { IsOurs = true, IsAuto = engine.IsAuto, Error = FeatureError.Measure(network, own, images, expected) });
        }

        foreach (bool int8 in new[] { false, true })
        {
            var peer = new OnnxPeer(network, images, expected.shape, int8);
            passes.Add(new(int8 ? "ONNX Runtime int8" : "ONNX Runtime float32", int8 ? ComputeType.Int8 : ComputeType.Float32, () => peer.Run(pixels)) { Owned = peer, Error = peer.Error(pixels, expected) });
        }

        // A speed of wrong numbers is no speed.
        foreach (ForwardPass pass in passes)
        {
            if (pass.Error.Relative > (pass.Type == ComputeType.Float32 ? 2e-5 : 0.1)) throw new DinoSharpException($"{pass.Name} computes something else: {pass.Error}");
        }

        peaks.Measure();
        IReadOnlyList<Timing> times = Measure.Interleaved(SecondsEach, [.. passes.Select(pass => new Subject(pass.Name, pass.Timed))]);
        peaks.Measure();
        foreach (ForwardPass pass in passes) pass.TimeProducts();
        peaks.Measure();
        foreach (ForwardPass pass in passes) pass.Owned?.Dispose();
        Timing exact = times[^2], fastest = !passes[^1].Error.IsWithinLimits ? exact : exact with { Best = Math.Min(exact.Best, times[^1].Best), Median = Math.Min(exact.Median, times[^1].Median) };
        return [.. passes.Select((pass, i) => new ForwardRow(work, pass, times[i], times[0], !pass.IsOurs ? null : pass.Type == ComputeType.Float32 ? exact : fastest))];
    }

    private static void Finish(Backbone network, Tensor[] layers)
    {
        network.NormalizeTokens(layers[0]).Dispose();
        layers[0].Dispose();
    }

    /// <summary>A way of ours to compute a network.</summary>
    private sealed record Engine(InferenceEngine? Own, ComputeType Type, string Name, bool IsAuto);
}

/// <summary>A network at one size and batch.</summary>
internal sealed record Work(string Preset, int Size, int Batch)
{
    public override string ToString() => FormattableString.Invariant($"{Preset} {Size} px × {Batch}");
}
