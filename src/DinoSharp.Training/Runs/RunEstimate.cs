using System.Diagnostics;
using DinoSharp.Backbones;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Views;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs;

/// <summary>What a phase will need on this machine.</summary>
/// <param name="Phase">Its name.</param>
/// <param name="Steps">Its length.</param>
/// <param name="MemoryBytes">Weights, gradients, moments, the teacher's targets and the activations of the largest part of a batch; the libraries' own 0.3 GB come on top.</param>
/// <param name="SecondsPerStep">Measured on two small batches of the phase and extended to its batch; null if the networks are too large to try. Without the loading of images; a backbone that is frozen at first counts as learning.</param>
public sealed record PhaseEstimate(string Phase, long Steps, long MemoryBytes, double? SecondsPerStep);

/// <summary>What a run will need: parameters, memory and time, before it starts.</summary>
/// <param name="BackboneParameters">Of all students.</param>
/// <param name="HeadParameters">Of both heads of all students.</param>
/// <param name="TeacherParameters">Of the frozen teacher with its heads; null if there is none, or its file is not there.</param>
/// <param name="Phases">One line for each phase.</param>
public sealed record RunEstimate(long BackboneParameters, long HeadParameters, long? TeacherParameters, IReadOnlyList<PhaseEstimate> Phases)
{
    // Floats that the backward pass keeps for a token of a block, in units of the width: ViT-Ti with 2x112 and 6x48 pixels peaked at 474 MB for 2 images and at 1094 MB for 16.
    private const double KeptPerTokenAndBlock = 26;

    // The same for a place of a ConvNeXt's map: convolution, norm, twice four times the width, product, sum.
    private const double KeptPerPlaceAndBlock = 12;

    // One in the step, two waiting, one in the making, and half of one: a copy in the compute type, and what is being decoded.
    private const double BatchesHeld = 4.5;

    private const int CropGroups = 2; // global and local

    private const long LargestTried = 150_000_000;

    /// <summary>Looks at a recipe and tries two small steps of every phase.</summary>
    /// <param name="recipe">A recipe that has been validated.</param>
    /// <param name="device">Where it will run; null: CPU.</param>
    /// <param name="measure">Whether to try steps; without, there are no times and no weights are made.</param>
    /// <param name="cancel">Stops the measuring.</param>
    /// <exception cref="DinoSharpException">The frozen teacher is there but cannot be read.</exception>
    public static RunEstimate Of(PretrainRecipe recipe, Device? device = null, bool measure = true, CancellationToken cancel = default)
    {
        BackboneConfig? teacher = null;
        if (recipe.Distillation is { } distillation && Path.Exists(distillation.Teacher))
        {
            using BackboneWeights weights = BackboneWeights.Open(distillation.Teacher);
            teacher = weights.Config;
        }

        bool features = recipe.Distillation?.Targets == DistillationTargets.Features;
        (BackboneConfig Backbone, long Parameters, HeadsConfig Heads, long HeadParameters)[] students = [.. recipe.LearnersOf(0).Select(s =>
        {
            HeadsConfig heads = features ? HeadsConfig.ToFeatures(teacher?.EmbedDim ?? s.Backbone.EmbedDim) : s.Heads;
            return (s.Backbone, Count(s.Backbone), heads, Count(heads, s.Backbone));
        })];
        long backbones = students.Sum(s => s.Parameters), heads = students.Sum(s => s.HeadParameters);
        long? frozen = teacher is null ? null : Count(teacher) + (features ? 0 : Count(recipe.Distillation!.TeacherHeads ?? recipe.Heads, teacher));
        bool small = backbones + heads + frozen.GetValueOrDefault() <= LargestTried && (recipe.Distillation is null || teacher is not null);
        using FrozenTeacher? tried = measure && small ? TrainingRun.LoadFrozen(recipe, device) : null;
        return new RunEstimate(backbones, heads, frozen, [.. recipe.Phases.Select((phase, i) =>
        {
            cancel.ThrowIfCancellationRequested();
            long weights = 4 * ((5 * (backbones + heads)) + frozen.GetValueOrDefault() + (HasAnchor(phase) ? backbones : 0)); // student, gradients, two moments, teacher
            if (phase.Compute == TrainingComputeType.BFloat16) weights += CropGroups * sizeof(ushort) * (backbones + heads); // rounded anew for each group of crops, kept for its backward pass
            long memory = weights + students.Max(s => Activations(phase, s.Backbone, s.Heads, teacher));
            return new PhaseEstimate(phase.Name, phase.Steps, memory, measure && small ? Time(recipe.LearnersOf(i), phase, tried, device) : null);
        })]);
    }

    private static long Count(BackboneConfig config)
    {
        using Backbone shapes = Backbone.Create(config, META);
        return shapes.parameters().Sum(p => p.numel());
    }

    private static long Count(HeadsConfig heads, BackboneConfig backbone) => heads.Dino.ParameterCount(backbone.EmbedDim) + heads.Ibot.ParameterCount(backbone.EmbedDim);

    private static bool HasAnchor(PhaseRecipe phase) => phase.Losses.Gram is { Mode: not GramMode.MovingTeacher };

    private static long Activations(PhaseRecipe phase, BackboneConfig student, HeadsConfig heads, BackboneConfig? frozen)
    {
        int bytes = phase.Compute == TrainingComputeType.BFloat16 ? 2 : 4, cell = StudentTeacher.CellPixels(student), part = phase.BatchImages / phase.MicroBatches;
        return (long)phase.ViewsOfAllResolutions().Max(views =>
        {
            double patches = Squared(views.GlobalSizePixels / cell), masked = 2 * patches * phase.Masks.CropProbability * (phase.Masks.MinRatio + phase.Masks.MaxRatio) / 2;
            double kept = (2 * Kept(student, views.GlobalSizePixels, phase.RecomputeActivations)) + (views.LocalCrops * Kept(student, views.LocalSizePixels, phase.RecomputeActivations));
            double logits = ((4 + (2.0 * views.LocalCrops)) * heads.Dino.Prototypes) + (2 * masked * heads.Ibot.Prototypes);
            double pixels = 3.0 * ((2 * Squared(views.GlobalSizePixels)) + (views.LocalCrops * Squared(views.LocalSizePixels)) + (2 * Squared(views.GramSizePixels ?? 0)));
            double gram = phase.Losses.Gram is not { } g ? 0 : g.Loss.PerImage ? 2 * 3 * Squared(patches) : 3 * Squared(2 * part * patches) / part;
            // The anchor sees its crops in float32, one block at a time, while the student's activations are kept.
            double anchor = HasAnchor(phase) ? 2 * OneBlock(student, views.GramSizePixels ?? views.GlobalSizePixels) : 0;
            double ofPart = (bytes * kept) + (4 * (logits + gram + anchor));
            if (frozen is not null) ofPart = Math.Max(ofPart, bytes * 2 * OneBlock(frozen, views.GlobalSizePixels * StudentTeacher.CellPixels(frozen) / cell));
            // What the teacher says is balanced over the whole batch and stays until its last part is done.
            double ofImage = heads.Dino.Prototypes == 0 ? 2 * (patches + 1) * frozen?.EmbedDim ?? 0 : (8.0 * heads.Dino.Prototypes) + (2 * masked * heads.Ibot.Prototypes);
            return (ofPart * part) + (4 * (ofImage + (BatchesHeld * pixels)) * phase.BatchImages);
        });
    }

    // Floats that the backward pass of a crop needs.
    private static double Kept(BackboneConfig config, int pixels, bool recompute) => config switch
    {
        VisionTransformerConfig vit => Tokens(vit, pixels) * vit.EmbedDim * (recompute ? vit.Depth + KeptPerTokenAndBlock : vit.Depth * KeptPerTokenAndBlock),
        ConvNeXtConfig convnext => KeptPerPlaceAndBlock * Stages(convnext, pixels).Sum(s => recompute ? s.Depth / KeptPerPlaceAndBlock * s.Places : s.Depth * s.Places),
        _ => 0,
    };

    // Floats of one block without a backward pass.
    private static double OneBlock(BackboneConfig config, int pixels) => config switch
    {
        VisionTransformerConfig vit => Tokens(vit, pixels) * vit.EmbedDim * KeptPerTokenAndBlock,
        ConvNeXtConfig convnext => KeptPerPlaceAndBlock * Stages(convnext, pixels).Max(s => s.Places),
        _ => 0,
    };

    private static double Tokens(VisionTransformerConfig vit, int pixels) => Squared(pixels / vit.PatchSizePixels) + vit.Registers + 1;

    // Blocks of each stage, and the floats of its map.
    private static IEnumerable<(int Depth, double Places)> Stages(ConvNeXtConfig c, int pixels) =>
        new[] { (c.Depths.Stage0, c.Dims.Stage0, 4), (c.Depths.Stage1, c.Dims.Stage1, 8), (c.Depths.Stage2, c.Dims.Stage2, 16), (c.Depths.Stage3, c.Dims.Stage3, 32) }
            .Select(s => (s.Item1, s.Item2 * Squared(pixels / (double)s.Item3)));

    private static double Squared(double x) => x * x;

    private static double Time(StudentTeacherConfig[] learners, PhaseRecipe phase, FrozenTeacher? frozen, Device? device)
    {
        int few = Math.Min(2, phase.BatchImages), more = Math.Min(6, phase.BatchImages);
        double atFew = Seconds(learners, phase, few, frozen, device);
        if (more == few) return atFew;
        double perImage = Math.Max((Seconds(learners, phase, more, frozen, device) - atFew) / (more - few), 0);
        return Math.Max(atFew - (few * perImage), 0) + (perImage * phase.BatchImages);
    }

    private static double Seconds(StudentTeacherConfig[] configs, PhaseRecipe phase, int images, FrozenTeacher? frozen, Device? device)
    {
        using var scope = NewDisposeScope();
        ViewOptions views = phase.ViewsOfAllResolutions().MaxBy(v => v.GlobalSizePixels)!;
        var learners = new List<StudentTeacher>();
        try
        {
            foreach (StudentTeacherConfig config in configs)
            {
                learners.Add(new StudentTeacher(config with
                {
                    BatchImages = images,
                    MicroBatches = 1,
                    Losses = config.Losses with { KoLeoGroupSize = null, KoLeoNeighbours = 1, KoLeoWeight = images < 2 ? 0 : config.Losses.KoLeoWeight },
                    Optimizer = config.Optimizer with { FreezeBackboneSteps = 0 },
                }, frozen, device: device));
            }

            int channels = configs[0].Backbone.InputChannels, side = views.GlobalSizePixels / views.PatchSize;
            Tensor masks = zeros([2 * images, side * side], ScalarType.Bool);
            masks.narrow(0, 0, images).narrow(1, 0, (int)(side * side * (phase.Masks.MinRatio + phase.Masks.MaxRatio) / 2)).fill_(Num(true));
            Tensor Crops(int count, int pixels) => randn(count * images, channels, pixels, pixels);
            using PretrainBatch batch = PretrainBatch.Create(Crops(2, views.GlobalSizePixels), Crops(views.LocalCrops, views.LocalSizePixels), views.GramSizePixels is int gram ? Crops(2, gram) : null, masks);
            StudentTeacher.StepTogether(learners, batch, 0);
            var clock = Stopwatch.StartNew();
            StudentTeacher.StepTogether(learners, batch, Math.Min(1, phase.Steps - 1));
            return clock.Elapsed.TotalSeconds;
        }
        finally
        {
            foreach (StudentTeacher learner in learners) learner.Dispose();
        }
    }
}
