using System.Diagnostics;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Which engine computes a network. <see cref="ComputeType.Auto"/> tries those that the processor has instructions for: first whether the features are exact
/// enough with the weights at hand, then which is fastest.</summary>
internal static class EngineChoice
{
    // A gain below this is not worth less exact numbers, and timings differ by as much from one run to the next. Of one precision some routes are more exact too.
    private const double LeastGain = 1.15, LeastGainOfSamePrecision = 1.05;

    // Three quarters of the feed-forward layers carry about that share of the error.
    private const double MostHope = 3;

    /// <summary>The engine for a precision; null where libtorch computes in float32.</summary>
    /// <param name="network">With its weights.</param>
    /// <param name="compute">What was asked for.</param>
    /// <param name="memory">Where choices that were measured are kept; null: nowhere.</param>
    /// <param name="room">Bytes that copies of the weights may take. Our own kernels keep a packed one; where it does not fit, libtorch computes, unless a smaller one was asked for by name.
    /// <see cref="ComputeType.Auto"/> holds several while it compares; where only one fits, it takes that of float32.</param>
    /// <exception cref="DinoSharpException">This processor or this network has no such kernels.</exception>
    public static (InferenceEngine? Engine, InferenceRoute Route) For(Backbone network, ComputeType compute, RouteMemory? memory, long room = long.MaxValue)
    {
        long copy = network.WeightBytes;
        if (copy >= room && compute is ComputeType.Float32 or ComputeType.Auto) return (null, new(ComputeType.Float32, "libtorch (too little memory for a packed copy of the weights)"));
        if (compute == ComputeType.Auto)
        {
            string key = RouteMemory.KeyOf(network);
            if (memory?.Find(key) is { } known && Create(network, known.Compute, known.Products, known.ExactBlocks, out InferenceEngine? remembered)) return (remembered, known.ToRoute(" on an earlier load"));
            if (copy < room / 2) return Automatic(network, key, memory);
            (InferenceEngine? single, InferenceRoute route) = For(network, ComputeType.Float32, memory);
            return (single, route with { Description = route.Description + ", taken by auto because there is too little memory to compare" });
        }

        if (compute == ComputeType.Int8 && Bytes(network, memory) is { } bytes) return bytes;
        if (network.TryCreateEngine(compute, out string words) is { } engine) return (engine, new(compute, words));
        return compute switch
        {
            ComputeType.Float32 => (null, new(compute, $"libtorch ({words})")),
            ComputeType.BFloat16 when network is VisionTransformer vit => (new LibtorchEngine(vit), new(compute, $"libtorch in bfloat16 ({words})")),
            _ => throw new DinoSharpException($"there are no {compute} kernels for this: {words}. Take Auto, or Float32"),
        };
    }

    // With as few blocks in more than eight bits as the limits ask for; all in bytes if nothing helps, because bytes were asked for.
    private static (InferenceEngine? Engine, InferenceRoute Route)? Bytes(Backbone network, RouteMemory? memory)
    {
        string key = $"{RouteMemory.KeyOf(network)}, {ComputeType.Int8}";
        if (memory?.Find(key) is { } known && Create(network, ComputeType.Int8, Products.Own, known.ExactBlocks, out InferenceEngine? remembered)) return (remembered, known.ToRoute(" on an earlier load"));
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor probe = ProbeImage.Draw(network).to(network.parameters().First().device); // [1, C, H, W]
        if (TryBytes(network, probe, FeatureError.Expected(network, probe)) is not { } trial) return null;
        InferenceEngine engine = trial.Engine ?? network.TryCreateEngine(ComputeType.Int8, out _)!;
        string words = $"{KernelsOf(network, ComputeType.Int8)}{(trial.Engine is null ? "" : InWords(trial.ExactBlocks, network))}, relative error {Number(trial.Error.Relative, "E1")} found on a probe picture{(trial.Engine is null ? ", over the limits" : "")}";
        var choice = new Choice(key, Describe(network), ComputeType.Int8, Products.Own, words, trial.ExactBlocks);
        memory?.Keep(choice);
        return (engine, choice.ToRoute(""));
    }

    private static Trial? TryBytes(Backbone network, Tensor probe, Tensor expected)
    {
        FeatureError error = default;
        for (int quarter = 0; quarter < 4; quarter++)
        {
            int exact = ((quarter * network.BlockCount) + 3) / 4;
            InferenceEngine? engine = network.TryCreateEngine(ComputeType.Int8, out _, exact);
            if (engine is null) return null;
            error = FeatureError.Measure(network, engine, probe, expected);
            if (error.IsWithinLimits) return new(ComputeType.Int8, Products.Own, engine, error, exact);
            engine.Dispose();
            if (error.Relative > MostHope * FeatureError.RelativeLimit) break;
        }

        return new(ComputeType.Int8, Products.Own, null, error, 0) { Milliseconds = double.PositiveInfinity };
    }

    private static (InferenceEngine? Engine, InferenceRoute Route) Automatic(Backbone network, string key, RouteMemory? memory)
    {
        var tried = new List<Trial>();
        try
        {
            using var scope = NewDisposeScope();
            using var quiet = no_grad();
            Tensor probe = ProbeImage.Draw(network).to(network.parameters().First().device); // [1, C, H, W]
            Tensor expected = FeatureError.Expected(network, probe);
            foreach ((ComputeType type, Products by) in Candidates(network))
            {
                if (type == ComputeType.Int8)
                {
                    if (TryBytes(network, probe, expected) is { } trial) tried.Add(trial);
                    continue;
                }

                if (!Create(network, type, by, 0, out InferenceEngine? engine)) continue;
                FeatureError error = engine is null ? new(0, 1) : FeatureError.Measure(network, engine, probe, expected);
                if (error.IsWithinLimits) tried.Add(new(type, by, engine, error, 0));
                else
                {
                    tried.Add(new(type, by, null, error, 0) { Milliseconds = double.PositiveInfinity });
                    engine?.Dispose();
                }
            }

            Measure(network, tried, probe);
            (Trial plain, Trial best) = Best(tried);
            var choice = new Choice(key, Describe(network), best.Type, best.By, Words(network, best, plain, tried), best.ExactBlocks);
            memory?.Keep(choice);
            tried.Remove(best);
            return (best.Engine, choice.ToRoute(""));
        }
        finally
        {
            foreach (Trial trial in tried) trial.Engine?.Dispose();
        }
    }

    /// <summary>The fastest route of float32, and the one to take: of those that are within the limits the more exact one, unless another is clearly faster.</summary>
    internal static (Trial Plain, Trial Best) Best(IReadOnlyList<Trial> tried)
    {
        Trial plain = tried.Where(t => t.Type == ComputeType.Float32).MinBy(t => t.Milliseconds)!, best = plain;
        foreach (Trial trial in tried.OrderBy(t => t.Type).ThenBy(t => t.Error.Relative))
        {
            if (best.Milliseconds > (trial.Type == best.Type ? LeastGainOfSamePrecision : LeastGain) * trial.Milliseconds) best = trial;
        }

        return (plain, best);
    }

    // By instruction sets: bfloat16 through libtorch or MKL is several times slower than float32 where the processor cannot multiply it.
    private static IEnumerable<(ComputeType Type, Products By)> Candidates(Backbone network)
    {
        bool onProcessor = network.parameters().First().device_type == TorchSharp.DeviceType.CPU;
        IReadOnlyList<string> sets = onProcessor ? Processor.Inspect().InstructionSets : [];
        yield return (ComputeType.Float32, Products.Libtorch);
        yield return (ComputeType.Float32, Products.Own);
        yield return (ComputeType.BFloat16, Products.Own);
        if (sets.Contains("amx_bf16")) yield return (ComputeType.BFloat16, Products.Mkl);
        yield return (ComputeType.Int8, Products.Own);
        if (network is VisionTransformer && (!onProcessor || sets.Any(set => set is "amx_bf16" or "avx512_bf16"))) yield return (ComputeType.BFloat16, Products.Libtorch);
    }

    private static bool Create(Backbone network, ComputeType type, Products by, int exactBlocks, out InferenceEngine? engine)
    {
        engine = null;
        if (by == Products.Libtorch)
        {
            if (type == ComputeType.BFloat16 && network is VisionTransformer vit) engine = new LibtorchEngine(vit);
            return engine is not null || type == ComputeType.Float32; // what was remembered may be damaged
        }

        engine = network.TryCreateEngine(type, out _, exactBlocks, by == Products.Mkl);
        return engine is not null;
    }

    // Interleaved, so that a busy moment meets all alike; the fastest run of each counts.
    private static void Measure(Backbone network, List<Trial> tried, Tensor probe)
    {
        int[] last = [network.Config.LayerCount - 1];
        Trial[] timed = [.. tried.Where(t => t.Error.IsWithinLimits)];
        var clock = Stopwatch.StartNew();
        for (int round = 0; round < 3 || (round < 12 && clock.Elapsed.TotalSeconds < 0.25 * timed.Length); round++)
        {
            foreach (Trial trial in timed)
            {
                long start = Stopwatch.GetTimestamp();
                Tensor[] tokens = trial.Engine?.Forward(probe, last) ?? network.RunLayers(probe, last); // [1, N, D]
                tokens[0].sum().cpu().Dispose(); // a GPU has finished when its result is here
                tokens[0].Dispose();
                if (round > 0) trial.Milliseconds = Math.Min(trial.Milliseconds, Stopwatch.GetElapsedTime(start).TotalMilliseconds); // the first run meets cold code
            }
        }
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string InWords(int exactBlocks, Backbone network) =>
        exactBlocks == 0 ? "" : $", feed-forward of {exactBlocks} of {network.BlockCount} blocks in {(Kernels.Has(ComputeType.BFloat16, out _) ? "bfloat16" : "float32")}";

    private static string Words(Backbone network, Trial best, Trial plain, List<Trial> tried)
    {
        string kernels = best.By == Products.Libtorch
            ? $"libtorch in {(best.Type == ComputeType.BFloat16 ? "bfloat16" : "float32")}"
            : KernelsOf(network, best.Type, best.By == Products.Mkl) + InWords(best.ExactBlocks, network);
        string why = best.Type == ComputeType.Float32
            ? "chosen by auto"
            : $"chosen by auto ({Number(plain.Milliseconds / best.Milliseconds, "F1")} times as fast as float32 on a probe picture, relative error {Number(best.Error.Relative, "E1")}, worst cosine {Number(best.Error.WorstCosine, "F5")})";
        IEnumerable<string> others = tried.Where(t => t != best && t.Type != best.Type && t.Type != ComputeType.Float32).Select(t =>
            t.Error.IsWithinLimits
                ? $"{t.Name}: {Number(plain.Milliseconds / t.Milliseconds, "F1")} times float32"
                : $"{t.Name}: relative error {Number(t.Error.Relative, "E1")}, worst cosine {Number(t.Error.WorstCosine, "F5")}, over the limits");
        return string.Join("; ", [$"{kernels}, {why}", .. others]);
    }

    // What a transformer's attention takes is what the reductions of a ConvNeXt take, which attends to nothing.
    private static string KernelsOf(Backbone network, ComputeType type, bool library = false)
    {
        string words = Kernels.Words(type, library);
        return network is VisionTransformer ? words : words.Replace("attention", "reductions", StringComparison.Ordinal);
    }

    private static string Describe(Backbone network)
    {
        return network.Config is VisionTransformerConfig config
            ? $"transformer of {config.Depth} blocks of width {config.Width}"
            : $"ConvNeXt of {((ConvNeXtConfig)network.Config).Depths} blocks of widths {((ConvNeXtConfig)network.Config).Dims}";
    }

    /// <summary>One way to compute, tried on the probe picture.</summary>
    internal sealed record Trial(ComputeType Type, Products By, InferenceEngine? Engine, FeatureError Error, int ExactBlocks)
    {
        /// <summary>The fastest run; infinite if it was over the limits.</summary>
        public double Milliseconds { get; set; } = double.MaxValue;

        public string Name => By switch { Products.Libtorch => $"{Type} by libtorch", Products.Mkl => $"{Type} by MKL", _ => Type.ToString() };
    }
}

/// <summary>Who computes.</summary>
internal enum Products
{
    /// <summary>Our kernels.</summary>
    Own,

    /// <summary>Our kernels, but linear layers by <see cref="MatrixLibrary"/>.</summary>
    Mkl,

    /// <summary>libtorch, all of it.</summary>
    Libtorch,
}

/// <summary>A choice that a measurement made.</summary>
/// <param name="Key">Machine, version and weights that it holds for.</param>
/// <param name="Network">The network in words.</param>
/// <param name="Compute">The precision.</param>
/// <param name="Products">Who computes.</param>
/// <param name="Words">The kernels and the reason.</param>
/// <param name="ExactBlocks">In <see cref="ComputeType.Int8"/>: blocks whose feed-forward layers are more exact.</param>
internal sealed record Choice(string Key, string Network, ComputeType Compute, Products Products, string Words, int ExactBlocks = 0)
{
    public InferenceRoute ToRoute(string when) => new(Compute, Words.Replace("chosen by auto", "chosen by auto" + when, StringComparison.Ordinal).Replace("found on a probe picture", "found" + when + " on a probe picture", StringComparison.Ordinal));
}
