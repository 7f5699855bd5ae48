using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Views;

/// <summary>The four operations of the colour jitter, numbered as torchvision numbers them.</summary>
internal enum ColorOperation
{
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

/// <summary>Factors of the colour jitter and the order in which they are applied.</summary>
internal sealed record ColorJitter(float Brightness, float Contrast, float Saturation, float Hue, IReadOnlyList<ColorOperation> Order)
{
    public static ColorJitter Draw(DistortionOptions options, TorchRandom random)
    {
        int[] order = random.Permutation(4);
        float brightness = random.Uniform((float)(1 - options.Brightness), (float)(1 + options.Brightness));
        float contrast = random.Uniform((float)(1 - options.Contrast), (float)(1 + options.Contrast));
        float saturation = random.Uniform((float)(1 - options.Saturation), (float)(1 + options.Saturation));
        return new ColorJitter(brightness, contrast, saturation, random.Uniform((float)-options.Hue, (float)options.Hue), [.. order.Select(i => (ColorOperation)i)]);
    }
}

/// <summary>What is done to the colours of a picture: jitter first, then perhaps all colour goes.</summary>
internal readonly record struct ColorChange(ColorJitter? Jitter, bool Grayscale)
{
    public static ColorChange Draw(DistortionOptions options, TorchRandom random)
    {
        ColorJitter? jitter = random.NextSingle() < options.JitterProbability ? ColorJitter.Draw(options, random) : null;
        return new ColorChange(jitter, random.NextSingle() < options.GrayscaleProbability);
    }
}

/// <summary>Everything that is done to the values of one crop, in this order.</summary>
/// <param name="Color">Colour jitter and grayscale.</param>
/// <param name="BlurSigma">Standard deviation of the blur in pixels; null for none.</param>
/// <param name="Solarize">Whether the bright half of the values is inverted.</param>
internal readonly record struct Distortion(ColorChange Color, float? BlurSigma, bool Solarize)
{
    /// <param name="options">Chances and strengths.</param>
    /// <param name="ownColor">False where the colours were changed before cropping: then nothing is drawn for them.</param>
    /// <param name="blurProbability">Effective chance of a blur.</param>
    /// <param name="solarize">Whether this crop may be solarised: only then it is drawn for.</param>
    /// <param name="random">The generator.</param>
    public static Distortion Draw(DistortionOptions options, bool ownColor, double blurProbability, bool solarize, TorchRandom random)
    {
        ColorChange color = ownColor ? ColorChange.Draw(options, random) : default;
        float? sigma = random.NextSingle() < blurProbability ? random.Uniform((float)options.BlurSigmaPixels.Min, (float)options.BlurSigmaPixels.Max) : null;
        return new Distortion(color, sigma, solarize && random.NextSingle() < options.SolarizeProbability);
    }
}
