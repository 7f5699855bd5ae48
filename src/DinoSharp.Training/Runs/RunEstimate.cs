using System.Diagnostics;
using DinoSharp.Backbones;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs;

/// <summary>What a phase will need on this machine.</summary>
/// <param name="Phase">Its name.</param>
/// <param name="Steps">Its length.</param>
/// <param name="MemoryBytes">Weights, gradients, moments and the activations of the largest part of a batch; the libraries' own 0.3 GB come on top.</param>
/// <param name="SecondsPerStep">Measured on two small batches of the phase and extended to its batch; null if the network is too large to try. Without the loading of images.</param>
public sealed record PhaseEstimate(string Phase, long Steps, long MemoryBytes, double? SecondsPerStep);

/// <summary>What a run will need: parameters, memory and time, before it starts.</summary>
/// <param name="BackboneParameters">Of one student.</param>
/// <param name="HeadParameters">Of both heads.</param>
/// <param name="Phases">One line for each phase.</param>
public sealed record RunEstimate(long BackboneParameters, long HeadParameters, IReadOnlyList<PhaseEstimate> Phases)
{
    // Floats that the backward pass keeps for a token of a block, in units of the width: ViT-Ti with 2x112 and 6x48 pixels peaked at 474 MB for 2 images and at 1094 MB for 16.
    private const double KeptPerTokenAndBlock = 26;
    private const long LargestTried = 150_000_000;

    /// <summary>Looks at a recipe and tries two small steps of every phase.</summary>
    /// <param name="recipe">A recipe that has been validated.</param>
    /// <param name="device">Where it will run; null: CPU.</param>
    /// <param name="measure">Whether to try steps; without, there are no times and no weights are made.</param>
    /// <param name="cancel">Stops the measuring.</param>
    public static RunEstimate Of(PretrainRecipe recipe, Device? device = null, bool measure = true, CancellationToken cancel = default)
    {
        using Backbone shapes = Backbone.Create(recipe.Backbone, META);
        long backbone = shapes.parameters().Sum(p => p.numel());
        long heads = recipe.Heads.Dino.ParameterCount(recipe.Backbone.EmbedDim) + recipe.Heads.Ibot.ParameterCount(recipe.Backbone.EmbedDim);
        return new RunEstimate(backbone, heads, [.. recipe.Phases.Select((phase, i) =>
        {
            cancel.ThrowIfCancellationRequested();
            StudentTeacherConfig config = recipe.LearnersOf(i)[0];
            double? seconds = measure && recipe.Distillation is null && backbone + heads <= LargestTried ? Measure(config, phase) : null;
            return new PhaseEstimate(phase.Name, phase.Steps, Memory(recipe, phase, backbone, heads), seconds);

            double Measure(StudentTeacherConfig learner, PhaseRecipe p)
            {
                double two = Seconds(learner, p, 2, device), six = Seconds(learner, p, 6, device);
                double perImage = Math.Max((six - two) / 4, 0);
                return Math.Max(two - (2 * perImage), 0) + (perImage * p.BatchImages);
            }
        })]);
    }

    private static long Memory(PretrainRecipe recipe, PhaseRecipe phase, long backbone, long heads)
    {
        // Student, gradients, two moments, teacher; another backbone for a separate Gram anchor.
        long weights = 4 * ((5 * (backbone + heads)) + (phase.Losses.Gram is { Mode: not GramMode.MovingTeacher } ? backbone : 0));
        int bytes = phase.Compute == TrainingComputeType.BFloat16 ? 2 : 4, images = phase.BatchImages / phase.MicroBatches;
        double largest = phase.ViewsOfAllResolutions().Max(views =>
        {
            (int layers, int registers) = recipe.Backbone is VisionTransformerConfig vit ? (vit.Depth, vit.Registers + 1) : (8, 1);
            double globalTokens = 2.0 * (Patches(views.GlobalSizePixels) + registers), localTokens = views.LocalCrops * (double)(Patches(views.LocalSizePixels) + registers);
            double kept = phase.RecomputeActivations ? layers + KeptPerTokenAndBlock : layers * KeptPerTokenAndBlock;
            double masked = 2.0 * Patches(views.GlobalSizePixels) * phase.Masks.CropProbability * (phase.Masks.MinRatio + phase.Masks.MaxRatio) / 2;
            double logits = (12.0 + (2 * views.LocalCrops)) * recipe.Heads.Dino.Prototypes + (4 * masked * recipe.Heads.Ibot.Prototypes);
            double pixels = 3.0 * ((2 * Square(views.GlobalSizePixels)) + (views.LocalCrops * Square(views.LocalSizePixels)) + (2 * Square(views.GramSizePixels ?? 0)));
            double gram = phase.Losses.Gram is null ? 0 : 2 * 3 * Square(Patches(views.GlobalSizePixels));
            // The anchor sees its crops in float32, one block at a time, while the student's activations are kept.
            double anchor = phase.Losses.Gram is { Mode: not GramMode.MovingTeacher } ? 2.0 * (Patches(views.GramSizePixels ?? views.GlobalSizePixels) + registers) * KeptPerTokenAndBlock * recipe.Backbone.EmbedDim : 0;
            return (bytes * (globalTokens + localTokens) * kept * recipe.Backbone.EmbedDim) + (4 * (logits + gram + anchor + (2 * pixels)));
        });
        return weights + (long)(largest * images);

        int Patches(int pixels) => pixels / recipe.Backbone.PatchSizePixels * (pixels / recipe.Backbone.PatchSizePixels);
        static double Square(double x) => x * x;
    }

    private static double Seconds(StudentTeacherConfig config, PhaseRecipe phase, int images, Device? device)
    {
        using var scope = NewDisposeScope();
        ViewOptions views = phase.ViewsOfAllResolutions().MaxBy(v => v.GlobalSizePixels)!;
        using var learner = new StudentTeacher(config with { BatchImages = images, MicroBatches = 1, Losses = config.Losses with { KoLeoGroupSize = null } }, device: device);
        int channels = config.Backbone.InputChannels, side = views.GlobalSizePixels / views.PatchSize;
        Tensor masks = zeros([2 * images, side * side], ScalarType.Bool);
        masks.narrow(0, 0, images).narrow(1, 0, (int)(side * side * (phase.Masks.MinRatio + phase.Masks.MaxRatio) / 2)).fill_(Num(true));
        Tensor Crops(int count, int pixels) => randn(count * images, channels, pixels, pixels);
        using PretrainBatch batch = PretrainBatch.Create(Crops(2, views.GlobalSizePixels), Crops(views.LocalCrops, views.LocalSizePixels), views.GramSizePixels is int gram ? Crops(2, gram) : null, masks);
        learner.Step(batch, 0);
        var clock = Stopwatch.StartNew();
        learner.Step(batch, 1);
        return clock.Elapsed.TotalSeconds;
    }
}
