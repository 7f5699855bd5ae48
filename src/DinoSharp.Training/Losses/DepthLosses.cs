using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Losses of depth heads (paper appendix D.2; Eigen et al. 2014 for the logarithmic one). Depths are [B, 1, H, W] in metres; a mask is true where the depth is known, null means everywhere.
/// Without any known pixel a loss is zero.</summary>
public static class DepthLosses
{
    private const double LogShift = 1e-3;

    /// <summary>Steps at the start of a training that leave the variance out of <see cref="ScaleInvariantLog"/>: 100 of the published 38,400; in a short one they would teach little but the mean.</summary>
    /// <param name="steps">Length of the training.</param>
    internal static int StepsWithoutVariance(int steps) => Math.Min(100, steps / 20);

    /// <summary>Scale-invariant logarithmic loss √(Var g + 0.15·mean(g)²) of g = ln(predicted + 0.001) - ln(true + 0.001) over all known pixels of the batch.</summary>
    /// <param name="predicted">Predicted depth.</param>
    /// <param name="target">True depth.</param>
    /// <param name="valid">Where it is known.</param>
    /// <param name="variance">False leaves the (unbiased) variance out, as the protocol does in its first 100 steps.</param>
    public static Tensor ScaleInvariantLog(Tensor predicted, Tensor target, Tensor? valid, bool variance = true)
    {
        using var scope = NewDisposeScope();
        Tensor g = Log(predicted) - Log(target); // [B, 1, H, W]
        g = valid is null ? g.flatten() : g.masked_select(valid); // [n]
        if (g.numel() == 0) return Nothing(predicted).MoveToOuterDisposeScope();
        Tensor square = g.mean().pow(Num(2)) * Num(0.15);
        if (variance && g.numel() > 1) square = square.Plus(g.var());
        // The root has no slope at zero, where the prediction is perfect.
        return (square.item<float>() > 0 ? square.sqrt() : square.abs()).MoveToOuterDisposeScope();
    }

    /// <summary>Differences of the error two pixels apart, over the pyramid of every, every second, fourth and sixth pixel.</summary>
    /// <param name="predicted">Predicted depth.</param>
    /// <param name="target">True depth.</param>
    /// <param name="valid">Where it is known.</param>
    /// <param name="logarithm">Compare logarithms of depth + 0.001.</param>
    public static Tensor Gradient(Tensor predicted, Tensor target, Tensor? valid, bool logarithm = false)
    {
        using var scope = NewDisposeScope();
        Tensor mask = (valid ?? ones_like(target, dtype: ScalarType.Bool)).to(predicted.dtype); // [B, 1, H, W]
        Tensor error = (logarithm ? Log(predicted) - Log(target) : predicted - target) * mask; // [B, 1, H, W]
        Tensor loss = Nothing(predicted);
        foreach (int step in (int[])[1, 2, 4, 6])
        {
            Tensor d = Every(error, step), m = Every(mask, step); // [B, 1, h, w]
            double known = m.sum().item<float>();
            if (known > 0) loss = loss.Plus(Differences(d, m, 2).Plus(Differences(d, m, 3)) / Num(known));
        }

        return loss.MoveToOuterDisposeScope();
    }

    /// <summary>Mean absolute error over the known pixels.</summary>
    /// <param name="predicted">Predicted depth.</param>
    /// <param name="target">True depth.</param>
    /// <param name="valid">Where it is known.</param>
    public static Tensor Absolute(Tensor predicted, Tensor target, Tensor? valid)
    {
        using var scope = NewDisposeScope();
        Tensor mask = (valid ?? ones_like(target, dtype: ScalarType.Bool)).to(predicted.dtype);
        return (((predicted - target).abs() * mask).sum() / mask.sum().Plus(Num(1e-7))).MoveToOuterDisposeScope();
    }

    private static Tensor Log(Tensor depth) => depth.Plus(Num(LogShift)).log();

    private static Tensor Nothing(Tensor predicted) => (predicted * Num(0)).sum();

    private static Tensor Every(Tensor x, int step) => x.slice(2, 0, x.shape[2], step).slice(3, 0, x.shape[3], step);

    private static Tensor Differences(Tensor d, Tensor mask, int axis)
    {
        long length = d.shape[axis] - 2;
        if (length <= 0) return zeros([], dtype: d.dtype, device: d.device);
        Tensor both = mask.narrow(axis, 0, length) * mask.narrow(axis, 2, length);
        return ((d.narrow(axis, 0, length) - d.narrow(axis, 2, length)).abs() * both).sum();
    }
}
