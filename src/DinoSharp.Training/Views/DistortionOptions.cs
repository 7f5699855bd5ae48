namespace DinoSharp.Training.Views;

/// <summary>
/// Chances and strengths of the changes of colour and sharpness. The original has them as constants; the defaults are its <em>effective</em> values:
/// its blur class applies with one minus the chance it is given, so that the first global crop is never blurred and the second one nearly always
/// (nominal 1.0 and 0.1; the released models were trained that way).
/// </summary>
public sealed record DistortionOptions
{
    /// <summary>Chance of changing brightness, contrast, saturation and hue, in random order.</summary>
    public double JitterProbability { get; init; } = 0.8;

    /// <summary>Brightness factor between 1 − b and 1 + b.</summary>
    public double Brightness { get; init; } = 0.4;

    /// <summary>Contrast factor between 1 − c and 1 + c.</summary>
    public double Contrast { get; init; } = 0.4;

    /// <summary>Saturation factor between 1 − s and 1 + s.</summary>
    public double Saturation { get; init; } = 0.2;

    /// <summary>Hue shift between −h and h, as a share of the colour circle, at most ½.</summary>
    public double Hue { get; init; } = 0.1;

    /// <summary>Chance of losing all colour.</summary>
    public double GrayscaleProbability { get; init; } = 0.2;

    /// <summary>Chance of blurring the first global crop.</summary>
    public double FirstGlobalBlurProbability { get; init; }

    /// <summary>Chance of blurring the second global crop.</summary>
    public double SecondGlobalBlurProbability { get; init; } = 0.9;

    /// <summary>Chance of blurring a local crop.</summary>
    public double LocalBlurProbability { get; init; } = 0.5;

    /// <summary>Smallest and largest standard deviation of the blur, in pixels of the crop.</summary>
    public (double Min, double Max) BlurSigmaPixels { get; init; } = (0.1, 2);

    /// <summary>Chance of inverting the bright half of the values in the second global crop.</summary>
    public double SolarizeProbability { get; init; } = 0.2;

    internal void Validate()
    {
        foreach ((string name, double chance) in ((string, double)[])[
            (nameof(JitterProbability), JitterProbability), (nameof(GrayscaleProbability), GrayscaleProbability), (nameof(FirstGlobalBlurProbability), FirstGlobalBlurProbability),
            (nameof(SecondGlobalBlurProbability), SecondGlobalBlurProbability), (nameof(LocalBlurProbability), LocalBlurProbability), (nameof(SolarizeProbability), SolarizeProbability),
            (nameof(Brightness), Brightness), (nameof(Contrast), Contrast), (nameof(Saturation), Saturation)])
        {
            ViewOptions.Require(chance is >= 0 and <= 1, name, chance, "between 0 and 1");
        }

        ViewOptions.Require(Hue is >= 0 and <= 0.5, nameof(Hue), Hue, "between 0 and 0.5");
        ViewOptions.Require(BlurSigmaPixels.Min > 0 && BlurSigmaPixels.Min <= BlurSigmaPixels.Max && double.IsFinite(BlurSigmaPixels.Max), nameof(BlurSigmaPixels), BlurSigmaPixels, "above 0, ascending and finite");
    }
}
