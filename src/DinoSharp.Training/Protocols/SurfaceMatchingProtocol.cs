using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Features.Matching;
using DinoSharp.Images;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Training.Protocols;

/// <summary>Geometric correspondence (NAVI; paper, appendix D.3): every patch of an object is looked for among the patches of the object on another view, and the error is the distance of the two places on its surface.</summary>
public static class SurfaceMatchingProtocol
{
    private const int MostMatches = 1000;
    private static readonly double[] Centimeters = [1, 2, 5];

    /// <summary>Runs the protocol.</summary>
    /// <param name="extract">Patches of a picture, which is the square around the object.</param>
    /// <param name="pairs">Views of objects.</param>
    /// <param name="model">What gives the patches, for the report.</param>
    /// <param name="progress">Told how many pairs are done.</param>
    /// <param name="cancel">Checked between pairs.</param>
    /// <param name="onPair">Given the two squares of every pair and its matches, the most similar first.</param>
    /// <returns>Recall: the share of the 1000 most similar matches of a pair (all, where there are fewer) within 1, 2 and 5 cm, their mean, and the mean of that over the pairs.</returns>
    /// <exception cref="DinoSharpException">No pair can be scored.</exception>
    public static EvaluationResult Run(
        Func<ImageBuffer, PatchMap> extract, IReadOnlyList<ObjectViewPair> pairs, string model, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, ImageBuffer, IReadOnlyList<PatchMatch>>? onPair = null)
    {
        var names = new List<string>();
        var recalls = new List<double[]>();
        var skipped = new List<ImageException>();
        long places = 0;
        for (int i = 0; i < pairs.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            try
            {
                (ImageBuffer a, Func<ImagePoint, SurfacePoint?> onA) = pairs[i].A.Read();
                (ImageBuffer b, Func<ImagePoint, SurfacePoint?> onB) = pairs[i].B.Read();
                (PatchMap PatchesA, ImagePoint[] placesA) = OfObject(extract(a), onA);
                (PatchMap patchesB, ImagePoint[] placesB) = OfObject(extract(b), onB);
                if (placesA.Length > 0 && placesB.Length > 0)
                {
                    PatchMatch[] matches =
                    [
                        .. PatchMatcher.Match(PatchesA, patchesB).OrderByDescending(m => m.Similarity).Take(MostMatches).Select(m => m with { A = placesA[m.PatchA], B = placesB[m.PatchB] }),
                    ];
                    double[] errors = [.. matches.Select(m => 100 * onA(m.A)!.Value.DistanceTo(onB(m.B)!.Value))];
                    recalls.Add([.. Centimeters.Select(limit => errors.Average(e => e < limit ? 1.0 : 0))]);
                    names.Add(pairs[i].Name);
                    places += errors.Length;
                    onPair?.Invoke(i, a, b, matches);
                }
            }
            catch (ImageException error)
            {
                skipped.Add(error);
            }

            progress?.Report(i + 1);
        }

        if (recalls.Count == 0) throw new DinoSharpException($"none of the {pairs.Count} pairs of views can be scored{(skipped.Count > 0 ? $"; the first says: {skipped[0].Message}" : ": no patch lies on an object")}");
        double[] means = [.. recalls.Select(r => r.Average())];
        var metrics = new Dictionary<string, double> { ["recall"] = means.Average() };
        for (int t = 0; t < Centimeters.Length; t++) metrics[string.Create(CultureInfo.InvariantCulture, $"recallAt{Centimeters[t]}cm")] = recalls.Average(r => r[t]);
        return new EvaluationResult
        {
            Task = "match",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["thresholds"] = "1, 2 and 5 cm on the surface",
                ["places"] = places.ToString(CultureInfo.InvariantCulture),
            },
            Metrics = metrics,
            Headline = "recall",
            Items = names,
            Skipped = skipped,
            Score = EvaluationResult.MeanOf(means),
        };
    }

    // The patches whose middle lies on the object, in a row, and their places.
    private static (PatchMap Patches, ImagePoint[] Places) OfObject(PatchMap map, Func<ImagePoint, SurfacePoint?> surface)
    {
        var places = new List<ImagePoint>();
        var values = new List<float>();
        for (int row = 0; row < map.Height; row++)
        {
            for (int column = 0; column < map.Width; column++)
            {
                (double x, double y) = map.CenterOf(row, column);
                if (surface(new ImagePoint(x, y)) is null) continue;
                places.Add(new ImagePoint(x, y));
                values.AddRange(map[row, column]);
            }
        }

        // Without a patch the map is not used.
        return places.Count == 0 ? (map, []) : (new PatchMap(1, places.Count, map.Dim, [.. values], map.Geometry), [.. places]);
    }
}
