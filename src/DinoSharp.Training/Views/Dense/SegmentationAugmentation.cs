using DinoSharp.Images;
using DinoSharp.Training.Data.Sampling;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Training.Views.Dense;

/// <summary>The training views of linear segmentation (ADE20K protocol): resize, crop, flip, colour, normalise, pad.</summary>
public sealed record SegmentationAugmentation
{
    // The published loop draws a crop again at most this often.
    private const int CropAttempts = 10;

    /// <summary>Side of the square view.</summary>
    public int SizePixels { get; init; } = 512;

    /// <summary>The shorter side is resized to the view's side times a factor from this range.</summary>
    public (float Low, float High) ScaleRange { get; init; } = (0.5f, 2);

    /// <summary>A crop is drawn again while one class covers this share of its labelled pixels or more.</summary>
    public double MaxClassShare { get; init; } = 0.75;

    /// <summary>Label 0 is background that is no class: it becomes <see cref="IgnoreIndex"/>, k becomes k − 1.</summary>
    public bool ReduceZeroLabel { get; init; }

    /// <summary>Label of pixels that are left out; fills the padding.</summary>
    public byte IgnoreIndex { get; init; } = 255;

    /// <summary>Mean and deviation that belong to the backbone.</summary>
    public Normalization Normalization { get; init; } = Normalization.Lvd;

    /// <summary>Makes a view.</summary>
    /// <param name="image">uint8 [3, H, W]</param>
    /// <param name="label">uint8 [1, H, W]</param>
    /// <param name="seed">Decides every draw.</param>
    /// <returns>float32 [3, S, S] and int64 [S, S]; the caller owns them.</returns>
    public (Tensor Image, Tensor Label) Apply(Tensor image, Tensor label, ulong seed)
    {
        var random = new TorchRandom(seed);
        using var scope = NewDisposeScope();
        (image, label) = ResizeShortSide(image, label, (int)(SizePixels * random.Uniform(ScaleRange.Low, ScaleRange.High)));
        if (ReduceZeroLabel) label = ReduceZero(label, IgnoreIndex);
        (image, label) = Crop(image, label, random);
        if (random.NextSingle() < 0.5f) (image, label) = (image.flip(2), label.flip(2));
        image = Normalize(PhotometricDistortion.Apply(image, random), Normalization);
        (image, label) = (Pad(image, SizePixels, SizePixels, 0), Pad(label, SizePixels, SizePixels, IgnoreIndex));
        return (image.contiguous().MoveToOuterDisposeScope(), label.squeeze(0).to(ScalarType.Int64).MoveToOuterDisposeScope());
    }

    /// <summary>Shorter side to a length, the other in proportion, rounded; the picture as Pillow resizes it, the label by its nearest pixel.</summary>
    internal static (Tensor Image, Tensor Label) ResizeShortSide(Tensor image, Tensor label, int shortSide)
    {
        (int height, int width) = ((int)image.shape[1], (int)image.shape[2]);
        (int newHeight, int newWidth) = height <= width ? (shortSide, Other(width, height)) : (Other(height, width), shortSide);
        byte[] resized = new byte[newHeight * newWidth * 3];
        using var scope = NewDisposeScope();
        byte[] pixels = image.permute(1, 2, 0).contiguous().data<byte>().ToArray(); // [H, W, 3]
        Images.Resize.UInt8(pixels, width, height, 3, new PixelWindow(0, 0, width, height), resized, newWidth, newHeight, Interpolation.Bilinear, ResizeArithmetic.Pillow);
        Tensor small = tensor(resized, [newHeight, newWidth, 3]).permute(2, 0, 1).contiguous(); // [3, h, w]
        return (small.MoveToOuterDisposeScope(), TensorResize.Resize(label, newHeight, newWidth, Interpolation.Nearest).MoveToOuterDisposeScope());

        int Other(int longer, int shorter) => (int)(((double)shortSide * longer / shorter) + 0.5);
    }

    /// <summary>0 → ignore, k → k − 1, ignore stays.</summary>
    internal static Tensor ReduceZero(Tensor label, byte ignore)
    {
        using var scope = NewDisposeScope();
        Tensor numbers = label.to(ScalarType.Int64);
        return where(numbers.eq(Num(0)) | numbers.eq(Num(ignore)), full_like(numbers, Num((long)ignore)), numbers - Num(1)).to(label.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>(v − 255·mean) / (255·std) of values 0 … 255.</summary>
    internal static Tensor Normalize(Tensor image, Normalization normalization)
    {
        using var scope = NewDisposeScope();
        Tensor mean = tensor(normalization.Mean.Select(m => m * 255).ToArray()).view(-1, 1, 1), std = tensor(normalization.Std.Select(s => s * 255).ToArray()).view(-1, 1, 1); // [3, 1, 1]
        return ((image.to(ScalarType.Float32) - mean) / std).MoveToOuterDisposeScope();
    }

    /// <summary>Fills up at the right and at the bottom.</summary>
    internal static Tensor Pad(Tensor image, int height, int width, double value) =>
        nn.functional.pad(image, [0, Math.Max(0, width - image.shape[2]), 0, Math.Max(0, height - image.shape[1])], PaddingModes.Constant, value);

    private (Tensor Image, Tensor Label) Crop(Tensor image, Tensor label, TorchRandom random)
    {
        int height = (int)Math.Min(SizePixels, image.shape[1]), width = (int)Math.Min(SizePixels, image.shape[2]);
        for (int attempt = 0; ; attempt++)
        {
            long top = random.Integer(0, image.shape[1] - height + 1), left = random.Integer(0, image.shape[2] - width + 1);
            Tensor part = label.narrow(1, top, height).narrow(2, left, width); // [1, h, w]
            if (attempt >= CropAttempts || IsMixed(part)) return (image.narrow(1, top, height).narrow(2, left, width), part);
        }
    }

    private bool IsMixed(Tensor label)
    {
        int[] counts = new int[256];
        foreach (byte id in label.contiguous().data<byte>().ToArray()) counts[id]++;
        counts[IgnoreIndex] = 0;
        return counts.Count(c => c > 0) > 1 && counts.Max() < MaxClassShare * counts.Sum();
    }
}
