using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>How much of each patch a mask picture covers.</summary>
internal static class MaskCoverage
{
    /// <summary>Mean of alpha or brightness over the area of each patch, 0 … 1; nothing lies beyond the picture. [h, w]</summary>
    public static float[] Of(ImageBuffer picture, int height, int width, PatchGeometry geometry)
    {
        float[] samples = Samples(picture);
        double scaleX = (double)picture.Width / geometry.ImageWidth, scaleY = (double)picture.Height / geometry.ImageHeight;
        double[] columns = Edges(width, geometry.Left * scaleX, geometry.Width * scaleX), rows = Edges(height, geometry.Top * scaleY, geometry.Height * scaleY);
        float[] coverage = new float[height * width];
        for (int row = 0; row < height; row++)
        {
            for (int column = 0; column < width; column++)
                coverage[(row * width) + column] = (float)Mean(samples, picture.Width, picture.Height, columns[column], rows[row], columns[column + 1], rows[row + 1]);
        }

        return coverage;
    }

    private static float[] Samples(ImageBuffer picture)
    {
        int channels = picture.Channels;
        if (picture.SampleType == SampleType.UInt8 && picture.Info.HasAlpha)
        {
            byte[] all = picture.Bytes.ToArray();
            return [.. Enumerable.Range(0, picture.Width * picture.Height).Select(i => all[(i * channels) + channels - 1] / 255f)];
        }

        byte[] rgb = picture.ToRgb8().Bytes.ToArray();
        return [.. Enumerable.Range(0, picture.Width * picture.Height).Select(i => (rgb[i * 3] + rgb[(i * 3) + 1] + rgb[(i * 3) + 2]) / (3 * 255f))];
    }

    private static double[] Edges(int cells, double start, double length) => [.. Enumerable.Range(0, cells + 1).Select(i => start + (length * i / cells))];

    private static double Mean(float[] samples, int width, int height, double left, double top, double right, double bottom)
    {
        double sum = 0;
        for (int y = Math.Max(0, (int)top); y < Math.Min(height, Math.Ceiling(bottom)); y++)
        {
            double partY = Math.Min(bottom, y + 1) - Math.Max(top, y);
            for (int x = Math.Max(0, (int)left); x < Math.Min(width, Math.Ceiling(right)); x++)
                sum += samples[(y * width) + x] * partY * (Math.Min(right, x + 1) - Math.Max(left, x));
        }

        return sum / ((right - left) * (bottom - top));
    }
}
