using DinoSharp.Images;

namespace DinoSharp.Features.Propagation;

/// <summary>Class probabilities of patches → a class for each pixel.</summary>
internal static class ProbabilityMask
{
    /// <summary>The most likely class of each pixel; the lowest of equals.</summary>
    /// <param name="map">Probabilities, one number per class.</param>
    /// <param name="width">Width in pixels of the mask, which spans the whole grid.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="upsampling">How.</param>
    public static LabelMap Paint(PatchMap map, int width, int height, MaskUpsampling upsampling)
    {
        if (map.Dim > 256) throw new DinoSharpException($"a mask holds at most 256 classes, not {map.Dim}");
        byte[] mask = new byte[checked(width * height)];
        if (upsampling == MaskUpsampling.Bilinear)
        {
            Parallel.For(0, height, () => new float[map.Dim], (y, _, mixed) =>
            {
                (int top, int bottom, float down) = Bilinear(y, height, map.Height);
                for (int x = 0; x < width; x++)
                {
                    (int left, int right, float along) = Bilinear(x, width, map.Width);
                    ReadOnlySpan<float> a = map[top, left], b = map[top, right], c = map[bottom, left], d = map[bottom, right];
                    for (int m = 0; m < mixed.Length; m++) mixed[m] = ((1 - down) * (((1 - along) * a[m]) + (along * b[m]))) + (down * (((1 - along) * c[m]) + (along * d[m])));
                    mask[(y * width) + x] = Largest(mixed);
                }

                return mixed;
            }, _ => { });
            return new LabelMap(width, height, mask);
        }

        PatchMap stretched = Stretch(map, width, height);
        byte[] best = [.. Enumerable.Range(0, map.Count).Select(i => Largest(stretched[i / map.Width, i % map.Width]))];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++) mask[(y * width) + x] = best[(Nearest(y, height, map.Height) * map.Width) + Nearest(x, width, map.Width)];
        }

        return new LabelMap(width, height, mask);
    }

    /// <summary>Each class moved and scaled to 0 … 1 over the patches that a picture of this size shows; a constant class becomes 0.</summary>
    public static PatchMap Stretch(PatchMap map, int width, int height)
    {
        int[] rows = [.. Enumerable.Range(0, height).Select(y => Nearest(y, height, map.Height)).Distinct()], columns = [.. Enumerable.Range(0, width).Select(x => Nearest(x, width, map.Width)).Distinct()];
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

    /// <summary>The patch of a pixel, as <c>nearest</c> interpolation takes it.</summary>
    public static int Nearest(int pixel, int pixels, int patches) => (int)((long)pixel * patches / pixels);

    private static (int First, int Second, float Share) Bilinear(int pixel, int pixels, int patches)
    {
        double position = Math.Max(0, ((pixel + 0.5) * patches / pixels) - 0.5);
        int first = Math.Min((int)position, patches - 1);
        return (first, Math.Min(first + 1, patches - 1), (float)(position - first));
    }

    private static byte Largest(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int m = 1; m < values.Length; m++) if (values[m] > values[best]) best = m;
        return (byte)best;
    }
}
