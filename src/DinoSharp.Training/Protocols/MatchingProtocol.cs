using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Features.Matching;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Training.Protocols;

/// <summary>Dense correspondence without training (paper, appendix D.3): the patch of B most similar to a patch of A, compared with the place that is known to be equal.</summary>
public static class MatchingProtocol
{
    private static readonly double[] Pixels = [5, 10, 20], Shares = [0.05, 0.1, 0.2];

    /// <summary>Runs the protocol.</summary>
    /// <param name="extract">Patches of a picture, by its file.</param>
    /// <param name="pairs">Pairs of pictures; all with errors in pixels, or all relative to an object.</param>
    /// <param name="model">What gives the patches, for the report.</param>
    /// <param name="progress">Told how many pairs are done.</param>
    /// <param name="cancel">Checked between pairs.</param>
    /// <exception cref="DinoSharpException">No known place can be looked for.</exception>
    public static EvaluationResult Run(Func<string, PatchMap> extract, IReadOnlyList<CorrespondencePair> pairs, string model, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        bool relative = pairs.Count > 0 && pairs[0].ObjectSide is not null;
        double[] thresholds = relative ? Shares : Pixels;
        var scores = new List<PairErrors>();
        foreach (CorrespondencePair pair in pairs)
        {
            cancel.ThrowIfCancellationRequested();
            PatchMap a = extract(pair.A), b = extract(pair.B);
            IReadOnlyList<PatchMatch> nearest = PatchMatcher.Match(a, b); // one for each patch of A, in order
            HashSet<int> mutual = [.. PatchMatcher.Match(a, b, new MatchOptions { Mutual = true }).Select(m => m.PatchA)];
            double side = pair.ObjectSide ?? 1;
            (double Error, bool Mutual)[] errors = pair.KeyPoints is { } points
                ? [.. points.Select(p => (Point: p, Patch: PatchOf(a, p))).Select(p => (nearest[p.Patch].B.DistanceTo(pair.Truth(p.Point)!.Value) / side, mutual.Contains(p.Patch)))]
                : [.. nearest.Select(m => (Match: m, Truth: pair.Truth(m.A))).Where(m => m.Truth is not null).Select(m => (m.Match.B.DistanceTo(m.Truth!.Value) / side, mutual.Contains(m.Match.PatchA)))];
            if (errors.Length > 0) scores.Add(new PairErrors(pair.Name, pair.Category, [.. errors.Select(e => e.Error)], [.. errors.Where(e => e.Mutual).Select(e => e.Error)]));
            progress?.Report(scores.Count);
        }

        if (scores.Count == 0) throw new DinoSharpException("no place of the first pictures is known on the second ones, so nothing can be scored");
        int[] all = [.. Enumerable.Range(0, scores.Count)];
        var metrics = new Dictionary<string, double>();
        foreach (double threshold in thresholds)
        {
            string name = (relative ? 100 * threshold : threshold).ToString(CultureInfo.InvariantCulture);
            metrics["pck" + name] = Pck(all, s => s.Errors, threshold);
            metrics["mutualPck" + name] = Pck(all, s => s.Mutual, threshold);
        }

        if (relative) metrics["recall"] = all.GroupBy(i => scores[i].Category).Average(c => Pck([.. c], s => s.Errors, thresholds[1])); // as SPair is published: the mean over the kinds of objects
        return new EvaluationResult
        {
            Task = "match",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["thresholds"] = relative ? "percent of the longer side of the object on B" : "pixels of B",
                ["places"] = scores.Sum(s => s.Errors.Length).ToString(CultureInfo.InvariantCulture),
                ["mutualPlaces"] = scores.Sum(s => s.Mutual.Length).ToString(CultureInfo.InvariantCulture),
            },
            Metrics = metrics,
            Headline = "pck10",
            Items = [.. scores.Select(s => s.Name)],
            Score = items => Pck(items, s => s.Errors, thresholds[1]),
        };

        double Pck(IReadOnlyList<int> items, Func<PairErrors, double[]> errors, double threshold)
        {
            (long right, long count) = (0, 0);
            foreach (int i in items)
            {
                double[] these = errors(scores[i]);
                right += these.Count(e => e <= threshold);
                count += these.Length;
            }

            return count == 0 ? double.NaN : (double)right / count;
        }
    }

    private static int PatchOf(PatchMap map, ImagePoint p)
    {
        (int row, int column) = map.PatchAt(Math.Clamp((int)p.X, 0, map.Geometry.ImageWidth - 1), Math.Clamp((int)p.Y, 0, map.Geometry.ImageHeight - 1));
        return (row * map.Width) + column;
    }

    // Errors of every place and of those whose match is mutual.
    private sealed record PairErrors(string Name, string? Category, double[] Errors, double[] Mutual);
}
