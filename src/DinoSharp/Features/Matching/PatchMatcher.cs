using static TorchSharp.torch;

namespace DinoSharp.Features.Matching;

/// <summary>Finds equal places on two pictures by the cosine similarity of their patches. Memory stays bounded: the table of all pairs is never made.</summary>
public static class PatchMatcher
{
    /// <summary>The best match in B of every patch of A, in row-major order of A.</summary>
    /// <param name="a">Patches of picture A.</param>
    /// <param name="b">Patches of picture B, of the same model and layer.</param>
    /// <param name="options">Which matches to keep; null: all, one for each patch of A.</param>
    /// <exception cref="DinoSharpException">The maps have different D, or a mask another grid than its map.</exception>
    public static IReadOnlyList<PatchMatch> Match(PatchMap a, PatchMap b, MatchOptions? options = null)
    {
        options ??= new MatchOptions();
        if (a.Dim != b.Dim) throw new DinoSharpException($"patches of {a.Dim} and of {b.Dim} numbers cannot be compared; extract both pictures with the same model");
        Check(options.ForegroundA, a);
        Check(options.ForegroundB, b);
        using var scope = NewDisposeScope();
        Tensor unitA = nn.functional.normalize(a.ToTensor()), unitB = nn.functional.normalize(b.ToTensor()); // [P, D]
        (float[] similarities, long[] best) = Best(unitA, unitB);
        long[]? back = options.Mutual ? Best(unitB, unitA).Indices : null;
        var matches = new List<PatchMatch>();
        for (int i = 0; i < a.Count; i++)
        {
            int j = (int)best[i];
            if (options.ForegroundA is { } maskA && !maskA.Values[i]) continue;
            if (options.ForegroundB is { } maskB && !maskB.Values[j]) continue;
            if (similarities[i] < options.MinSimilarity || (back is not null && back[j] != i)) continue;
            matches.Add(new PatchMatch(i, j, Center(a, i), options.Refine ? Refine(a, i, b, j) : Center(b, j), similarities[i]));
        }

        if (options.MinSpacing <= 0) return matches;
        return [.. PointSpacing.Select([.. matches.Select(m => m.A)], options.MinSpacing).Select(i => matches[i])];
    }

    private static (float[] Similarities, long[] Indices) Best(Tensor queries, Tensor keys)
    {
        (Tensor similarities, Tensor indices) = NearestNeighbors.Find(queries, keys, 1); // [P, 1]
        return (similarities.clamp(Num(-1), Num(1)).data<float>().ToArray(), indices.data<long>().ToArray());
    }

    private static ImagePoint Center(PatchMap map, int patch) => At(map, patch / map.Width, patch % map.Width);

    private static ImagePoint At(PatchMap map, double row, double column)
    {
        PatchGeometry g = map.Geometry;
        return new ImagePoint(g.Left + ((column + 0.5) * g.Width / map.Width), g.Top + ((row + 0.5) * g.Height / map.Height));
    }

    private static ImagePoint Refine(PatchMap a, int patch, PatchMap b, int best)
    {
        ReadOnlySpan<float> query = a[patch / a.Width, patch % a.Width];
        (int row, int column) = (best / b.Width, best % b.Width);
        double here = Cosine(query, b[row, column]);
        double x = column == 0 || column == b.Width - 1 ? 0 : Peak(Cosine(query, b[row, column - 1]), here, Cosine(query, b[row, column + 1]));
        double y = row == 0 || row == b.Height - 1 ? 0 : Peak(Cosine(query, b[row - 1, column]), here, Cosine(query, b[row + 1, column]));
        return At(b, row + y, column + x);
    }

    // Where the parabola through values at -1, 0 and 1 has its maximum; 0 if it has none nearby.
    private static double Peak(double before, double here, double after)
    {
        double bend = before - (2 * here) + after;
        return bend < 0 ? Math.Clamp((before - after) / (2 * bend), -0.5, 0.5) : 0;
    }

    private static double Cosine(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
    {
        (double dot, double xx, double yy) = (0, 0, 0);
        for (int i = 0; i < x.Length; i++)
        {
            dot += (double)x[i] * y[i];
            xx += (double)x[i] * x[i];
            yy += (double)y[i] * y[i];
        }

        return dot / Math.Max(Math.Sqrt(xx * yy), 1e-12);
    }

    private static void Check(PatchMask? mask, PatchMap map)
    {
        if (mask is not null && (mask.Height != map.Height || mask.Width != map.Width))
            throw new DinoSharpException($"the foreground mask has {mask.Height}x{mask.Width} patches, the picture {map.Height}x{map.Width}");
    }
}
