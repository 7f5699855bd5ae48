using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Features.Matching;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>matching</c>.</summary>
internal static class MatchingCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            int patch = call.Int("patch_size");
            PatchMap left = Map(call.Input("features_left")!, patch), right = Map(call.Input("features_right")!, patch);
            float threshold = call.Arg("mask_threshold").GetSingle();
            IReadOnlyList<PatchMatch> all = PatchMatcher.Match(left, right);
            IReadOnlyList<PatchMatch> foreground = PatchMatcher.Match(left, right, new()
            {
                ForegroundA = Mask(call.Input("mask_left")!, threshold),
                ForegroundB = Mask(call.Input("mask_right")!, threshold),
            });
            Tensor unitLeft = nn.functional.normalize(left.ToTensor()), unitRight = nn.functional.normalize(right.ToTensor());
            call.CheckIfGiven("heatmaps", unitLeft.matmul(unitRight.t()).view(left.Count, right.Height, right.Width));
            call.Check("best_right_index", tensor(all.Select(m => (long)m.PatchB).ToArray()));
            call.Check("locs_left", Points(all.Select(m => m.A)));
            call.Check("locs_right", Points(all.Select(m => m.B)));
            HashSet<int> kept = [.. foreground.Select(m => m.PatchA)];
            call.Check("foreground_selection", tensor(Enumerable.Range(0, left.Count).Select(kept.Contains).ToArray()));
            call.Check("locs_left_fg", Points(foreground.Select(m => m.A)));
            call.Check("locs_right_fg", Points(foreground.Select(m => m.B)));
            double scale = call.Arg("stratify_scale").GetDouble();
            foreach (double squared in call.Arg("stratify_thresholds_squared").EnumerateArray().Select(t => t.GetDouble()))
            {
                int[] spaced = PointSpacing.Select([.. foreground.Select(m => new ImagePoint(m.A.X * scale, m.A.Y * scale))], Math.Sqrt(squared));
                string suffix = squared.ToString(CultureInfo.InvariantCulture);
                call.Check("kept_" + suffix, tensor(spaced.Select(i => (long)i).ToArray()));
                call.Check("excluded_" + suffix, tensor(Enumerable.Range(0, foreground.Count).Except(spaced).Select(i => (long)i).ToArray()));
            }
        }
    }

    private static PatchMap Map(Tensor features, int patch) // [D, h, w]
    {
        (int d, int h, int w) = ((int)features.shape[0], (int)features.shape[1], (int)features.shape[2]);
        return new PatchMap(h, w, d, features.permute(1, 2, 0).contiguous().data<float>().ToArray(), PatchGeometry.Whole(w * patch, h * patch));
    }

    private static PatchMask Mask(Tensor coverage, float threshold) =>
        new((int)coverage.shape[0], (int)coverage.shape[1], coverage.gt(threshold).data<bool>().ToArray());

    // The golden coordinates are (row, column).
    private static Tensor Points(IEnumerable<ImagePoint> points)
    {
        float[] values = [.. points.SelectMany(p => (float[])[(float)p.Y, (float)p.X])];
        return tensor(values, [values.Length / 2, 2]);
    }
}
