using DinoSharp.Images;
using DinoSharp.Training.Data.Sampling;
using static TorchSharp.torch;

namespace DinoSharp.Training.Views.Dense;

/// <summary>The training views of linear depth (NYU protocol): fixed crop, rotation, flip, random crop, colour, normalise.</summary>
public sealed record DepthAugmentation
{
    /// <summary>Height of the view.</summary>
    public int HeightPixels { get; init; } = 416;

    /// <summary>Width of the view.</summary>
    public int WidthPixels { get; init; } = 544;

    /// <summary>Cut off the white frame that NYU pictures have.</summary>
    public bool NyuFrameCrop { get; init; } = true;

    /// <summary>Largest rotation in degrees to either side.</summary>
    public float MaxRotationDegrees { get; init; } = 2.5f;

    /// <summary>Mean and deviation that belong to the backbone.</summary>
    public Normalization Normalization { get; init; } = Normalization.Lvd;

    /// <summary>Makes a view.</summary>
    /// <param name="image">float32 [3, H, W], 0 … 1</param>
    /// <param name="depth">float32 [1, H, W]; 0: not measured</param>
    /// <param name="seed">Decides every draw.</param>
    /// <returns>float32 [3, h, w] and [1, h, w]; the caller owns them.</returns>
    /// <exception cref="DinoSharpException">The picture is smaller than the view.</exception>
    public (Tensor Image, Tensor Depth) Apply(Tensor image, Tensor depth, ulong seed)
    {
        var random = new TorchRandom(seed);
        using var scope = NewDisposeScope();
        if (NyuFrameCrop) (image, depth) = (CropFrame(image), CropFrame(depth));
        if (random.NextSingle() < 0.5f)
        {
            double angle = random.Uniform(-MaxRotationDegrees, MaxRotationDegrees);

            // The published transform blends the border with black once more by its interpolated coverage.
            Tensor coverage = Rotation.Bilinear(ones_like(image), angle);
            (image, depth) = (Rotation.Bilinear(image, angle) * coverage, Rotation.Nearest(depth, angle));
        }

        if (random.NextSingle() < 0.5f) (image, depth) = (image.flip(2), depth.flip(2));
        if (image.shape[1] < HeightPixels || image.shape[2] < WidthPixels) throw new DinoSharpException($"a depth picture of {image.shape[2]}x{image.shape[1]} pixels is smaller than the view of {WidthPixels}x{HeightPixels}; use a smaller view");
        long top = random.Integer(0, image.shape[1] - HeightPixels + 1), left = random.Integer(0, image.shape[2] - WidthPixels + 1);
        (image, depth) = (image.narrow(1, top, HeightPixels).narrow(2, left, WidthPixels), depth.narrow(1, top, HeightPixels).narrow(2, left, WidthPixels));
        if (random.NextSingle() < 0.5f)
        {
            (double gamma, double brightness) = (random.Uniform(0.9f, 1.1f), random.Uniform(0.75f, 1.25f));
            image = Color(image, gamma, brightness, [random.Uniform(0.9f, 1.1f), random.Uniform(0.9f, 1.1f), random.Uniform(0.9f, 1.1f)]);
        }

        Tensor mean = tensor(Normalization.Mean.ToArray()).view(-1, 1, 1), std = tensor(Normalization.Std.ToArray()).view(-1, 1, 1); // [3, 1, 1]
        return (((image.to(ScalarType.Float32) - mean) / std).MoveToOuterDisposeScope(), depth.contiguous().MoveToOuterDisposeScope());
    }

    /// <summary>Columns 43 to 607 and rows 45 to 471 of 640×480, scaled to the size of the picture.</summary>
    internal static Tensor CropFrame(Tensor image)
    {
        (long h, long w) = (image.shape[1], image.shape[2]);
        (long top, long bottom, long left, long right) = (45 * h / 480, 472 * h / 480, 43 * w / 640, 608 * w / 640);
        return image.narrow(1, top, bottom - top).narrow(2, left, right - left);
    }

    /// <summary>What <see cref="NyuFrameCrop"/> leaves of a picture.</summary>
    internal static (int Width, int Height) FrameSize(int width, int height) => ((608 * width / 640) - (43 * width / 640), (472 * height / 480) - (45 * height / 480));

    /// <summary>Power γ of the values 0 … 255, then brightness, then a factor per channel; clipped, not rounded.</summary>
    internal static Tensor Color(Tensor image, double gamma, double brightness, double[] channels)
    {
        using var scope = NewDisposeScope();
        Tensor bent = (image.to(ScalarType.Float64) * Num(255)).pow(Num(gamma)) * Num(brightness) * tensor(channels).view(-1, 1, 1);
        return (bent.clamp(Num(0), Num(255)) / Num(255)).MoveToOuterDisposeScope();
    }
}
