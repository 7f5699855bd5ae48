using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Views;

/// <summary>Which pixels a crop shows.</summary>
/// <param name="Window">Part of the image.</param>
/// <param name="Flip">Whether it is mirrored left to right.</param>
internal readonly record struct BaseCrop(CropWindow Window, bool Flip)
{
    public static BaseCrop Draw(int height, int width, (double Min, double Max) scale, bool flips, TorchRandom random)
    {
        CropWindow window = CropWindow.Draw(height, width, scale, random);
        return new BaseCrop(window, random.NextSingle() < (flips ? 0.5f : 0)); // drawn for even where flips are off
    }
}

/// <summary>One local crop.</summary>
/// <param name="Own">Its window in the image; null where it is cut out of a global crop.</param>
/// <param name="Row">Else the first row in the global crop.</param>
/// <param name="Column">And the first column.</param>
/// <param name="Distortion">What is done to it, or to the global crop before it is cut out.</param>
internal readonly record struct LocalCrop(BaseCrop? Own, int Row, int Column, Distortion Distortion);

/// <summary>
/// Everything random about the views of one image: <see cref="ViewOptions"/> and a seed give a plan, a plan and the pixels give the views.
/// The draws follow the original's order, so that one generator gives the same views as torch's with the same seed.
/// </summary>
/// <param name="SharedColor">Applied to the whole image before anything is cut out.</param>
/// <param name="Globals">The two global crops.</param>
/// <param name="Locals">The local crops.</param>
internal sealed record ViewPlan(ColorChange SharedColor, IReadOnlyList<(BaseCrop Base, Distortion Distortion)> Globals, IReadOnlyList<LocalCrop> Locals)
{
    /// <summary>Draws the plan for an image of a given size.</summary>
    public static ViewPlan Draw(int height, int width, ViewOptions options, TorchRandom random)
    {
        DistortionOptions d = options.Distortions;
        bool ownColor = !options.ShareColorJitter;
        ColorChange shared = ownColor ? default : ColorChange.Draw(d, random);
        var globals = new (BaseCrop, Distortion)[2];
        for (int i = 0; i < 2; i++)
        {
            var crop = BaseCrop.Draw(height, width, options.GlobalScale, options.HorizontalFlips, random);
            double blur = i == 0 ? d.FirstGlobalBlurProbability : d.SecondGlobalBlurProbability;
            globals[i] = (crop, Distortion.Draw(d, ownColor, blur, solarize: i == 1, random));
        }

        var locals = new LocalCrop[options.LocalCrops];
        for (int i = 0; i < locals.Length; i++)
        {
            BaseCrop? own = options.LocalsInsideGlobals ? null : BaseCrop.Draw(height, width, options.LocalScale, options.HorizontalFlips, random);
            locals[i] = new LocalCrop(own, 0, 0, Distortion.Draw(d, ownColor, d.LocalBlurProbability, solarize: false, random));
        }

        if (options.LocalsInsideGlobals)
        {
            // The original draws these last, from NumPy's global generator, whose upper end is excluded.
            int cells = (options.GlobalSizePixels - options.LocalSizePixels) / options.PatchSize;
            for (int i = 0; i < locals.Length; i++)
            {
                int row = (int)random.Integer(0, cells) * options.PatchSize;
                locals[i] = locals[i] with { Row = row, Column = (int)random.Integer(0, cells) * options.PatchSize };
            }
        }

        return new ViewPlan(shared, globals, locals);
    }
}
