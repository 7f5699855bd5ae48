using DinoSharp.Inference;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Runs.Reports;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs;

/// <summary>Options of a run that are no part of its recipe.</summary>
public sealed record PretrainOptions
{
    /// <summary>Go on from the newest checkpoint in the output folder, if there is one, bit for bit as if the run had never stopped; refused if recipe, images or weights are others now.</summary>
    public bool Resume { get; init; }

    /// <summary>Where to compute; null: CPU.</summary>
    public Device? Device { get; init; }

    /// <summary>Where choices that were measured are kept; null: the user's cache folder.</summary>
    internal RouteMemory? Routes { get; init; }
}

/// <summary>How far a run is.</summary>
/// <param name="Phase">Name of the phase.</param>
/// <param name="TotalStep">Complete steps of the run.</param>
/// <param name="TotalSteps">Length of the run.</param>
/// <param name="Report">The step that just ended; of the first student.</param>
/// <param name="ImagesPerSecond">Over the steps since the last report.</param>
/// <param name="LoaderWaitShare">Share of the time that was spent waiting for images, 0 … 1.</param>
/// <param name="Remaining">Time to the end at this pace.</param>
/// <param name="MemoryBytes">Memory of the process.</param>
public sealed record PretrainProgress(string Phase, long TotalStep, long TotalSteps, StepReport Report, double ImagesPerSecond, double LoaderWaitShare, TimeSpan Remaining, long MemoryBytes);

/// <summary>What a run came to.</summary>
/// <param name="Output">Its folder.</param>
/// <param name="Teachers">The exported teachers, one for each student.</param>
/// <param name="Steps">Steps of the whole run.</param>
/// <param name="RefusedSteps">Steps that were refused in this sitting.</param>
/// <param name="UnreadableImages">Images that could not be read in this sitting and were replaced.</param>
/// <param name="LastReport">The last step; null if there was none left to make.</param>
/// <param name="Report">The page of curves and pictures; beside it the same as a PNG.</param>
public sealed record PretrainResult(string Output, IReadOnlyList<string> Teachers, long Steps, long RefusedSteps, long UnreadableImages, StepReport? LastReport, string Report)
{
    /// <summary>Why the run ended early, in words; null: it did not.</summary>
    public string? Stopped { get; init; }

    /// <summary>Steps after which the teacher is that of the result, if the best one was looked for; null: after all.</summary>
    public long? KeptStep { get; init; }
}

/// <summary>Trains a backbone without labels as a recipe says: phase after phase, with checkpoints from which a run goes on as if it had never stopped.</summary>
public static class Pretrainer
{
    /// <summary>Runs a recipe to its end.</summary>
    /// <param name="recipe">What to do.</param>
    /// <param name="options">How to run it; null: a new run on the CPU.</param>
    /// <param name="progress">Told after every step, on this thread.</param>
    /// <param name="log">Told in words what happens: phases, Gram teachers, refused steps, unreadable images.</param>
    /// <param name="cancel">Stops between two steps, after writing a checkpoint.</param>
    /// <exception cref="DinoSharpException">The recipe cannot work, data or weights cannot be read, or too many steps in a row were refused.</exception>
    public static PretrainResult Run(PretrainRecipe recipe, PretrainOptions? options = null, IProgress<PretrainProgress>? progress = null, IProgress<string>? log = null, CancellationToken cancel = default)
    {
        recipe.Validate();
        using var run = new TrainingRun(recipe, options ?? new PretrainOptions(), progress, log);
        return run.Run(cancel);
    }

    /// <summary>Writes <c>report.html</c> and <c>report.png</c> of a run, finished or not, from the figures in its folder; also while it is running.</summary>
    /// <param name="folder">Output folder of the run.</param>
    /// <returns>The page.</returns>
    /// <exception cref="DinoSharpException">It is no folder of a run, or holds no figures yet.</exception>
    public static string Report(string folder) => RunReport.Write(folder);

    /// <summary>Makes a refused step again from the batch that was kept, without changing any weight.</summary>
    /// <param name="batchFile">The file that the run named.</param>
    /// <param name="device">Where to compute; null: CPU.</param>
    /// <returns>One report for each student.</returns>
    /// <exception cref="DinoSharpException">The file is no kept batch.</exception>
    public static IReadOnlyList<StepReport> Replay(string batchFile, Device? device = null) => TrainingRun.Replay(batchFile, device);
}
