using static TorchSharp.torch;

namespace DinoSharp.Features.Clustering;

/// <summary>How to cluster.</summary>
public sealed record KMeansOptions
{
    /// <summary>Source of the starts; equal seeds give equal clusters.</summary>
    public int Seed { get; init; }

    /// <summary>How many starts are tried; the tightest clusters win.</summary>
    public int Restarts { get; init; } = 3;

    /// <summary>Limit of rounds of one start.</summary>
    public int MaxIterations { get; init; } = 100;
}

/// <summary>Groups of similar vectors: spherical k-means (cosine similarity) with k-means++ starts. Plain memory: nothing to dispose.</summary>
public sealed class KMeans
{
    private readonly float[] _centers;

    private KMeans(float[] centers, int count, double meanSimilarity) => (_centers, Count, MeanSimilarity) = (centers, count, meanSimilarity);

    /// <summary>Number of clusters K. They are ordered by size, largest first.</summary>
    public int Count { get; }

    /// <summary>Length D of a vector.</summary>
    public int Dim => _centers.Length / Count;

    /// <summary>Mean cosine similarity of the fitted vectors with the centres of their clusters.</summary>
    public double MeanSimilarity { get; }

    /// <summary>The centre of a cluster, of unit length. [D]</summary>
    /// <param name="cluster">0 … K − 1.</param>
    public ReadOnlySpan<float> Center(int cluster) => _centers.AsSpan(cluster * Dim, Dim);

    /// <summary>Finds clusters.</summary>
    /// <param name="samples">Vectors of any length; only their direction counts. [N, D]</param>
    /// <param name="clusters">Number of clusters K, at most N.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <exception cref="ArgumentOutOfRangeException">No cluster, no start or no round.</exception>
    /// <exception cref="DinoSharpException">Fewer vectors than clusters, or vectors that are not finite.</exception>
    public static KMeans Fit(Tensor samples, int clusters, KMeansOptions? options = null)
    {
        options ??= new KMeansOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(clusters, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Restarts, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxIterations, 1);
        if (samples.dim() != 2 || samples.shape[0] < clusters) throw new DinoSharpException($"{clusters} clusters need at least as many vectors, found [{string.Join(", ", samples.shape)}]");
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor units = nn.functional.normalize(samples.detach().to(ScalarType.Float32)); // [N, D]
        if (!units.isfinite().all().item<bool>()) throw new DinoSharpException("the features hold numbers that are not finite (NaN or infinity), so they cannot be clustered; the weights may be damaged: try 'dino info' on them");
        var random = new Random(options.Seed);
        (Tensor? centers, double similarity) = (null, double.NegativeInfinity);
        for (int restart = 0; restart < options.Restarts; restart++)
        {
            (Tensor found, double mean) = Run(units, clusters, options.MaxIterations, random);
            if (mean > similarity) (centers, similarity) = (found, mean);
        }

        Tensor sizes = units.matmul(centers!.t()).argmax(1).bincount(weights: null, minlength: clusters); // [K]
        return new KMeans(centers.index_select(0, sizes.argsort(descending: true)).contiguous().data<float>().ToArray(), clusters, similarity);
    }

    /// <summary>The cosine similarity of every patch with every centre. [h, w, K]</summary>
    /// <param name="map">Patches of the same D.</param>
    public PatchMap Similarities(PatchMap map)
    {
        if (map.Dim != Dim) throw new DinoSharpException($"patches of {map.Dim} numbers do not fit clusters of {Dim}; extract them with the same model");
        using var scope = NewDisposeScope();
        Tensor similarities = nn.functional.normalize(map.ToTensor()).matmul(tensor(_centers, [Count, Dim]).t()); // [P, K]
        return new PatchMap(map.Height, map.Width, Count, similarities.data<float>().ToArray(), map.Geometry);
    }

    private static (Tensor Centers, double MeanSimilarity) Run(Tensor units, int clusters, int maxIterations, Random random)
    {
        using var scope = NewDisposeScope();
        Tensor centers = Start(units, clusters, random); // [K, D]
        Tensor? assigned = null;
        double mean = double.NegativeInfinity;
        for (int iteration = 0; iteration < maxIterations; iteration++)
        {
            using var round = NewDisposeScope();
            (Tensor best, Tensor nearest) = units.matmul(centers.t()).max(1); // [N]
            mean = best.mean().item<float>();
            if (assigned is not null && nearest.equal(assigned).all().item<bool>()) break;
            Tensor sums = zeros_like(centers).index_add_(0, nearest, units, Num(1)); // [K, D]
            Tensor sizes = nearest.bincount(weights: null, minlength: clusters); // [K]
            long[] counts = sizes.data<long>().ToArray();
            for (int k = 0; k < clusters; k++)
            {
                if (counts[k] > 0) continue;
                long loneliest = best.argmin().item<long>(); // a cluster that lost all its vectors starts again at the worst placed one
                sums[k] = units[loneliest];
                best[loneliest] = 1;
            }

            (Tensor oldCenters, Tensor? oldAssigned) = (centers, assigned);
            (centers, assigned) = (nn.functional.normalize(sums).MoveToOuterDisposeScope(), nearest.MoveToOuterDisposeScope());
            oldCenters.Dispose();
            oldAssigned?.Dispose();
        }

        return (centers.MoveToOuterDisposeScope(), mean);
    }

    // k-means++ (Arthur and Vassilvitskii 2007): each further centre is drawn with a probability proportional to the squared distance from the nearest one.
    private static Tensor Start(Tensor units, int clusters, Random random)
    {
        using var scope = NewDisposeScope();
        var chosen = new List<long> { random.NextInt64(units.shape[0]) };
        Tensor distance = full(units.shape[0], Num(double.PositiveInfinity), dtype: ScalarType.Float64); // [N]
        while (chosen.Count < clusters)
        {
            using var round = NewDisposeScope();
            Tensor before = distance, here = (-(Num(2) * units.mv(units[chosen[^1]]).to(ScalarType.Float64))).Plus(Num(2)); // [N]
            distance = minimum(before, here.clamp(min: Num(0))).MoveToOuterDisposeScope(); // [N]
            before.Dispose();
            double[] cumulative = distance.cumsum(0).data<double>().ToArray();
            int next = Array.BinarySearch(cumulative, random.NextDouble() * cumulative[^1]);
            chosen.Add(Math.Min(next < 0 ? ~next : next, cumulative.Length - 1));
        }

        return units.index_select(0, tensor(chosen.ToArray())).MoveToOuterDisposeScope(); // [K, D]
    }
}
