namespace DinoSharp.Evaluation;

/// <summary>Scores of a depth map over its valid pixels (Eigen et al. 2014). Averages over a data set are means of these per-image values.</summary>
public sealed record DepthScores
{
    /// <summary>Share of pixels with max(t/p, p/t) &lt; 1.25.</summary>
    public required double Delta1 { get; init; }

    /// <summary>Share of pixels with max(t/p, p/t) &lt; 1.25².</summary>
    public required double Delta2 { get; init; }

    /// <summary>Share of pixels with max(t/p, p/t) &lt; 1.25³.</summary>
    public required double Delta3 { get; init; }

    /// <summary>Mean of |t − p| / t.</summary>
    public required double AbsoluteRelative { get; init; }

    /// <summary>Mean of (t − p)² / t, in depth units.</summary>
    public required double SquaredRelative { get; init; }

    /// <summary>Root of the mean squared error, in depth units.</summary>
    public required double Rmse { get; init; }

    /// <summary>Root of the mean squared difference of natural logarithms.</summary>
    public required double RmseLog { get; init; }

    /// <summary>Mean absolute difference of decimal logarithms.</summary>
    public required double Log10 { get; init; }

    /// <summary>Scale-invariant logarithmic error ×100.</summary>
    public required double SiLog { get; init; }

    /// <summary>Mean absolute error, in depth units.</summary>
    public required double MeanAbsolute { get; init; }

    /// <summary>How many pixels were counted.</summary>
    public required long Pixels { get; init; }

    /// <summary>Compares a prediction with the truth.</summary>
    /// <param name="truth">Measured depth t; pixels of 0 or less are left out.</param>
    /// <param name="predicted">Predicted depth p in the same unit, above 0.</param>
    /// <param name="valid">Which pixels count; empty: all with measured depth.</param>
    /// <exception cref="DinoSharpException">The sizes differ or no pixel is valid.</exception>
    public static DepthScores Measure(ReadOnlySpan<float> truth, ReadOnlySpan<float> predicted, ReadOnlySpan<bool> valid = default)
    {
        DepthAlignment.CheckSizes(truth, predicted, valid);
        long n = 0, within1 = 0, within2 = 0, within3 = 0;
        double relative = 0, squaredRelative = 0, squared = 0, absolute = 0, log = 0, squaredLog = 0, absoluteLog = 0;
        for (int i = 0; i < truth.Length; i++)
        {
            double t = truth[i], p = predicted[i];
            if (!(t > 0) || (!valid.IsEmpty && !valid[i])) continue;
            double ratio = Math.Max(t / p, p / t), error = t - p, logError = Math.Log(t) - Math.Log(p);
            n++;
            if (ratio < 1.25) within1++;
            if (ratio < 1.25 * 1.25) within2++;
            if (ratio < 1.25 * 1.25 * 1.25) within3++;
            relative += Math.Abs(error) / t;
            squaredRelative += error * error / t;
            squared += error * error;
            absolute += Math.Abs(error);
            log += logError;
            squaredLog += logError * logError;
            absoluteLog += Math.Abs(logError);
        }

        if (n == 0) throw new DinoSharpException("the depth map has no valid pixel to score");
        double siLog = 100 * Math.Sqrt((squaredLog / n) - (log / n * (log / n)));
        return new DepthScores
        {
            Delta1 = (double)within1 / n,
            Delta2 = (double)within2 / n,
            Delta3 = (double)within3 / n,
            AbsoluteRelative = relative / n,
            SquaredRelative = squaredRelative / n,
            Rmse = Math.Sqrt(squared / n),
            RmseLog = Math.Sqrt(squaredLog / n),
            Log10 = absoluteLog / n / Math.Log(10),
            SiLog = double.IsNaN(siLog) ? 0 : siLog, // rounding can push the variance of a constant ratio below zero
            MeanAbsolute = absolute / n,
            Pixels = n,
        };
    }
}
