using static TorchSharp.torch;

namespace DinoSharp.Heads.Depth;

/// <summary>Where the centres of the depth bins lie between the smallest and the largest depth.</summary>
public enum BinSpacing
{
    /// <summary>Evenly.</summary>
    Linear,

    /// <summary>Evenly in the logarithm.</summary>
    Log,

    /// <summary>From logarithmic at the near end to linear at the far end, up to an eighth of the largest depth (canopy heights).</summary>
    MixLog,
}

/// <summary>How the scores of the bins become weights that sum to one.</summary>
public enum BinWeighting
{
    /// <summary>ReLU plus 0.1, divided by the sum.</summary>
    Linear,

    /// <summary>Softmax.</summary>
    Softmax,

    /// <summary>Sigmoid, divided by the sum.</summary>
    Sigmoid,

    /// <summary>ReLU plus 1e-8, divided by the sum; the weighted mean counts eightfold (canopy heights).</summary>
    MixLog,
}

/// <summary>Turns scores into metres: the mean of the bin centres, weighted by the scores. With a single score, depth is ReLU(score) + the smallest depth.</summary>
/// <param name="MinMeters">Smallest depth, above 0.</param>
/// <param name="MaxMeters">Largest depth.</param>
/// <param name="Spacing">Where the bins lie.</param>
/// <param name="Weighting">How scores become weights; goes with any spacing.</param>
public sealed record DepthBins(double MinMeters, double MaxMeters, BinSpacing Spacing = BinSpacing.Linear, BinWeighting Weighting = BinWeighting.Linear)
{
    private const double MixLogScale = 8;

    /// <summary>SYNTHMIX: 0.001 to 100 m, linear.</summary>
    public static DepthBins SynthMix { get; } = new(0.001, 100);

    /// <summary>Canopy heights, CHMv2: 0.001 to 96 m, mixed.</summary>
    public static DepthBins Canopy { get; } = new(0.001, 96, BinSpacing.MixLog, BinWeighting.MixLog);

    /// <summary>NYU Depth v2 linear probes: 0.001 to 10 m, linear.</summary>
    public static DepthBins Nyu { get; } = new(0.001, 10);

    /// <param name="scores">[B, bins, h, w]</param>
    /// <returns>Metres [B, 1, h, w]</returns>
    internal Tensor ToMeters(Tensor scores)
    {
        using var scope = NewDisposeScope();
        if (scores.shape[1] == 1) return scores.relu().Plus(Num(MinMeters)).MoveToOuterDisposeScope();
        Tensor centers = Centers((int)scores.shape[1], scores.device).to(scores.dtype); // [bins]
        if (Weighting == BinWeighting.MixLog) return MixLogMean(scores, centers).MoveToOuterDisposeScope();
        Tensor positive = Weighting switch
        {
            BinWeighting.Linear => scores.relu().Plus(Num(0.1)),
            BinWeighting.Sigmoid => scores.sigmoid(),
            _ => scores,
        };
        Tensor weights = Weighting == BinWeighting.Softmax ? positive.softmax(1) : positive / positive.sum(1, keepdim: true); // [B, bins, h, w]
        return einsum("bkhw,k->bhw", weights, centers).unsqueeze(1).MoveToOuterDisposeScope(); // [B, 1, h, w]
    }

    /// <summary>Metres of each bin. [bins]</summary>
    internal Tensor Centers(int bins, Device? device = null)
    {
        using var scope = NewDisposeScope();
        if (Spacing == BinSpacing.MixLog)
        {
            double far = MaxMeters / MixLogScale;
            Tensor log = linspace(Math.Log(MinMeters), Math.Log(far), bins, device: device).exp(); // [bins]
            Tensor blend = linspace(1.0, 0.0, bins, device: device); // [bins]
            return (blend * log).Plus((-blend).Plus(Num(1.0)) * linspace(MinMeters, far, bins, device: device)).MoveToOuterDisposeScope();
        }

        Tensor centers = Spacing == BinSpacing.Linear
            ? linspace(MinMeters, MaxMeters, bins, device: device)
            : linspace(Math.Log(MinMeters), Math.Log(MaxMeters), bins, device: device).exp(); // [bins]
        return centers.MoveToOuterDisposeScope();
    }

    // After the ReLU no score is negative, so the shift of the original (which guards against that) is always its floor of 1e-8.
    private static Tensor MixLogMean(Tensor scores, Tensor centers)
    {
        Tensor positive = scores.relu().Plus(Num(1e-8)); // [B, bins, h, w]
        Tensor sum = positive.sum(1, keepdim: true); // [B, 1, h, w]
        Tensor weights = positive / where(sum.isfinite(), sum, ones_like(sum)).clamp_min(Num(1e-12)); // [B, bins, h, w]
        Tensor mean = (weights * centers.clamp_min(Num(1e-12)).view(1, -1, 1, 1)).sum(1, keepdim: true); // [B, 1, h, w]
        return mean.clamp_min(Num(1e-12)) * Num(MixLogScale);
    }
}
