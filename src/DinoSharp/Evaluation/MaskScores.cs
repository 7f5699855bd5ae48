namespace DinoSharp.Evaluation;

/// <summary>Scores of one mask against the truth, as used for video object segmentation (Perazzi et al. 2016).</summary>
public static class MaskScores
{
    // Tolerance of the contour as a share of the image diagonal, as published.
    private const double BoundaryTolerance = 0.008;

    /// <summary>Region similarity J: intersection over union of the pixels of one object; 1 if it is in neither map.</summary>
    /// <param name="predicted">Object of each pixel.</param>
    /// <param name="truth">Object of each pixel.</param>
    /// <param name="objectId">Which object.</param>
    public static double RegionSimilarity(ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth, byte objectId)
    {
        CheckSizes(predicted, truth);
        (long both, long either) = (0, 0);
        for (int i = 0; i < truth.Length; i++)
        {
            bool p = predicted[i] == objectId, t = truth[i] == objectId;
            if (p && t) both++;
            if (p || t) either++;
        }

        return either == 0 ? 1 : (double)both / either;
    }

    /// <summary>Boundary measure F: harmonic mean of the shares of predicted and true contour pixels that lie near the other contour.</summary>
    /// <param name="predicted">Object of each pixel, row-major.</param>
    /// <param name="truth">Object of each pixel, row-major.</param>
    /// <param name="width">Pixels per row.</param>
    /// <param name="objectId">Which object.</param>
    public static double BoundaryF(ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth, int width, byte objectId)
    {
        CheckSizes(predicted, truth);
        int height = truth.Length / width;
        if (height * width != truth.Length) throw new DinoSharpException($"{truth.Length} pixels do not fill rows of {width}");
        int radius = (int)Math.Ceiling(BoundaryTolerance * Math.Sqrt(((double)width * width) + ((double)height * height)));
        bool[] contour = Contour(predicted, width, height, objectId), trueContour = Contour(truth, width, height, objectId);
        (int pixels, int near) = CountNear(contour, trueContour, width, height, radius);
        (int truePixels, int trueNear) = CountNear(trueContour, contour, width, height, radius);
        (double precision, double recall) = (pixels, truePixels) switch
        {
            (0, 0) => (1.0, 1.0),
            (0, _) => (1.0, 0.0),
            (_, 0) => (0.0, 1.0),
            _ => ((double)near / pixels, (double)trueNear / truePixels),
        };
        return precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall);
    }

    // A pixel is on the contour if it differs from its right, lower or lower right neighbour.
    private static bool[] Contour(ReadOnlySpan<byte> map, int width, int height, byte objectId)
    {
        bool[] contour = new bool[map.Length];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int i = (y * width) + x, right = x + 1 < width ? 1 : 0, below = y + 1 < height ? width : 0;
                bool inside = map[i] == objectId;
                contour[i] = inside != (map[i + right] == objectId) || inside != (map[i + below] == objectId) || inside != (map[i + right + below] == objectId);
            }
        }

        return contour;
    }

    // How many pixels of a contour there are, and how many of them lie within the radius of the other contour.
    private static (int Pixels, int Near) CountNear(bool[] contour, bool[] other, int width, int height, int radius)
    {
        int[] reach = [.. Enumerable.Range(0, radius + 1).Select(dy => (int)Math.Sqrt((radius * radius) - (dy * dy)))];
        (int pixels, int near) = (0, 0);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                if (!contour[(y * width) + x]) continue;
                pixels++;
                bool found = false;
                for (int row = Math.Max(0, y - radius); row <= Math.Min(height - 1, y + radius) && !found; row++)
                {
                    int left = Math.Max(0, x - reach[Math.Abs(row - y)]), right = Math.Min(width - 1, x + reach[Math.Abs(row - y)]);
                    found = other.AsSpan((row * width) + left, right - left + 1).Contains(true);
                }

                if (found) near++;
            }
        }

        return (pixels, near);
    }

    private static void CheckSizes(ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth)
    {
        if (predicted.Length != truth.Length) throw new DinoSharpException($"the predicted mask has {predicted.Length} pixels, the truth {truth.Length}");
    }
}
