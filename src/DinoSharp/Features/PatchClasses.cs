using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>Scores of classes for each patch → the best class of each pixel.</summary>
internal static class PatchClasses
{
    /// <summary>Interpolates the scores bilinearly between the patch centres, where the geometry of the map puts them, and takes the largest; the lowest of equals.</summary>
    /// <param name="scores">One number per class, at most 256 classes.</param>
    /// <param name="width">Width in pixels that the whole picture has in the result.</param>
    /// <param name="height">Height in pixels.</param>
    public static LabelMap Paint(PatchMap scores, int width, int height)
    {
        CheckCount(scores.Dim);
        PatchGeometry g = scores.Geometry;
        (int First, int Second, float Share)[] columns = Places(width, scores.Width, g.Left / g.ImageWidth, g.Width / g.ImageWidth), rows = Places(height, scores.Height, g.Top / g.ImageHeight, g.Height / g.ImageHeight);
        byte[] classes = new byte[checked(width * height)];
        Parallel.For(0, height, () => new float[scores.Dim], (y, _, mixed) =>
        {
            (int top, int bottom, float down) = rows[y];
            for (int x = 0; x < width; x++)
            {
                (int left, int right, float along) = columns[x];
                ReadOnlySpan<float> a = scores[top, left], b = scores[top, right], c = scores[bottom, left], d = scores[bottom, right];
                for (int m = 0; m < mixed.Length; m++) mixed[m] = ((1 - down) * (((1 - along) * a[m]) + (along * b[m]))) + (down * (((1 - along) * c[m]) + (along * d[m])));
                classes[(y * width) + x] = Largest(mixed);
            }

            return mixed;
        }, _ => { });
        return new LabelMap(width, height, classes);
    }

    /// <summary>Index of the largest number; the first of equals.</summary>
    public static byte Largest(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int m = 1; m < values.Length; m++) if (values[m] > values[best]) best = m;
        return (byte)best;
    }

    /// <summary>Throws if a label map cannot hold so many classes.</summary>
    public static void CheckCount(int classes)
    {
        if (classes > 256) throw new DinoSharpException($"a label map holds at most 256 classes, not {classes}");
    }

    private static (int First, int Second, float Share)[] Places(int pixels, int patches, double start, double length) =>
    [
        .. Enumerable.Range(0, pixels).Select(i =>
        {
            double position = Math.Clamp(((((i + 0.5) / pixels) - start) / length * patches) - 0.5, 0, patches - 1);
            int first = (int)position;
            return (first, Math.Min(first + 1, patches - 1), (float)(position - first));
        }),
    ];
}
