using DinoSharp.Images;

namespace DinoSharp.Features.Change;

/// <summary>A threshold of change found on labelled pairs, and what it reaches on them.</summary>
/// <param name="Threshold">Distances above it are change.</param>
/// <param name="F1">F1 of the changed pixels of all pairs together.</param>
/// <param name="Iou">Intersection over union of the changed pixels.</param>
public sealed record ChangeThreshold(float Threshold, double F1, double Iou)
{
    private const int Bins = 4096;

    /// <summary>The threshold of the best F1 over the pixels of labelled pairs.</summary>
    /// <param name="pairs">For each pair its distances and the truth: 0 is no change, anything else is change.</param>
    /// <exception cref="DinoSharpException">There is no pair, or no changed pixel in any.</exception>
    public static ChangeThreshold Calibrate(IEnumerable<(HeatMap Distance, LabelMap Truth)> pairs)
    {
        // Counts of changed and unchanged pixels by distance; the best cut is then found in one pass.
        long[] changed = new long[Bins], unchanged = new long[Bins];
        foreach ((HeatMap distance, LabelMap truth) in pairs)
        {
            float[] pixels = Pixels(distance, truth.Width, truth.Height);
            for (int i = 0; i < pixels.Length; i++) (truth.Values[i] != 0 ? changed : unchanged)[Math.Clamp((int)(pixels[i] / 2 * Bins), 0, Bins - 1)]++;
        }

        long positives = changed.Sum(), hits = 0, alarms = 0;
        if (positives == 0) throw new DinoSharpException("the labels show no change, so no threshold can be found on them");
        (int Bin, double F1, double Iou) best = (Bins, 0, 0);
        for (int bin = Bins - 1; bin >= 0; bin--)
        {
            hits += changed[bin];
            alarms += unchanged[bin];
            double f1 = 2.0 * hits / (hits + alarms + positives);
            if (f1 > best.F1) best = (bin, f1, (double)hits / (positives + alarms));
        }

        // In the middle of the empty bins below, farthest from both sides; just below an edge, because what lies on it counts as change.
        int below = best.Bin - 1;
        while (below >= 0 && changed[below] + unchanged[below] == 0) below--;
        return new ChangeThreshold(MathF.BitDecrement((best.Bin + below + 1f) / Bins), best.F1, best.Iou);
    }

    /// <summary>The changed pixels of a pair: 1 where the distance is above the threshold.</summary>
    /// <param name="distance">The distances.</param>
    /// <param name="threshold">The threshold.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="height">Height in pixels.</param>
    public static LabelMap Mask(HeatMap distance, float threshold, int width, int height) =>
        new(width, height, Array.ConvertAll(Pixels(distance, width, height), v => v > threshold ? (byte)1 : (byte)0));

    private static float[] Pixels(HeatMap distance, int width, int height) =>
        new PatchUpsampling(new PatchMap(distance.Height, distance.Width, 1, distance.Values.ToArray(), distance.Geometry), width, height).ToPixels();
}
