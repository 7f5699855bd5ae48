using DinoSharp.Images;
using DinoSharp.Training.Data.Sampling;
using static TorchSharp.torch;

namespace DinoSharp.Training.Views.Dense;

/// <summary>The colour augmentation of segmentation training, on uint8 tensors [3, H, W]; every step truncates to 8 bit.</summary>
internal static class PhotometricDistortion
{
    private const float MaxBrightness = 32, MaxHue = 0.5f;
    private static readonly (float Low, float High) Factors = (0.5f, 1.5f);

    /// <summary>Brightness, contrast, saturation and hue, each with probability ½; contrast comes before or after the two colour steps, with probability ½ each.</summary>
    /// <param name="image">uint8 [3, H, W]</param>
    /// <param name="random">Source of the draws.</param>
    public static Tensor Apply(Tensor image, TorchRandom random)
    {
        using var scope = NewDisposeScope();
        Tensor result = image.alias();
        if (Coin()) result = Brightness(result, random.Uniform(-MaxBrightness, MaxBrightness));
        bool contrastFirst = Coin();
        if (contrastFirst && Coin()) result = Contrast(result, random.Uniform(Factors.Low, Factors.High));
        if (Coin()) result = TensorColor.Saturation(result, random.Uniform(Factors.Low, Factors.High));
        if (Coin()) result = TensorColor.Hue(result, random.Uniform(-MaxHue, MaxHue));
        if (!contrastFirst && Coin()) result = Contrast(result, random.Uniform(Factors.Low, Factors.High));
        return result.MoveToOuterDisposeScope();

        bool Coin() => random.Integer(0, 2) == 1;
    }

    /// <summary>v + β, clipped.</summary>
    public static Tensor Brightness(Tensor image, double beta) => Truncated(image, x => x.add_(Num((float)beta), Num(1)));

    /// <summary>v·α, clipped: around black, not around the mean.</summary>
    public static Tensor Contrast(Tensor image, double alpha) => Truncated(image, x => x.mul_(Num((float)alpha)));

    private static Tensor Truncated(Tensor image, Func<Tensor, Tensor> change)
    {
        using var scope = NewDisposeScope();
        return change(image.to(ScalarType.Float32)).clamp_(Num(0), Num(255)).to(ScalarType.Byte).MoveToOuterDisposeScope();
    }
}
