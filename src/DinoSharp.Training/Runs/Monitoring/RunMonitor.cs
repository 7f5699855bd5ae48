using System.Text.Json.Nodes;
using DinoSharp.Backbones;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Data;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>Looks at the teachers of a run between its steps, writes down what their features are worth, and keeps the best weights if the recipe asks for it.</summary>
internal sealed class RunMonitor : IDisposable
{
    private readonly PretrainRecipe _recipe;
    private readonly RunFolder _folder;
    private readonly Device? _device;
    private readonly FeatureMonitor? _monitor;
    private readonly List<JsonObject> _looks = [];

    /// <param name="recipe">How often to look, at what, and whether the best weights are kept.</param>
    /// <param name="data">The training data.</param>
    /// <param name="folder">Of the run.</param>
    /// <param name="device">Where the networks live; null: CPU.</param>
    public RunMonitor(PretrainRecipe recipe, ImageDataset data, RunFolder folder, Device? device)
    {
        (_recipe, _folder, _device) = (recipe, folder, device);
        _monitor = recipe.Monitor.EverySteps is null ? null : FeatureMonitor.Open(recipe, data, device);
    }

    /// <summary>What all looks say together; null before the first, and if the recipe keeps nothing.</summary>
    public Retention? Retention { get; private set; }

    /// <summary>Forgets what belongs to steps that are made again, or for the first time.</summary>
    /// <param name="step">The run begins or goes on after this many.</param>
    /// <exception cref="DinoSharpException">The best weights of the steps before are not there.</exception>
    public void Begin(long step)
    {
        _looks.AddRange(LooksOf(_folder.Path).Where(look => RunFigures.StepOf(look) < step));
        _folder.RemoveBest(of => of >= step);
        if (BestBefore(step) is long best) RequireBest(best);
    }

    /// <summary>Looks at every teacher.</summary>
    /// <param name="figures">Where it is written down.</param>
    /// <param name="learners">The students and their teachers.</param>
    /// <param name="step">Steps made so far.</param>
    public void Look(RunFigures figures, IReadOnlyList<StudentTeacher> learners, long step)
    {
        for (int i = 0; _monitor is not null && i < learners.Count; i++)
        {
            JsonObject look = Look(_monitor, learners[i].Teacher, step, i);
            figures.Write(look);
            if (_recipe.Retention is not { } retention) continue;
            _looks.Add(look);
            Retention = Retention.Of(_looks, retention.Tolerance);
            if (Retention.BestStep == step) LearnerFiles.Export(learners[i], _folder.BestOf(step), _recipe.Phases[^1].Views.Normalization, $"{_recipe.Name}, {step} steps, seed {_recipe.Seed}");
        }
    }

    /// <summary>Looks at checkpoints from before the first look, for a run that began without a monitor; call it when no figures are being written.</summary>
    public void LookAtCheckpoints()
    {
        if (_monitor is null) return;
        long first = LooksOf(_folder.Path).Min(RunFigures.StepOf);
        var lines = new List<JsonObject>();
        foreach (long step in _folder.Store.Steps.Where(step => step < first))
        {
            for (int i = 0; i < Math.Max(1, _recipe.Students.Count); i++)
            {
                using Backbone teacher = RunFolder.LoadTeacher(_folder.Store.PathOf(step), _recipe, i);
                if (_device is not null) teacher.to(_device);
                lines.Add(Look(_monitor, teacher, step, i));
            }
        }

        if (lines.Count > 0) RunFigures.Insert(_folder.Path, lines);
    }

    /// <summary>Removes kept weights that no checkpoint up to a step needs any more.</summary>
    public void RemoveSurpassed(long step)
    {
        if (BestBefore(step) is long best) _folder.RemoveBest(of => of < best);
    }

    /// <summary>The file of the best weights.</summary>
    /// <param name="step">The steps they had made.</param>
    /// <exception cref="DinoSharpException">It is not there.</exception>
    public string RequireBest(long step) => File.Exists(_folder.BestOf(step)) ? _folder.BestOf(step)
        : throw new DinoSharpException($"{_folder.BestOf(step)} is not there: it holds the best weights so far, which would be the result of the run. Bring it back, or start a new run elsewhere (output=FOLDER)");

    public void Dispose() => _monitor?.Dispose();

    private static IEnumerable<JsonObject> LooksOf(string folder) => RunFigures.Read(folder).Where(line => line.ContainsKey(RunFigures.Locality));

    // The best weights among those that a run going on from a step knows of.
    private long? BestBefore(long step)
    {
        JsonObject[] looks = [.. _looks.Where(look => RunFigures.StepOf(look) < step)];
        return _recipe.Retention is { } retention && looks.Length > 0 ? Retention.Of(looks, retention.Tolerance).BestStep : null;
    }

    private JsonObject Look(FeatureMonitor monitor, Backbone teacher, long step, int learner)
    {
        FeatureReading reading = monitor.Measure(teacher);
        string? student = _recipe.StudentName(learner);
        string picture = RunFigures.PictureOf(_folder.Path, step, student), probes = Path.Combine(Path.GetDirectoryName(picture)!, "probes.png");
        Directory.CreateDirectory(Path.GetDirectoryName(picture)!);
        if (!File.Exists(probes)) monitor.Pictures.Save(probes);
        reading.Picture.Save(picture);
        return RunFigures.Line(
        [
            new("step", step), new("student", student), new(RunFigures.Locality, reading.Dense.Locality), new("patch_similarity_near", reading.Dense.Near),
            new("patch_similarity_far", reading.Dense.Far), new("patch_half_distance", reading.Dense.HalfDistance), new("class_patch_similarity", reading.Dense.ClassToken),
            new(RunFigures.PatchRank, reading.PatchRank), new(RunFigures.ClassRank, reading.ClassRank), new(RunFigures.KnnTop1, reading.KnnTop1), new("patch_gram_distance", reading.GramDistance),
        ]);
    }
}
