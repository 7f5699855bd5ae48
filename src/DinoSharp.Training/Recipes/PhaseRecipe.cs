using DinoSharp.Backbones;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Views;

namespace DinoSharp.Training.Recipes;

/// <summary>What a phase takes over from the one before it.</summary>
public enum PhaseStart
{
    /// <summary>Student, teacher and moments go on as they are.</summary>
    Continue,

    /// <summary>Student and teacher become copies of the teacher; the moments start anew.</summary>
    FromTeacher,
}

/// <summary>One stretch of a run with settings of its own. Schedules count the steps of the phase.</summary>
public sealed record PhaseRecipe
{
    /// <summary>Name, for logs and changes on the command line.</summary>
    public string Name { get; init; } = "train";

    /// <summary>Length of the phase.</summary>
    public required long Steps { get; init; }

    /// <summary>What it takes over.</summary>
    public PhaseStart Start { get; init; }

    /// <summary>Images per step and process.</summary>
    public int BatchImages { get; init; } = 64;

    /// <summary>Parts that a batch is processed in to save memory.</summary>
    public int MicroBatches { get; init; } = 1;

    /// <summary>Number format of the passes.</summary>
    public TrainingComputeType Compute { get; init; }

    /// <summary>Keep only the input of each block for the backward pass and compute the rest again.</summary>
    public bool RecomputeActivations { get; init; }

    /// <summary>Crops and distortions.</summary>
    public ViewOptions Views { get; init; } = new();

    /// <summary>Crop sizes to choose from at every step, the same for all images; empty: those of <see cref="Views"/> (paper section 5.1).</summary>
    public IReadOnlyList<ResolutionRecipe> Resolutions { get; init; } = [];

    /// <summary>Which patches are hidden from the student.</summary>
    public MaskOptions Masks { get; init; } = new();

    /// <summary>The losses and their weights.</summary>
    public LossConfig Losses { get; init; } = new();

    /// <summary>The optimizer and the schedules.</summary>
    public OptimizerConfig Optimizer { get; init; } = new();

    internal void Validate(PretrainRecipe recipe)
    {
        Masks.Validate();
        if (Losses.Gram?.Tokens == GramTokens.Masked && (int)(2 * BatchImages / MicroBatches * Masks.CropProbability) == 0) throw new DinoSharpException($"losses.gram.tokens is masked, but with masks.cropProbability {Masks.CropProbability} and {BatchImages / MicroBatches} images together no patch is ever hidden");
        foreach (ViewOptions views in ViewsOfAllResolutions())
        {
            views.Validate();
            int channels = views.Normalization.Channels;
            if (channels != recipe.Backbone.InputChannels) throw new DinoSharpException($"views.normalization has {channels} channels, the backbone takes {recipe.Backbone.InputChannels}");
            bool features = recipe.Distillation?.Targets == DistillationTargets.Features;
            if (features && views.LocalCrops > 0) throw new DinoSharpException($"views.localCrops is {views.LocalCrops}, but features are distilled from the global crops alone; set it to 0");
            foreach (BackboneConfig backbone in recipe.Students.Count == 0 ? [recipe.Backbone] : recipe.Students.Select(s => s.Backbone))
            {
                if (views.PatchSize != StudentTeacher.CellPixels(backbone)) throw new DinoSharpException($"views.patchSize is {views.PatchSize}, but a patch of the network is {StudentTeacher.CellPixels(backbone)} pixels wide; masks need the same grid");
            }

            if (!features && views.LocalCrops < 1) throw new DinoSharpException("views.localCrops must be at least 1: the image-level loss compares local with global crops");
            GramConfig? gram = Losses.Gram;
            if (views.GramSizePixels is not null && gram is null) throw new DinoSharpException("views.gramSizePixels makes crops for a Gram teacher, but losses.gram is not set");
            if (views.GramSizePixels is not null && gram?.Mode == GramMode.MovingTeacher) throw new DinoSharpException("the moving teacher as Gram anchor sees the ordinary global crops; remove views.gramSizePixels");
        }

        if (Resolutions.Any(r => r.Probability <= 0)) throw new DinoSharpException("the probability of every resolution must be above 0");
    }

    internal IEnumerable<ViewOptions> ViewsOfAllResolutions() => Resolutions.Count == 0 ? [Views] : Resolutions.Select(r => r.Apply(Views));

    internal StudentTeacherConfig LearnerConfig(PretrainRecipe recipe, int number) => new()
    {
        Backbone = recipe.Backbone,
        Heads = recipe.Heads,
        Losses = recipe.Distillation?.Targets == DistillationTargets.Features ? Losses with { KoLeoWeight = 0, KoLeoNeighbours = 1, KoLeoGroupSize = null } : Losses, // features alone are compared
        Optimizer = Optimizer,
        Steps = Steps,
        BatchImages = BatchImages,
        MicroBatches = MicroBatches,
        Compute = Compute,
        RecomputeActivations = RecomputeActivations,
        Seed = number == 0 ? recipe.Seed : TorchRandom.SeedOf(recipe.Seed, 77, (ulong)number),
    };
}

/// <summary>Crop sizes that are used for a share of the steps.</summary>
public sealed record ResolutionRecipe
{
    /// <summary>Share of the steps, relative to the other resolutions.</summary>
    public double Probability { get; init; } = 1;

    /// <summary>Side of the global crops in pixels.</summary>
    public required int GlobalSizePixels { get; init; }

    /// <summary>Side of the local crops in pixels.</summary>
    public required int LocalSizePixels { get; init; }

    /// <summary>Side of the Gram teacher's crops in pixels; null: none.</summary>
    public int? GramSizePixels { get; init; }

    internal ViewOptions Apply(ViewOptions views) => views with { GlobalSizePixels = GlobalSizePixels, LocalSizePixels = LocalSizePixels, GramSizePixels = GramSizePixels };
}
