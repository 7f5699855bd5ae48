using DinoSharp.Images;

namespace DinoSharp.Features.HighResolution;

/// <summary>How <see cref="PatchMap.UpsampleGuided"/> weighs patches. The defaults kept borders best of nine pairs (docs/log.md).</summary>
public sealed record GuidedUpsamplingOptions
{
    /// <summary>Standard deviation of the weight of distance, in patches.</summary>
    public double SpatialSigmaPatches { get; init; } = 0.4;

    /// <summary>Standard deviation of the weight of colour, of 0 … 1 in each of red, green and blue. Smaller follows weaker edges and more noise; infinity ignores the picture.</summary>
    public double ColorSigma { get; init; } = 0.2;
}

/// <summary>
/// Joint bilateral upsampling (Kopf, Cohen, Lischinski and Uyttendaele, ACM Transactions on Graphics 2007): a pixel takes the mean of the patches around it, weighted by how near they are and how
/// much their mean colour is like its own. Nothing is trained. Borders of what patches say then follow borders of colour.
/// </summary>
internal static class GuidedUpsampling
{
    private const int Reach = 2; // patches to each side; beyond, the weight of distance is below 3 % up to a deviation of 0.75

    /// <summary>The map at the size of the picture.</summary>
    /// <param name="map">Patches; memory grows with their D, so few numbers each: scores of classes, principal components, similarities.</param>
    /// <param name="guide">8-bit RGB, the picture that the map belongs to, at any size.</param>
    /// <param name="options">Weights.</param>
    public static PatchMap Run(PatchMap map, ImageBuffer guide, GuidedUpsamplingOptions options)
    {
        (int width, int height, int dim) = (guide.Width, guide.Height, map.Dim);
        float[] result = GC.AllocateUninitializedArray<float>(checked(width * height * dim));
        ForEachPixel(map, guide, options, (pixel, vector) => vector.CopyTo(result.AsSpan(pixel * dim, dim)));
        return new PatchMap(height, width, dim, result, PatchGeometry.Whole(map.Geometry.ImageWidth, map.Geometry.ImageHeight));
    }

    /// <summary>The largest of the numbers of each pixel; without holding them all.</summary>
    /// <param name="map">Scores of classes, at most 256.</param>
    /// <param name="guide">8-bit RGB.</param>
    /// <param name="options">Weights.</param>
    public static LabelMap Classes(PatchMap map, ImageBuffer guide, GuidedUpsamplingOptions options)
    {
        PatchClasses.CheckCount(map.Dim);
        byte[] classes = new byte[checked(guide.Width * guide.Height)];
        ForEachPixel(map, guide, options, (pixel, scores) => classes[pixel] = PatchClasses.Largest(scores));
        return new LabelMap(guide.Width, guide.Height, classes);
    }

    private static void ForEachPixel(PatchMap map, ImageBuffer guide, GuidedUpsamplingOptions options, Action<int, ReadOnlySpan<float>> take)
    {
        (int width, int height, int dim) = (guide.Width, guide.Height, map.Dim);
        float[] colors = PatchColors(map, guide);
        byte[] pixels = guide.Samples<byte>().ToArray();
        PatchGeometry g = map.Geometry;
        double perDistance = -1 / (2 * options.SpatialSigmaPatches * options.SpatialSigmaPatches), perColor = -1 / (2 * options.ColorSigma * options.ColorSigma * 255 * 255);
        Parallel.For(0, height, y =>
        {
            double row = ((y + 0.5) * g.ImageHeight / height - g.Top) / g.Height * map.Height - 0.5; // in patches, 0 = centre of the first
            float[] sum = new float[dim];
            for (int x = 0; x < width; x++)
            {
                double column = ((x + 0.5) * g.ImageWidth / width - g.Left) / g.Width * map.Width - 0.5;
                int pixel = ((y * width) + x) * 3, middleRow = Math.Clamp((int)Math.Round(row), 0, map.Height - 1), middleColumn = Math.Clamp((int)Math.Round(column), 0, map.Width - 1);
                double strongest = double.NegativeInfinity, total = 0;
                for (int pass = 0; pass < 2; pass++)
                {
                    // The strongest weight first: relative to it, none of the weights of an odd colour vanishes.
                    Array.Clear(sum);
                    for (int r = Math.Max(0, middleRow - Reach); r <= Math.Min(map.Height - 1, middleRow + Reach); r++)
                    {
                        for (int c = Math.Max(0, middleColumn - Reach); c <= Math.Min(map.Width - 1, middleColumn + Reach); c++)
                        {
                            int patch = ((r * map.Width) + c) * 3;
                            double red = pixels[pixel] - colors[patch], green = pixels[pixel + 1] - colors[patch + 1], blue = pixels[pixel + 2] - colors[patch + 2];
                            double weight = (perDistance * (((r - row) * (r - row)) + ((c - column) * (c - column)))) + (perColor * ((red * red) + (green * green) + (blue * blue)));
                            if (pass == 0)
                            {
                                strongest = Math.Max(strongest, weight);
                                continue;
                            }

                            float share = (float)Math.Exp(weight - strongest);
                            total += share;
                            ReadOnlySpan<float> vector = map[r, c];
                            for (int d = 0; d < dim; d++) sum[d] += share * vector[d];
                        }
                    }
                }

                for (int d = 0; d < dim; d++) sum[d] = (float)(sum[d] / total);
                take((y * width) + x, sum);
            }
        });
    }

    // Mean colour of the pixels under each patch; a patch beyond the picture has that of the nearest pixel. [h, w, 3]
    private static float[] PatchColors(PatchMap map, ImageBuffer guide)
    {
        float[] colors = new float[map.Count * 3];
        byte[] pixels = guide.Samples<byte>().ToArray();
        PatchGeometry g = map.Geometry;
        Parallel.For(0, map.Height, row =>
        {
            (int top, int bottom) = Pixels(row, map.Height, g.Top / g.ImageHeight, g.Height / g.ImageHeight, guide.Height);
            for (int column = 0; column < map.Width; column++)
            {
                (int left, int right) = Pixels(column, map.Width, g.Left / g.ImageWidth, g.Width / g.ImageWidth, guide.Width);
                for (int channel = 0; channel < 3; channel++)
                {
                    long sum = 0;
                    for (int y = top; y < bottom; y++)
                    {
                        for (int x = left; x < right; x++) sum += pixels[(((y * guide.Width) + x) * 3) + channel];
                    }

                    colors[(((row * map.Width) + column) * 3) + channel] = sum / (float)((bottom - top) * (right - left));
                }
            }
        });
        return colors;
    }

    private static (int First, int End) Pixels(int patch, int patches, double start, double length, int pixels)
    {
        int first = Math.Clamp((int)((start + (length * patch / patches)) * pixels), 0, pixels - 1);
        return (first, Math.Clamp((int)((start + (length * (patch + 1) / patches)) * pixels), first + 1, pixels));
    }
}
