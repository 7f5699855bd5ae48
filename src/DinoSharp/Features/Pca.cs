using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>
/// Principal component analysis, exact: a full eigendecomposition in double precision of the covariance, or of the Gram matrix where there are fewer
/// samples than dimensions. Each component is turned so that its largest loading is positive, so equal features give equal signs.
/// Plain memory: nothing to dispose, safe to share between threads.
/// </summary>
public sealed class Pca
{
    // Below this share of the largest variance a component is rounding noise; whitening would blow it up.
    private const double NoiseFloor = 1e-13;

    // Doubles of all patches of a large picture would take several times its features.
    private const long RowsAtOnce = 16384;

    private readonly double[] _mean;
    private readonly double[] _components;
    private readonly double[] _variance;
    private readonly double _totalVariance;

    private Pca(double[] mean, double[] components, double[] variance, double totalVariance) => (_mean, _components, _variance, _totalVariance) = (mean, components, variance, totalVariance);

    /// <summary>Length D of a sample.</summary>
    public int Dim => _mean.Length;

    /// <summary>Mean of the samples. [D]</summary>
    public ReadOnlySpan<double> Mean => _mean;

    /// <summary>Variance along each component, largest first, with n - 1 in the denominator. [K]</summary>
    public ReadOnlySpan<double> ExplainedVariance => _variance;

    /// <summary>The share of each component in the variance of all dimensions, 0 … 1; 0 if the samples are all equal. [K]</summary>
    public double[] ExplainedVarianceRatio => Array.ConvertAll(_variance, variance => _totalVariance > 0 ? variance / _totalVariance : 0);

    /// <summary>A component: a unit vector. [D]</summary>
    /// <param name="index">0 … K - 1, the one of the largest variance first.</param>
    public ReadOnlySpan<double> Component(int index) => _components.AsSpan(index * Dim, Dim);

    /// <summary>Fits to the patches of one or several pictures together, so that equal colours mean equal things in all of them.</summary>
    /// <param name="maps">Maps of equal D.</param>
    /// <param name="components">Number K of components.</param>
    /// <param name="foreground">For each map the patches to use; null: all.</param>
    /// <exception cref="DinoSharpException">Too few patches, or features that are not finite.</exception>
    public static Pca Fit(IReadOnlyList<PatchMap> maps, int components = 3, IReadOnlyList<PatchMask>? foreground = null)
    {
        using var scope = NewDisposeScope();
        return Fit(cat([.. maps.Select((map, i) => foreground is null ? map.ToTensor() : map.ToTensor()[foreground[i].ToTensor()])]), components); // [N, D]
    }

    /// <summary>Fits to the rows of a matrix.</summary>
    /// <param name="samples">Any float type, on the CPU. [N, D]</param>
    /// <param name="components">Number K of components, at most min(N - 1, D).</param>
    /// <exception cref="DinoSharpException">Too few samples, or samples that are not finite.</exception>
    public static Pca Fit(Tensor samples, int components = 3)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(components, 1);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        (long count, long dim) = (samples.shape[0], samples.shape[1]);
        if (components > Math.Min(count - 1, dim))
            throw new DinoSharpException($"{components} principal components need at least {components + 1} patches and {components} dimensions; there are {count} patches of {dim}");
        Tensor centred = samples.to_type(ScalarType.Float64, copy: true); // [N, D]
        Tensor mean = centred.mean([0]); // [D]
        if (!mean.isfinite().all().item<bool>())
            throw new DinoSharpException("the features hold numbers that are not finite (NaN or infinity), so they have no principal components; the weights may be damaged: try 'dino info' on them");
        centred.sub_(mean);
        Tensor scatter = count >= dim ? centred.t().mm(centred) : centred.mm(centred.t()); // [D, D] or [N, N]
        (Tensor values, Tensor vectors) = linalg.eigh(scatter); // ascending
        Tensor top = vectors.narrow(1, vectors.shape[1] - components, components).flip(1); // [D or N, K]
        Tensor axes = nn.functional.normalize(count >= dim ? top.t() : top.t().mm(centred)); // [K, D]
        Tensor largest = axes.abs().argmax(1, keepdim: true); // [K, 1]
        axes = axes * axes.gather(1, largest).sign(); // [K, D]
        Tensor variance = values.narrow(0, values.shape[0] - components, components).flip(0).clamp(min: Num(0)) / Num(count - 1); // [K]
        return new Pca(Numbers(mean), Numbers(axes), Numbers(variance), scatter.trace().item<double>() / (count - 1));
    }

    /// <summary>Coordinates of samples along the components.</summary>
    /// <param name="samples">Any float type, on the CPU. [N, D]</param>
    /// <param name="whiten">Divide by the standard deviation of each component; a component without variance gives 0.</param>
    /// <returns>float32 [N, K]; the caller (or the current dispose scope) owns it.</returns>
    /// <exception cref="ArgumentException">The samples have another D.</exception>
    public Tensor Project(Tensor samples, bool whiten = true)
    {
        if (samples.shape[^1] != Dim) throw new ArgumentException($"the samples have {samples.shape[^1]} dimensions, the components {Dim}", nameof(samples));
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor axes = tensor(_components, [_variance.Length, Dim]); // [K, D]
        if (whiten)
        {
            double floor = Math.Max(_variance[0] * NoiseFloor, double.Epsilon);
            axes = axes * tensor([.. _variance.Select(v => v > floor ? 1 / Math.Sqrt(v) : 0)], [_variance.Length, 1]); // [K, D]
        }

        Tensor mean = tensor(_mean);
        return cat([.. samples.split(RowsAtOnce).Select(Part)]).MoveToOuterDisposeScope(); // [N, K]

        Tensor Part(Tensor rows)
        {
            using var part = NewDisposeScope();
            return (rows.to_type(ScalarType.Float64) - mean).mm(axes.t()).to_type(ScalarType.Float32).MoveToOuterDisposeScope(); // [n, K]
        }
    }

    /// <summary>Coordinates of every patch of a map along the components.</summary>
    /// <param name="map">A map of the same D.</param>
    /// <param name="whiten">Divide by the standard deviation of each component.</param>
    /// <param name="foreground">Patches to show in pictures; the others are black. Null: all.</param>
    public PcaMap Project(PatchMap map, bool whiten = true, PatchMask? foreground = null)
    {
        using var scope = NewDisposeScope();
        return new PcaMap(new PatchMap(map.Height, map.Width, _variance.Length, Project(map.ToTensor(), whiten).data<float>().ToArray(), map.Geometry), foreground); // [h, w, K]
    }

    private static double[] Numbers(Tensor tensor) => tensor.contiguous().data<double>().ToArray();
}
