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
    // A gain below this is not worth less exact numbers, and timings differ by as much from one run to the next.
    private const double LeastGain = 1.15;

    /// <summary>The engine for a precision; null where libtorch computes in float32.</summary>
    /// <param name="network">With its weights.</param>
    /// <param name="compute">What was asked for.</param>
    /// <param name="memory">Where choices of <see cref="ComputeType.Auto"/> are kept; null: nowhere.</param>
    /// <exception cref="DinoSharpException">This processor or this network has no such kernels.</exception>
    public static (InferenceEngine? Engine, InferenceRoute Route) For(Backbone network, ComputeType compute, RouteMemory? memory)
    {
        if (compute == ComputeType.Auto) return Automatic(network, memory);
        if (network.TryCreateEngine(compute, out string words) is { } engine) return (engine, new(compute, words));
        return compute switch
        {
            ComputeType.Float32 => (null, new(compute, $"libtorch ({words})")),
            ComputeType.BFloat16 when network is VisionTransformer vit => (new LibtorchEngine(vit), new(compute, $"libtorch in bfloat16 ({words})")),
            _ => throw new DinoSharpException($"there are no {compute} kernels for this: {words}. Take Auto, or Float32"),
        };
    }

    private static (InferenceEngine? Engine, InferenceRoute Route) Automatic(Backbone network, RouteMemory? memory)
    {
        string key = RouteMemory.KeyOf(network);
        if (memory?.Find(key) is { } known && Create(network, known.Compute, known.Libtorch, out InferenceEngine? remembered)) return (remembered, known.ToRoute(" on an earlier load"));
        var tried = new List<Trial>();
        try
        {
            using var scope = NewDisposeScope();
            using var quiet = no_grad();
            Tensor probe = ProbeImage.Draw(network).to(network.parameters().First().device); // [1, C, H, W]
            foreach ((ComputeType type, bool libtorch) in Candidates(network))
            {
                if (!Create(network, type, libtorch, out InferenceEngine? engine)) continue;
                FeatureError error = engine is null ? new(0, 1) : FeatureError.Measure(network, engine, probe);
                if (error.IsWithinLimits) tried.Add(new(type, libtorch, engine, error));
                else
                {
                    tried.Add(new(type, libtorch, null, error) { Milliseconds = double.PositiveInfinity });
                    engine?.Dispose();
                }
            }

            Measure(network, tried, probe);
            Trial plain = tried.Where(t => t.Type == ComputeType.Float32).MinBy(t => t.Milliseconds)!, best = plain;
            foreach (Trial trial in tried.OrderBy(t => t.Type))
            {
                if (best.Milliseconds > (trial.Type == best.Type ? 1 : LeastGain) * trial.Milliseconds) best = trial;
            }

            var choice = new Choice(key, Describe(network), best.Type, best.Libtorch, Words(best, plain, tried));
            memory?.Keep(choice);
            tried.Remove(best);
            return (best.Engine, choice.ToRoute(""));
        }
        finally
        {
            foreach (Trial trial in tried) trial.Engine?.Dispose();
        }
    }

    // By instruction sets: bfloat16 through libtorch is several times slower than float32 where the processor cannot multiply it.
    private static IEnumerable<(ComputeType Type, bool Libtorch)> Candidates(Backbone network)
    {
        yield return (ComputeType.Float32, true);
        yield return (ComputeType.Float32, false);
        yield return (ComputeType.BFloat16, false);
        yield return (ComputeType.Int8, false);
        if (network is not VisionTransformer) yield break;
        bool onProcessor = network.parameters().First().device_type == TorchSharp.DeviceType.CPU;
        if (!onProcessor || Processor.Inspect().InstructionSets.Any(set => set is "amx_bf16" or "avx512_bf16")) yield return (ComputeType.BFloat16, true);
    }

    private static bool Create(Backbone network, ComputeType type, bool libtorch, out InferenceEngine? engine)
    {
        engine = null;
        if (libtorch)
        {
            if (type == ComputeType.BFloat16) engine = new LibtorchEngine((VisionTransformer)network);
            return true;
        }

        engine = network.TryCreateEngine(type, out _);
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

    private static string Words(Trial best, Trial plain, List<Trial> tried)
    {
        string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
        string kernels = best.Libtorch ? $"libtorch in {(best.Type == ComputeType.BFloat16 ? "bfloat16" : "float32")}" : Kernels.Words(best.Type);
        string why = best.Type == ComputeType.Float32
            ? "chosen by auto"
            : $"chosen by auto ({Number(plain.Milliseconds / best.Milliseconds, "F1")} times as fast as float32 on a probe picture, relative error {Number(best.Error.Relative, "E1")}, worst cosine {Number(best.Error.WorstCosine, "F5")})";
        IEnumerable<string> others = tried.Where(t => t != best && t.Type != best.Type && t.Type != ComputeType.Float32).Select(t =>
            t.Error.IsWithinLimits
                ? $"{t.Name}: {Number(plain.Milliseconds / t.Milliseconds, "F1")} times float32"
                : $"{t.Name}: relative error {Number(t.Error.Relative, "E1")}, worst cosine {Number(t.Error.WorstCosine, "F5")}, over the limits");
        return string.Join("; ", [$"{kernels}, {why}", .. others]);
    }

    private static string Describe(Backbone network)
    {
        return network.Config is VisionTransformerConfig config
            ? $"transformer of {config.Depth} blocks of width {config.Width}"
            : $"ConvNeXt of {((ConvNeXtConfig)network.Config).Depths} blocks of widths {((ConvNeXtConfig)network.Config).Dims}";
    }

    private sealed record Trial(ComputeType Type, bool Libtorch, InferenceEngine? Engine, FeatureError Error)
    {
        public double Milliseconds { get; set; } = double.MaxValue;

        public string Name => Libtorch ? $"{Type} by libtorch" : Type.ToString();
    }
}

/// <summary>A choice of <see cref="ComputeType.Auto"/>.</summary>
/// <param name="Key">Machine, version and weights that it holds for.</param>
/// <param name="Network">The network in words.</param>
/// <param name="Compute">The precision.</param>
/// <param name="Libtorch">Whether libtorch computes.</param>
/// <param name="Words">The kernels and the reason.</param>
internal sealed record Choice(string Key, string Network, ComputeType Compute, bool Libtorch, string Words)
{
    public InferenceRoute ToRoute(string when) => new(Compute, Words.Replace("chosen by auto", "chosen by auto" + when, StringComparison.Ordinal));
}
