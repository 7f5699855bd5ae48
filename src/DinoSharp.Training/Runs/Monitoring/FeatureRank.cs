using static TorchSharp.torch;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>Effective rank of features (RankMe, Garrido et al. 2023): the exponential of the entropy of the singular values. It falls when features collapse.</summary>
internal static class FeatureRank
{
    private const double Epsilon = 1e-7;

    /// <summary>1 (all features lie on one line) … min(N, D) (all directions count alike).</summary>
    /// <param name="features">One feature a row, of any length. [N, D]</param>
    public static double Of(Tensor features)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor rows = features.to(ScalarType.Float64).cpu(); // [N, D]
        Tensor squares = rows.shape[0] >= rows.shape[1] ? rows.t().mm(rows) : rows.mm(rows.t()); // [D, D] or [N, N]
        double[] values = [.. linalg.eigvalsh(squares).clamp(min: Num(0)).sqrt().data<double>()];
        double total = values.Sum();
        return Math.Exp(-values.Sum(value => ((value / total) + Epsilon) * Math.Log((value / total) + Epsilon)));
    }
}
