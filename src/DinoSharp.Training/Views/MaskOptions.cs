namespace DinoSharp.Training.Views;

/// <summary>Which patches of the global crops are hidden from the student (masked-patch prediction, iBOT).</summary>
public sealed record MaskOptions
{
    /// <summary>Share of the global crops that get a mask at all, 0 … 1 (<c>ibot.mask_sample_probability</c>).</summary>
    public double CropProbability { get; init; } = 0.5;

    /// <summary>Smallest share of hidden patches in a masked crop, 0 … 1 (<c>ibot.mask_ratio_min_max</c>).</summary>
    public double MinRatio { get; init; } = 0.1;

    /// <summary>Largest share of hidden patches in a masked crop, above <see cref="MinRatio"/>, at most 1.</summary>
    public double MaxRatio { get; init; } = 0.5;

    /// <summary>Smallest block, in patches.</summary>
    public int MinBlockPatches { get; init; } = 4;

    /// <summary>Flattest block, as height over width (or its inverse), in (0, 1].</summary>
    public double MinBlockAspect { get; init; } = 0.3;

    /// <summary>Moves each mask by a random number of rows and columns, around the edges (<c>ibot.mask_random_circular_shift</c>).</summary>
    public bool RandomCircularShift { get; init; }

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="DinoSharpException">A value is out of range; the message names it.</exception>
    public void Validate()
    {
        Require(CropProbability is >= 0 and <= 1, nameof(CropProbability), CropProbability, "between 0 and 1");
        Require(MinRatio >= 0 && MinRatio < MaxRatio, nameof(MinRatio), MinRatio, $"at least 0 and below {nameof(MaxRatio)} ({MaxRatio})");
        Require(MaxRatio <= 1, nameof(MaxRatio), MaxRatio, "at most 1");
        Require(MinBlockPatches >= 1, nameof(MinBlockPatches), MinBlockPatches, "at least 1");
        Require(MinBlockAspect is > 0 and <= 1, nameof(MinBlockAspect), MinBlockAspect, "above 0 and at most 1");

        static void Require(bool ok, string name, double value, string expected)
        {
            if (!ok) throw new DinoSharpException($"{nameof(MaskOptions)}.{name} is {value}; it must be {expected}");
        }
    }
}
