using static TorchSharp.torch;

namespace DinoSharp.Features.Change;

/// <summary>Where two pictures of the same place, taken at different times and lying on each other, differ in what they show.</summary>
public static class ChangeDetection
{
    /// <summary>Cosine distance 1 − cos of the patches of two pictures, 0 (the same) … 2.</summary>
    /// <param name="before">Patches of the first picture.</param>
    /// <param name="after">Patches of the second picture, on the same grid.</param>
    /// <param name="tolerance">Take the best patch within so many patches to each side, in both directions: for pictures that lie on each other only roughly.</param>
    /// <exception cref="DinoSharpException">The grids or models differ.</exception>
    public static HeatMap Distance(PatchMap before, PatchMap after, int tolerance = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tolerance);
        if ((before.Height, before.Width, before.Dim) != (after.Height, after.Width, after.Dim))
        {
            throw new DinoSharpException(
                $"the pictures have {before.Height}x{before.Width} patches of {before.Dim} and {after.Height}x{after.Width} of {after.Dim}; they must be of one size and model to lie on each other");
        }

        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor a = Unit(before), b = Unit(after); // [h, w, D]
        Tensor similarity = minimum(Best(a, b, tolerance), Best(b, a, tolerance)); // [h, w]
        return new HeatMap(before.Height, before.Width, (-similarity).Plus(Num(1)).clamp(Num(0), Num(2)).contiguous().data<float>().ToArray(), after.Geometry);
    }

    // Two files of one scene differ by rounding and compression; vectors that close show the same.
    private const double SmallestChange = 1e-3;

    /// <summary>A threshold for one pair without any labels: changed patches are the exception, so they stand out from the median by many median deviations; at least 0.001.</summary>
    /// <param name="distance">The distances of a pair.</param>
    /// <param name="deviations">How many; 3.5 is the usual limit for outliers (Iglewicz and Hoaglin 1993).</param>
    public static float OutlierThreshold(HeatMap distance, double deviations = 3.5)
    {
        float[] values = distance.Values.ToArray();
        float median = Median(values);
        return (float)Math.Max(SmallestChange, median + (deviations / 0.6745 * Median(Array.ConvertAll(values, v => Math.Abs(v - median)))));
    }

    private static Tensor Unit(PatchMap map) => nn.functional.normalize(map.ToTensor()).view(map.Height, map.Width, map.Dim); // [h, w, D]

    // For each patch of one picture the best similarity with the patches around its place in the other.
    private static Tensor Best(Tensor from, Tensor to, int tolerance)
    {
        (long h, long w) = (from.shape[0], from.shape[1]);
        Tensor best = full(h, w, Num(double.NegativeInfinity)); // [h, w]
        (long down, long across) = (Math.Min(tolerance, h - 1), Math.Min(tolerance, w - 1));
        for (long dy = -down; dy <= down; dy++)
        {
            for (long dx = -across; dx <= across; dx++)
            {
                (long rows, long columns) = (h - Math.Abs(dy), w - Math.Abs(dx));
                using var shift = NewDisposeScope();
                Tensor here = Part(from, Math.Max(0, -dy), Math.Max(0, -dx)), there = Part(to, Math.Max(0, dy), Math.Max(0, dx)), target = Part(best, Math.Max(0, -dy), Math.Max(0, -dx));
                target.copy_(maximum(target, (here * there).sum([2]))); // [rows, columns]

                Tensor Part(Tensor map, long top, long left) => map.narrow(0, top, rows).narrow(1, left, columns);
            }
        }

        return best;
    }

    private static float Median(float[] values)
    {
        float[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
