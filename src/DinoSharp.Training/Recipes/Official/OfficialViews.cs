using DinoSharp.Images;
using DinoSharp.Training.Views;

namespace DinoSharp.Training.Recipes.Official;

/// <summary>The crops that an official configuration asks for.</summary>
/// <param name="c">The configuration on top of the defaults.</param>
internal sealed class OfficialViews(OfficialValues c)
{
    /// <summary>The views, with the first of the crop sizes.</summary>
    public ViewOptions Read()
    {
        bool gram = c.Flag("gram.use_loss");
        float[] mean = [.. c.Numbers("crops.rgb_mean").Select(v => (float)v)], std = [.. c.Numbers("crops.rgb_std").Select(v => (float)v)];
        if (mean.Length != 3 || std.Length != 3 || std.Any(s => s <= 0)) throw c.Wrong("crops.rgb_std", "three means and three deviations above 0");
        if (!gram)
        {
            // The shipped distillation file asks for crops that nothing looks at.
            c.Ignore("crops.gram_teacher_crops_size", "only a Gram teacher looks at these crops");
            c.Ignore("crops.gram_teacher_no_distortions", "only a Gram teacher looks at these crops");
        }

        (int Global, int Local, int? Gram, double Share) sizes = Sizes()[0];
        return new ViewOptions
        {
            GlobalSizePixels = sizes.Global,
            GlobalScale = c.Pair("crops.global_crops_scale"),
            LocalSizePixels = sizes.Local,
            LocalCrops = c.WholeNumber("crops.local_crops_number"),
            LocalScale = c.Pair("crops.local_crops_scale"),
            GramSizePixels = gram ? sizes.Gram : null,
            GramWithoutDistortions = gram && sizes.Gram is not null && c.Flag("crops.gram_teacher_no_distortions"),
            ShareColorJitter = c.Flag("crops.share_color_jitter"),
            HorizontalFlips = c.Flag("crops.horizontal_flips"),
            LocalsInsideGlobals = c.Flag("crops.localcrops_subset_of_globalcrops"),
            PatchSize = Cell(),
            Normalization = Normalization.Of(mean, std),
        };
    }

    /// <summary>The crop sizes to choose from; none if there is only one.</summary>
    public IReadOnlyList<ResolutionRecipe> Resolutions()
    {
        bool gram = c.Flag("gram.use_loss");
        (int Global, int Local, int? Gram, double Share)[] sizes = Sizes();
        return sizes.Length == 1 ? [] : [.. sizes.Select(s => new ResolutionRecipe { Probability = s.Share, GlobalSizePixels = s.Global, LocalSizePixels = s.Local, GramSizePixels = gram ? s.Gram : null })];
    }

    private (int Global, int Local, int? Gram, double Share)[] Sizes()
    {
        double[] global = c.Numbers("crops.global_crops_size"), local = c.Numbers("crops.local_crops_size"), gram = c.Numbers("crops.gram_teacher_crops_size"), shares = c.Numbers("crops.global_local_crop_pairs_ratios");
        if (global.Length == 0 || global.Concat(local).Concat(gram).Any(v => v < 1 || v != Math.Truncate(v) || v > 65536)) throw c.Wrong("crops.global_crops_size", "whole numbers of pixels");
        if (local.Length != global.Length || (gram.Length > 0 && gram.Length != global.Length)) throw c.Wrong("crops.local_crops_size", $"as many sizes as crops.global_crops_size has ({global.Length}), and the same for gram_teacher_crops_size");
        if (global.Length > 1 && shares.Length != global.Length) throw c.Wrong("crops.global_local_crop_pairs_ratios", $"{global.Length} shares, one for each pair of sizes");
        return [.. global.Select((size, i) => ((int)size, (int)local[i], gram.Length == 0 ? (int?)null : (int)gram[i], global.Length > 1 ? shares[i] : 1.0))];
    }

    // Side of the square that one patch of the student stands for.
    private int Cell()
    {
        bool convolutional = c.Text("student.arch").StartsWith("convnext_", StringComparison.Ordinal);
        int patch = c.WholeNumber("student.patch_size"), cell = convolutional ? 32 : patch;
        double asked = patch * c.Number("crops.teacher_to_student_resolution_scale");
        if (asked != cell) c.Refuse("crops.teacher_to_student_resolution_scale", $"masks of {asked} pixels do not fit a network whose patches are {cell} pixels wide; the recipe takes {cell}");
        else if (cell != patch) c.Note("crops.teacher_to_student_resolution_scale", "the teacher sees crops of another size, so that both have the same patches; the original means to do this and does not");
        return cell;
    }
}
