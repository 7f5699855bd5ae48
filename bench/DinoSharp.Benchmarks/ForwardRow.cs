using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;

namespace DinoSharp.Benchmarks;

/// <summary>One way to compute a network at one size and batch.</summary>
internal sealed record ForwardPass(string Name, ComputeType Type, Action Run)
{
    private const int FewestProducts = 3, MostProducts = 7;

    private static readonly LinearClock Clock = Inference.Workers.Shared.Linear;

    /// <summary>Of this library, not a peer.</summary>
    public bool IsOurs { get; init; }

    /// <summary>What auto takes.</summary>
    public bool IsAuto { get; init; }

    public FeatureError Error { get; init; } = new(0, 1);

    public IDisposable? Owned { get; init; }

    /// <summary>The fastest that its linear layers were; none where they are not our kernels.</summary>
    public (double Seconds, double[] Operations)? Linear { get; private set; }

    /// <summary>Seconds in matrix products for each thread, best and median; none where they are not our kernels.</summary>
    public (double Best, double Median)? Products { get; private set; }

    /// <summary>A repetition that counts.</summary>
    public void Timed()
    {
        Clock.Take();
        Run();
        (double seconds, _, double[] operations) = Clock.Take();
        if (seconds > 0 && (Linear is null || seconds < Linear.Value.Seconds)) Linear = (seconds, operations);
    }

    /// <summary>Repetitions in which the matrix products alone are timed.</summary>
    public void TimeProducts()
    {
        if (Linear is null) return;
        var products = new List<double>();
        Clock.TimesProducts = true;
        double spent = 0;
        while (products.Count < FewestProducts || (products.Count < MostProducts && spent < 1))
        {
            Clock.Take();
            Run();
            (double seconds, double all, _) = Clock.Take();
            products.Add(all / Inference.Workers.Shared.Count);
            spent += seconds;
        }

        Clock.TimesProducts = false;
        Products = (products.Min(), Measure.Median(products));
    }
}

/// <summary>A row of the table; its shares are known when all peaks are.</summary>
/// <param name="Work">What is computed.</param>
/// <param name="Pass">How.</param>
/// <param name="Time">In which time.</param>
/// <param name="Libtorch">The plain graph.</param>
/// <param name="Onnx">The peer that counts; null for those that are no routes of ours.</param>
internal sealed record ForwardRow(Work Work, ForwardPass Pass, Timing Time, Timing Libtorch, Timing? Onnx)
{
    public static readonly string[] Header =
    [
        "network", "pixels", "batch", "route", "ms", "repetitions", "to libtorch", "to ONNX Runtime", "images/s", "error", "worst cosine", "Gop/s", "of peak",
        "linear layers: of peak", "share of the time", "products: of peak",
    ];

    /// <summary>This row in a goal: how many times as fast as a peer.</summary>
    public Reached To(Timing peer) => new(
        Work.ToString(),
        peer.Best / Time.Best,
        peer.Median / Time.Median,
        Pass.Type == ComputeType.Float32 || Pass.Error.IsWithinLimits ? null : string.Create(CultureInfo.InvariantCulture, $"an error of {Pass.Error.Relative:E1}, worst cosine {Pass.Error.WorstCosine:F6}"));

    /// <summary>What the matrix products reach of the peak; null where they are not our kernels.</summary>
    public Reached? Products(Peaks peaks) => Pass.Products is { } products && Ideal(peaks) is { } ideal ? new($"{Pass.Name}, {Work}", ideal / products.Best, ideal / products.Median) : null;

    public string[] Cells(Peaks peaks)
    {
        double speed = Work.Batch * Arithmetic.Operations(Presets.Find(Work.Preset).Config, Work.Size) / Time.Best / 1e6;
        (string share, string ofTime) = ("", "");
        if (Pass.Linear is { } linear && Ideal(peaks) is { } ideal) (share, ofTime) = (Percent(ideal / linear.Seconds), Percent(1000 * linear.Seconds / Time.Best));
        bool isReference = Pass.Error.Relative == 0;
        return
        [
            Work.Preset, Text(Work.Size), Text(Work.Batch), Pass.Name, $"{Report.Number(Time.Best)} / {Report.Number(Time.Median)}", Text(Time.Count), Ratio(Libtorch), Onnx is { } onnx ? Ratio(onnx) : "",
            Report.Number(1000 * Work.Batch / Time.Median),
            isReference ? "" : Pass.Error.Relative.ToString("E1", CultureInfo.InvariantCulture), isReference ? "" : Pass.Error.WorstCosine.ToString("F6", CultureInfo.InvariantCulture),
            speed.ToString("F0", CultureInfo.InvariantCulture), peaks[Pass.Type] is { } peak ? Percent(speed / peak) : "", share, ofTime,
            Products(peaks) is { } products ? $"{Percent(products.Best)} / {Percent(products.Median)}" : "",
        ];
    }

    // Seconds that the linear layers take at the peak. The last vector of an image is padded; only its tokens count. Pixels of these maps fill their vectors.
    private double? Ideal(Peaks peaks)
    {
        BackboneConfig config = Presets.Find(Work.Preset).Config;
        int tokens = Arithmetic.Tokens(config, Work.Size), lanes = Kernels.AreWide(Pass.Type) ? Lanes512.Count : Lanes256.Count;
        double useful = config is VisionTransformerConfig ? (double)tokens / ((tokens + lanes - 1) / lanes * lanes) : 1;
        return Pass.Linear!.Value.Operations.Select((operations, type) => operations == 0 ? 0 : useful * operations / peaks[(ComputeType)type] / 1e9).Aggregate((double?)0, (a, b) => a + b);
    }

    private string Ratio(Timing peer) => $"{Report.Number(peer.Best / Time.Best)} / {Report.Number(peer.Median / Time.Median)}";

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Percent(double share) => share.ToString("P0", CultureInfo.InvariantCulture);
}
