using DinoSharp.Backbones;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Recipes;
using DinoSharp.Weights;

namespace DinoSharp.Training.Runs;

/// <summary>Whether the file of a Gram anchor will do, before the run begins.</summary>
internal static class AnchorFiles
{
    /// <summary>Steps of the checkpoints of this run to which a phase is anchored; they stay, whichever others go.</summary>
    /// <param name="recipe">The run.</param>
    /// <param name="checkpoints">Where it keeps its checkpoints.</param>
    public static long[] OwnSteps(PretrainRecipe recipe, string checkpoints) =>
        [.. recipe.Phases.Select(p => p.Losses.Gram?.Checkpoint).OfType<string>().Select(path => CheckpointStore.StepOf(Path.GetFullPath(path), checkpoints)).OfType<long>()];

    /// <summary>What is wrong with the file of a phase's anchor; null: nothing.</summary>
    /// <param name="path">The file: of another run, or one that this run will have written by then.</param>
    /// <param name="phase">Index of the phase.</param>
    /// <param name="done">Complete steps of the run: an own file of these is there, or will never be.</param>
    /// <param name="recipe">The run.</param>
    /// <param name="checkpoints">Where this run keeps its checkpoints.</param>
    public static string? ProblemOf(string path, int phase, long done, PretrainRecipe recipe, string checkpoints)
    {
        string full = Path.GetFullPath(path);
        if (Path.Exists(full))
        {
            using BackboneWeights weights = BackboneWeights.Open(path);
            BackboneConfig found = weights.Config, wanted = recipe.Backbone;
            return found.GetType() == wanted.GetType() && found.EmbedDim == wanted.EmbedDim && found.LayerCount == wanted.LayerCount && found.PatchSizePixels == wanted.PatchSizePixels ? null
                : $"is a network of {found.LayerCount} layers of width {found.EmbedDim}, the student has {wanted.LayerCount} of width {wanted.EmbedDim}; the anchor must be built like the student";
        }

        if (CheckpointStore.StepOf(full, checkpoints) is not long step || step <= done) return "is not there";
        long[] ends = [.. recipe.Phases.Select((_, i) => recipe.Phases.Take(i + 1).Sum(p => p.Steps))];
        long start = phase == 0 ? 0 : ends[phase - 1];
        if (step > start) return $"will not be there yet: the phase begins after step {start}, the file is of step {step}";
        long every = recipe.Checkpoints.EverySteps;
        return step % every == 0 || ends.Contains(step) ? null : $"will not be written: checkpoints are written every {every} steps and at the end of a phase";
    }
}
