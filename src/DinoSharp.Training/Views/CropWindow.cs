using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Views;

/// <summary>A part of an image, in its pixels.</summary>
/// <param name="Top">First row.</param>
/// <param name="Left">First column.</param>
/// <param name="Height">Rows.</param>
/// <param name="Width">Columns.</param>
internal readonly record struct CropWindow(int Top, int Left, int Height, int Width)
{
    private const int Tries = 10;
    private static readonly float LogMinAspect = MathF.Log(0.75f);
    private static readonly float LogMaxAspect = MathF.Log(4f / 3f);

    /// <summary>
    /// A window with a share of the image's area between the two scales and an aspect between ¾ and 4⁄3 (torchvision's RandomResizedCrop, draw by draw).
    /// If ten tries do not fit, the largest central window whose aspect is within these limits.
    /// </summary>
    public static CropWindow Draw(int height, int width, (double Min, double Max) scale, TorchRandom random)
    {
        double area = (double)height * width;
        for (int attempt = 0; attempt < Tries; attempt++)
        {
            double target = area * random.Uniform((float)scale.Min, (float)scale.Max);
            double aspect = MathF.Exp(random.Uniform(LogMinAspect, LogMaxAspect));
            int w = (int)Math.Round(Math.Sqrt(target * aspect)), h = (int)Math.Round(Math.Sqrt(target / aspect));
            if (w <= 0 || w > width || h <= 0 || h > height) continue;
            int top = (int)random.Integer(0, height - h + 1);
            return new CropWindow(top, (int)random.Integer(0, width - w + 1), h, w);
        }

        (int fallbackHeight, int fallbackWidth) = ((double)width / height) switch
        {
            < 0.75 => ((int)Math.Round(width / 0.75), width),
            > 4.0 / 3 => (height, (int)Math.Round(height * (4.0 / 3))),
            _ => (height, width),
        };
        return new CropWindow((height - fallbackHeight) / 2, (width - fallbackWidth) / 2, fallbackHeight, fallbackWidth);
    }
}
