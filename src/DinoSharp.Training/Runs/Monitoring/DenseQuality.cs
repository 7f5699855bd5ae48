using static TorchSharp.torch;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>How well the patches of pictures keep to their places (docs/monitor.md has the formulas). Each is the mean over the pictures.</summary>
/// <param name="Near">Mean cosine similarity of patches that touch, at their sides or corners; -1 … 1.</param>
/// <param name="Far">Mean cosine similarity of patches at least half the shorter side of the grid apart; -1 … 1.</param>
/// <param name="HalfDistance">Distance, in patches, at which the similarity has fallen half the way from <paramref name="Near"/> to <paramref name="Far"/>;
/// over the pictures in which it falls, not a number if there is none.</param>
/// <param name="ClassToken">Mean cosine similarity of the class token with the patches: it rises while dense features decay (paper section 4.1).</param>
internal sealed record DenseQuality(double Near, double Far, double HalfDistance, double ClassToken)
{
    /// <summary>Locality score: how much more alike neighbours are than distant patches. 0: the place does not count; it falls when the patches of a picture grow alike, or turn to noise.</summary>
    public double Locality => Near - Far;

    /// <summary>Measures pictures.</summary>
    /// <param name="classTokens">Class tokens of any length. [B, D]</param>
    /// <param name="patches">Patch tokens, row-major. [B, P, D]</param>
    /// <param name="rows">Patch rows h.</param>
    /// <param name="columns">Patch columns w; P = h·w.</param>
    public static DenseQuality Of(Tensor classTokens, Tensor patches, int rows, int columns)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        (int[] bins, double[] pairs, bool[] near, bool[] far) = Distances(rows, columns);
        Tensor bin = tensor(bins, dtype: ScalarType.Int64); // [P·P]
        Tensor nearPairs = tensor(near).to(ScalarType.Float64), farPairs = tensor(far).to(ScalarType.Float64); // [P·P]
        double[] sums = new double[3];
        var falls = new List<double>();
        for (long i = 0; i < patches.shape[0]; i++)
        {
            using var inner = NewDisposeScope();
            Tensor units = nn.functional.normalize(patches[i].to(ScalarType.Float64).cpu(), dim: 1); // [P, D]
            Tensor similarities = units.mm(units.t()).flatten(); // [P·P]
            double n = (similarities * nearPairs).sum().item<double>() / near.Count(x => x), f = (similarities * farPairs).sum().item<double>() / far.Count(x => x);
            double[] profile = zeros(pairs.Length, ScalarType.Float64).index_add_(0, bin, similarities, Num(1)).data<double>().ToArray(); // [K]
            sums[0] += n;
            sums[1] += f;
            if (n > f) falls.Add(Fall([.. profile.Select((s, k) => pairs[k] > 0 ? s / pairs[k] : double.NaN)], n, f));
            sums[2] += units.mv(nn.functional.normalize(classTokens[i].to(ScalarType.Float64).cpu(), dim: 0)).mean().item<double>();
        }

        return new DenseQuality(sums[0] / patches.shape[0], sums[1] / patches.shape[0], falls.Count == 0 ? double.NaN : falls.Average(), sums[2] / patches.shape[0]);
    }

    // The first crossing of the middle between near and far, on straight lines between whole distances; distance 1 counts as near.
    private static double Fall(double[] profile, double near, double far)
    {
        double middle = (near + far) / 2, before = near, at = 1;
        for (int k = 2; k < profile.Length; k++)
        {
            if (double.IsNaN(profile[k])) continue;
            if (profile[k] <= middle) return at + ((k - at) * (before - middle) / (before - profile[k]));
            (before, at) = (profile[k], k);
        }

        return at;
    }

    // For every ordered pair of patches the distance rounded to whole patches, and which pairs are near or far.
    private static (int[] Bins, double[] Pairs, bool[] Near, bool[] Far) Distances(int rows, int columns)
    {
        int count = rows * columns;
        int[] bins = new int[count * count];
        bool[] near = new bool[bins.Length], far = new bool[bins.Length];
        double limit = Math.Max(Math.Min(rows, columns) / 2.0, 1.5);
        for (int i = 0; i < count; i++)
        {
            for (int j = 0; j < count; j++)
            {
                double distance = Math.Sqrt(Math.Pow((i / columns) - (j / columns), 2) + Math.Pow((i % columns) - (j % columns), 2));
                int pair = (i * count) + j;
                bins[pair] = (int)Math.Round(distance);
                near[pair] = distance is > 0 and < 1.5;
                far[pair] = distance >= limit;
            }
        }

        double[] pairs = new double[bins.Max() + 1];
        foreach (int bin in bins) pairs[bin]++;
        return (bins, pairs, near, far);
    }
}
