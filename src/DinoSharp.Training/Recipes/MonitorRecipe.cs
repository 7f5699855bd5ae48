using DinoSharp.Backbones;

namespace DinoSharp.Training.Recipes;

/// <summary>What is measured while training goes on. Nothing here changes a weight.</summary>
public sealed record MonitorRecipe
{
    /// <summary>A line of figures is written after so many steps.</summary>
    public long LogEverySteps { get; init; } = 10;

    /// <summary>The features of the teacher are looked at before every step whose number is a multiple of this, at the start of every phase, and at the end; null: never.</summary>
    public long? EverySteps { get; init; } = 500;

    /// <summary>Images whose dense features are watched, described as <see cref="PretrainRecipe.Data"/>; null: images of the training data.</summary>
    public string? Probes { get; init; }

    /// <summary>Number of probe images, spread evenly over their source.</summary>
    public int ProbeImages { get; init; } = 16;

    /// <summary>Side of the square that probe images are cut to, in pixels; null: the multiple of the patch size nearest to 224.</summary>
    public int? ProbeSizePixels { get; init; }

    /// <summary>Weights of a backbone with as many patches per image; the patch similarities of the probe images are compared with its own, by the Gram loss. Null: none.</summary>
    public string? Reference { get; init; }

    /// <summary>Images with classes for a k-NN classification, described as <see cref="PretrainRecipe.Data"/>, such as a folder of folders; null: none.</summary>
    public string? Labelled { get; init; }

    /// <summary>Images with the same classes to be classified; null: each image of <see cref="Labelled"/> by all the others.</summary>
    public string? LabelledTest { get; init; }

    /// <summary>Number k of neighbours that vote.</summary>
    public int Neighbors { get; init; } = 10;

    internal int ProbeSizeOf(BackboneConfig backbone)
    {
        int cell = backbone is ConvNeXtConfig ? 32 : backbone.PatchSizePixels; // a ConvNeXt must halve its map five times
        return ProbeSizePixels ?? Math.Max(2, (int)Math.Round(224.0 / cell)) * cell;
    }

    internal void Validate(BackboneConfig backbone)
    {
        Require(LogEverySteps >= 1, $"logEverySteps must be at least 1, found {LogEverySteps}");
        Require(EverySteps is null or >= 1, $"everySteps must be at least 1 or null, found {EverySteps}");
        Require(ProbeImages >= 1, $"probeImages must be at least 1, found {ProbeImages}");
        Require(Neighbors >= 1, $"neighbors must be at least 1, found {Neighbors}");
        Require(LabelledTest is null || Labelled is not null, "labelledTest is classified by labelled, which is not set");
        int cell = backbone is ConvNeXtConfig ? 32 : backbone.PatchSizePixels;
        Require(ProbeSizePixels is null || (ProbeSizePixels >= 2 * cell && ProbeSizePixels % cell == 0), $"probeSizePixels must be a multiple of {cell} and at least {2 * cell}, found {ProbeSizePixels}");

        static void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException("recipe: monitor." + problem);
        }
    }
}
