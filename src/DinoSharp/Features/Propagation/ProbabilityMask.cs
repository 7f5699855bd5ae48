using DinoSharp.Images;

namespace DinoSharp.Features.Propagation;

/// <summary>Probabilities of patches → pixels, by the two published ways.</summary>
internal static class ProbabilityMask
{
    /// <summary>The most likely class of each pixel; the lowest of equals.</summary>
    /// <param name="map">Probabilities, one number per class.</param>
    /// <param name="width">Width in pixels of the mask, which spans the whole grid.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="upsampling">How.</param>
    public static LabelMap Paint(PatchMap map, int width, int height, MaskUpsampling upsampling)
    {
        if (upsampling == MaskUpsampling.Bilinear) return PatchClasses.Paint(map, width, height);
        PatchClasses.CheckCount(map.Dim);
        PatchMap stretched = Stretch(map, width, height);
        byte[] best = [.. Enumerable.Range(0, map.Count).Select(i => PatchClasses.Largest(stretched[i / map.Width, i % map.Width]))], mask = new byte[checked(width * height)];
        int[] rows = NearestPixel.UnderEdge(map.Height, height), columns = NearestPixel.UnderEdge(map.Width, width);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++) mask[(y * width) + x] = best[(rows[y] * map.Width) + columns[x]];
        }

        return new LabelMap(width, height, mask);
    }

    /// <summary>Each class moved and scaled to 0 … 1 over the patches that a picture of this size shows; a constant class becomes 0.</summary>
    public static PatchMap Stretch(PatchMap map, int width, int height)
    {
        int[] rows = [.. NearestPixel.UnderEdge(map.Height, height).Distinct()], columns = [.. NearestPixel.UnderEdge(map.Width, width).Distinct()];
        float[] low = new float[map.Dim], high = new float[map.Dim], values = map.Values.ToArray();
        Array.Fill(low, float.PositiveInfinity);
        Array.Fill(high, float.NegativeInfinity);
        foreach (int row in rows)
        {
            foreach (int column in columns)
            {
                ReadOnlySpan<float> patch = map[row, column];
                for (int m = 0; m < low.Length; m++) (low[m], high[m]) = (Math.Min(low[m], patch[m]), Math.Max(high[m], patch[m]));
            }
        }

        for (int i = 0; i < values.Length; i++)
        {
            int m = i % map.Dim;
            values[i] = high[m] > low[m] ? (values[i] - low[m]) / (high[m] - low[m]) : 0;
        }

        return new PatchMap(map.Height, map.Width, map.Dim, values, map.Geometry);
    }
}
