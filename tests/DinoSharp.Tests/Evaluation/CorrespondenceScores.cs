using System.Text.Json;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Features.Matching;

namespace DinoSharp.Tests.Evaluation;

/// <summary><c>correspondence MODEL FOLDER [HEIGHT]</c>: how many matches of pictures with a known warp lie where they should.</summary>
internal static class CorrespondenceScores
{
    public static int Run(string model, string folder, int height)
    {
        using DinoModel dino = DinoModel.Load(model);
        using JsonDocument pairs = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "pairs.json")));
        var byKind = new Dictionary<string, List<double>>();
        foreach (JsonElement pair in pairs.RootElement.EnumerateArray())
        {
            double[] warp = [.. pair.GetProperty("H_a_to_b").EnumerateArray().SelectMany(row => row.EnumerateArray()).Select(n => n.GetDouble())];
            (int width, int rows) = (pair.GetProperty("width").GetInt32(), pair.GetProperty("height").GetInt32());
            PatchMap a = Map("a"), b = Map("b");
            foreach (bool refine in new[] { false, true })
            {
                foreach (bool mutual in new[] { false, true })
                {
                    // Only places whose true counterpart lies on B can be right.
                    double[] errors = [.. PatchMatcher.Match(a, b, new() { Mutual = mutual, Refine = refine }).Select(m => (m.B, Truth: Warp(warp, m.A))).Where(m => m.Truth.X >= 0 && m.Truth.Y >= 0 && m.Truth.X < width && m.Truth.Y < rows).Select(m => m.B.DistanceTo(m.Truth))];
                    string kind = $"{pair.GetProperty("id").GetString()!.Split('_')[1]} {(mutual ? "mutual" : "every patch")} {(refine ? "refined" : "patch centres")}";
                    if (!byKind.TryGetValue(kind, out List<double>? list)) byKind[kind] = list = [];
                    list.AddRange(errors);
                }
            }

            PatchMap Map(string side)
            {
                using ImageFeatures features = dino.Extract(Path.Combine(folder, pair.GetProperty(side).GetString()!), new ExtractOptions { ImageSizePixels = height });
                return features.PatchMap();
            }
        }

        foreach ((string kind, List<double> errors) in byKind.OrderBy(k => k.Key, StringComparer.Ordinal))
            Console.WriteLine(FormattableString.Invariant($"{kind,-36} {errors.Count,6} points  PCK@5 {100 * LocationMetrics.Pck(errors, 5),5:0.0}  @10 {100 * LocationMetrics.Pck(errors, 10),5:0.0}  @20 {100 * LocationMetrics.Pck(errors, 20),5:0.0}"));
        return 0;
    }

    private static ImagePoint Warp(double[] h, ImagePoint p)
    {
        double w = (h[6] * p.X) + (h[7] * p.Y) + h[8];
        return new ImagePoint(((h[0] * p.X) + (h[1] * p.Y) + h[2]) / w, ((h[3] * p.X) + (h[4] * p.Y) + h[5]) / w);
    }
}
