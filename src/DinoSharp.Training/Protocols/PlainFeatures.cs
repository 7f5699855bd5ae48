using DinoSharp.Images;

namespace DinoSharp.Training.Protocols;

/// <summary>Features without any learning: what a backbone has to beat.</summary>
internal static class PlainFeatures
{
    private const int Side = 128, Cell = 8, Cells = Side / Cell, Orientations = 9, Levels = 8;
    private const float Clip = 0.2f;

    private static readonly Preprocessing Plain = Preprocessing.Evaluation with { Normalization = new Normalization("none", [0, 0, 0], [1, 1, 1]), PatchSizePixels = 1 };

    /// <summary>128 × 128 from the middle, as the evaluation of a model crops.</summary>
    public static Preprocessing GradientInput { get; } = Plain with { Size = SizePolicy.ShorterSide(146), CenterCropPixels = Side };

    /// <summary>32 × 32 from the middle.</summary>
    public static Preprocessing PixelInput { get; } = Plain with { Size = SizePolicy.ShorterSide(37), CenterCropPixels = 32 };

    /// <summary>The pixels less their mean, so that the cosine similarity of two pictures is their correlation.</summary>
    public static float[][] Pixels(IReadOnlyList<ImageTensor> inputs) => [.. inputs.Select(input =>
    {
        float[] pixels = Values(input);
        float mean = pixels.Average();
        return Array.ConvertAll(pixels, p => p - mean);
    })];

    /// <summary>Histograms of oriented gradients (Dalal and Triggs 2005: 9 unsigned orientations, cells of 8 × 8, blocks of 2 × 2 cells, L2-Hys) beside a histogram of 8 × 8 × 8 colours
    /// under a square root (Arandjelović and Zisserman 2012), both of unit length.</summary>
    public static float[][] GradientsAndColors(IReadOnlyList<ImageTensor> inputs) => [.. inputs.AsParallel().AsOrdered().WithDegreeOfParallelism(Math.Max(1, Environment.ProcessorCount / 2)).Select(input =>
    {
        float[] rgb = Values(input);
        return (float[])[.. Gradients(rgb), .. Colors(rgb)];
    })];

    /// <summary>Histograms of oriented gradients of planar RGB. [3, 128, 128] → 15 · 15 · 36 numbers of unit length</summary>
    internal static float[] Gradients(float[] rgb)
    {
        const int Area = Side * Side;
        float[] gray = new float[Area];
        for (int i = 0; i < Area; i++) gray[i] = (0.299f * rgb[i]) + (0.587f * rgb[Area + i]) + (0.114f * rgb[(2 * Area) + i]);
        float[] cells = new float[Cells * Cells * Orientations];
        for (int y = 1; y < Side - 1; y++)
        {
            for (int x = 1; x < Side - 1; x++)
            {
                int i = (y * Side) + x;
                float dx = gray[i + 1] - gray[i - 1], dy = gray[i + Side] - gray[i - Side];
                double angle = ((Math.Atan2(dy, dx) / Math.PI) + 1) % 1 * Orientations; // unsigned: 0 … 9
                int lower = (int)Math.Floor(angle - 0.5);
                float share = (float)(angle - 0.5 - lower), size = MathF.Sqrt((dx * dx) + (dy * dy));
                int cell = ((y / Cell * Cells) + (x / Cell)) * Orientations;
                cells[cell + ((lower + Orientations) % Orientations)] += size * (1 - share);
                cells[cell + ((lower + 1) % Orientations)] += size * share;
            }
        }

        var features = new List<float>();
        float[] block = new float[4 * Orientations];
        for (int y = 0; y < Cells - 1; y++)
        {
            for (int x = 0; x < Cells - 1; x++)
            {
                for (int part = 0; part < 4; part++) cells.AsSpan((((y + (part / 2)) * Cells) + x + (part % 2)) * Orientations, Orientations).CopyTo(block.AsSpan(part * Orientations));
                UnitLength(block);
                for (int i = 0; i < block.Length; i++) block[i] = MathF.Min(block[i], Clip);
                UnitLength(block);
                features.AddRange(block);
            }
        }

        float[] all = [.. features];
        UnitLength(all);
        return all;
    }

    /// <summary>Square roots of the shares of 512 colours of planar RGB: 512 numbers of unit length.</summary>
    internal static float[] Colors(float[] rgb)
    {
        int area = rgb.Length / 3;
        float[] histogram = new float[Levels * Levels * Levels];
        for (int i = 0; i < area; i++) histogram[(((Level(rgb[i]) * Levels) + Level(rgb[area + i])) * Levels) + Level(rgb[(2 * area) + i])] += 1f / area;
        return Array.ConvertAll(histogram, MathF.Sqrt);

        static int Level(float value) => Math.Clamp((int)(value * Levels), 0, Levels - 1);
    }

    private static float[] Values(ImageTensor input) => input.Tensor.data<float>().ToArray();

    private static void UnitLength(float[] vector)
    {
        double length = Math.Sqrt(vector.Sum(v => (double)v * v));
        if (length < 1e-6) return; // a flat part of a picture
        for (int i = 0; i < vector.Length; i++) vector[i] = (float)(vector[i] / length);
    }
}
