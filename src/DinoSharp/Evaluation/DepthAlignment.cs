namespace DinoSharp.Evaluation;

/// <summary>A scale and a shift that bring a relative depth map into the unit of the truth: aligned = scale · predicted + shift.</summary>
/// <param name="Scale">Factor.</param>
/// <param name="Shift">Offset in the unit of the truth.</param>
public readonly record struct DepthAlignment(double Scale, double Shift)
{
    /// <summary>Scale and shift of the least squared error over the valid pixels.</summary>
    /// <param name="truth">Measured depth.</param>
    /// <param name="predicted">Predicted relative depth.</param>
    /// <param name="valid">Which pixels count; empty: all with a measured depth above 0.</param>
    /// <exception cref="DinoSharpException">The sizes differ or no pixel is valid.</exception>
    public static DepthAlignment LeastSquares(ReadOnlySpan<float> truth, ReadOnlySpan<float> predicted, ReadOnlySpan<bool> valid = default)
    {
        CheckSizes(truth, predicted, valid);
        (long n, double t, double p) = (0, 0, 0);
        for (int i = 0; i < truth.Length; i++)
        {
            if (!Counts(truth, valid, i)) continue;
            n++;
            t += truth[i];
            p += predicted[i];
        }

        if (n == 0) throw new DinoSharpException("the depth map has no valid pixel to align with");
        (double meanTruth, double meanPredicted) = (t / n, p / n);
        (double covariance, double variance) = (0, 0);
        for (int i = 0; i < truth.Length; i++) // second pass: centred sums keep their digits where depth is large and its spread small
        {
            if (!Counts(truth, valid, i)) continue;
            double d = predicted[i] - meanPredicted;
            covariance += d * (truth[i] - meanTruth);
            variance += d * d;
        }

        double scale = variance > 0 ? covariance / variance : 0; // a constant prediction is best turned into the mean
        return new DepthAlignment(scale, meanTruth - (scale * meanPredicted));
    }

    /// <summary>The aligned depth map.</summary>
    /// <param name="predicted">Predicted relative depth.</param>
    public float[] Apply(ReadOnlySpan<float> predicted)
    {
        float[] aligned = new float[predicted.Length];
        for (int i = 0; i < aligned.Length; i++) aligned[i] = (float)((Scale * predicted[i]) + Shift);
        return aligned;
    }

    internal static void CheckSizes(ReadOnlySpan<float> truth, ReadOnlySpan<float> predicted, ReadOnlySpan<bool> valid)
    {
        if (truth.Length != predicted.Length) throw new DinoSharpException($"the predicted depth has {predicted.Length} pixels, the truth {truth.Length}; resize one of them first");
        if (!valid.IsEmpty && valid.Length != truth.Length) throw new DinoSharpException($"the mask of valid pixels has {valid.Length} pixels, the truth {truth.Length}");
    }

    private static bool Counts(ReadOnlySpan<float> truth, ReadOnlySpan<bool> valid, int i) => valid.IsEmpty ? truth[i] > 0 : valid[i];
}
