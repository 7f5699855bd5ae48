using DinoSharp.Images;

namespace DinoSharp.Training.Views;

/// <summary>
/// The augmented crops that are made of every image: two global, several local, and two for a Gram teacher if it looks at another resolution.
/// Sizes, scales and chances are those of the original by default; its keys are named.
/// </summary>
public sealed record ViewOptions
{
    /// <summary>Side of a global crop in pixels (<c>crops.global_crops_size</c>).</summary>
    public int GlobalSizePixels { get; init; } = 224;

    /// <summary>Smallest and largest share of the image's area that a global crop shows (<c>crops.global_crops_scale</c>).</summary>
    public (double Min, double Max) GlobalScale { get; init; } = (0.32, 1);

    /// <summary>Side of a local crop in pixels (<c>crops.local_crops_size</c>).</summary>
    public int LocalSizePixels { get; init; } = 96;

    /// <summary>Local crops per image, L (<c>crops.local_crops_number</c>).</summary>
    public int LocalCrops { get; init; } = 8;

    /// <summary>Smallest and largest share of the image's area that a local crop shows (<c>crops.local_crops_scale</c>).</summary>
    public (double Min, double Max) LocalScale { get; init; } = (0.05, 0.32);

    /// <summary>Side of a crop for the Gram teacher in pixels; null for none (<c>crops.gram_teacher_crops_size</c>).</summary>
    public int? GramSizePixels { get; init; }

    /// <summary>Shows the Gram teacher the undistorted picture (<c>crops.gram_teacher_no_distortions</c>).</summary>
    public bool GramWithoutDistortions { get; init; }

    /// <summary>Changes the colours of the whole image once instead of each crop's (<c>crops.share_color_jitter</c>).</summary>
    public bool ShareColorJitter { get; init; }

    /// <summary>Mirrors a crop with chance ½ (<c>crops.horizontal_flips</c>).</summary>
    public bool HorizontalFlips { get; init; } = true;

    /// <summary>Cuts the local crops out of the global ones, on the patch grid (<c>crops.localcrops_subset_of_globalcrops</c>).</summary>
    public bool LocalsInsideGlobals { get; init; }

    /// <summary>Side of a patch in pixels; the grid of <see cref="LocalsInsideGlobals"/> and of the masks.</summary>
    public int PatchSize { get; init; } = 16;

    /// <summary>Chances and strengths of the changes of colour and sharpness.</summary>
    public DistortionOptions Distortions { get; init; } = new();

    /// <summary>Pixel mean and deviation of the network, one value per channel (<c>crops.rgb_mean</c>, <c>crops.rgb_std</c>).</summary>
    /// <remarks>
    /// Three values: pictures become 8-bit RGB, as in the original. Any other number: that many bands, in float; what needs colour is left out.
    /// </remarks>
    public Normalization Normalization { get; init; } = Normalization.Lvd;

    /// <summary>Sample values that count as 0 and 1, for pictures of more than 8 bits. Null: what <see cref="ImageBuffer.ToRgb8"/> takes; for other bands the whole range of integer samples, and floats as they are.</summary>
    public ValueRange? ValueRange { get; init; }

    /// <summary>The size the windows of the global crops are first brought to: the larger one of student and Gram teacher.</summary>
    internal int BaseSizePixels => Math.Max(GlobalSizePixels, GramSizePixels ?? 0);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="DinoSharpException">A value is out of range or two do not fit; the message names them.</exception>
    public void Validate()
    {
        Require(PatchSize >= 1, nameof(PatchSize), PatchSize, "at least 1");
        Require(GlobalSizePixels >= PatchSize, nameof(GlobalSizePixels), GlobalSizePixels, $"at least one patch ({PatchSize})");
        Require(LocalCrops >= 0, nameof(LocalCrops), LocalCrops, "at least 0");
        Require(LocalSizePixels >= PatchSize, nameof(LocalSizePixels), LocalSizePixels, $"at least one patch ({PatchSize})");
        Require(GramSizePixels is null or > 0, nameof(GramSizePixels), GramSizePixels, "null or at least 1");
        Require(GramSizePixels is not null || !GramWithoutDistortions, nameof(GramWithoutDistortions), GramWithoutDistortions, $"false where {nameof(GramSizePixels)} is null");
        RequireScale(GlobalScale, nameof(GlobalScale));
        RequireScale(LocalScale, nameof(LocalScale));
        if (LocalsInsideGlobals)
        {
            Require(BaseSizePixels == GlobalSizePixels, nameof(LocalsInsideGlobals), true, "false where the Gram teacher sees larger crops");
            Require(LocalCrops % 2 == 0, nameof(LocalCrops), LocalCrops, $"even where {nameof(LocalsInsideGlobals)} is set: half of them come from each global crop");
            Require(GlobalSizePixels - LocalSizePixels >= PatchSize, nameof(LocalSizePixels), LocalSizePixels, $"a patch smaller than {nameof(GlobalSizePixels)} ({GlobalSizePixels})");
        }

        Distortions.Validate();

        static void RequireScale((double Min, double Max) scale, string name) => Require(scale.Min > 0 && scale.Min <= scale.Max && scale.Max <= 1, name, scale, "above 0, ascending, at most 1");
    }

    internal static void Require(bool ok, string name, object? value, string expected)
    {
        if (!ok) throw new DinoSharpException(FormattableString.Invariant($"the view option {name} is {value ?? "null"}; it must be {expected}"));
    }
}
