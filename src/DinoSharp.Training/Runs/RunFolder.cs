using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Views;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs;

/// <summary>Where a run stands between two steps.</summary>
/// <param name="Phase">Index of the phase.</param>
/// <param name="PhaseStep">Complete steps of the phase: also the position in the data, the schedules and the random numbers, which depend on nothing else.</param>
/// <param name="RefusedInARow">Refused steps since the last one that was made.</param>
internal sealed record RunState(int Phase, long PhaseStep, int RefusedInARow)
{
    /// <summary>What the run reads; null in checkpoints from before this was written down.</summary>
    public RunInputs? Inputs { get; init; }

    /// <summary>Who multiplies in each number format; null as above.</summary>
    public IReadOnlyDictionary<TrainingComputeType, Products>? Products { get; init; }
}

/// <summary>The output folder of a run: recipe, figures, checkpoints, refused batches, the exported teacher. One process at a time.</summary>
internal sealed class RunFolder : IDisposable
{
    private const string Best = "best-";

    private static readonly JsonSerializerOptions Format = new() { Converters = { new JsonStringEnumConverter() } };

    private readonly FileStream _lock;
    private readonly Action<string>? _warn;

    /// <summary>Opens or creates the folder.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="recipe">The recipe of the run.</param>
    /// <param name="resume">Whether a run that is there goes on; otherwise there must be none.</param>
    /// <param name="warn">Told what went wrong without harm to the run.</param>
    /// <exception cref="DinoSharpException">Another process is at work there, the recipes differ, or a new run would overwrite an old one.</exception>
    public RunFolder(string path, PretrainRecipe recipe, bool resume, Action<string>? warn = null)
    {
        (Path, _warn) = (path, warn);
        try
        {
            Directory.CreateDirectory(path);
            _lock = new FileStream(In("run.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"the output folder {path} cannot be used, perhaps because another process is training there: {error.Message}", error);
        }

        try
        {
            Store = new CheckpointStore(In("checkpoints"), recipe.Checkpoints, AnchorFiles.OwnSteps(recipe, In("checkpoints")), warn);
            RemoveUnfinished();
            CheckRecipe(recipe, resume);
        }
        catch
        {
            _lock.Dispose();
            throw;
        }
    }

    public string Path { get; }

    public CheckpointStore Store { get; }

    /// <summary>Names inside the folder that a student cannot have.</summary>
    public static IReadOnlyList<string> Names { get; } = ["checkpoints", "monitor", "refused", "run.lock", "recipe.yaml", CheckpointStore.StateFile, RunFigures.FileName, EventLog.FileName, "report.html", "report.png"];

    /// <summary>A path inside the folder.</summary>
    public string In(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Writes everything that is needed to go on.</summary>
    public void Save(RunState state, long totalStep, PretrainRecipe recipe, IReadOnlyList<StudentTeacher> learners) => Store.Write(totalStep, folder => WriteState(folder, state, recipe, learners));

    /// <summary>The newest checkpoint; null if there is none.</summary>
    public (RunState State, string Folder)? Latest() => Store.Steps is [.., var step] ? (Read<RunState>(System.IO.Path.Combine(Store.PathOf(step), CheckpointStore.StateFile)), Store.PathOf(step)) : null;

    /// <summary>Fills the learners of a phase from a checkpoint.</summary>
    public static void Load(string folder, PretrainRecipe recipe, IReadOnlyList<StudentTeacher> learners)
    {
        for (int i = 0; i < learners.Count; i++) LearnerFiles.Load(learners[i], FolderOf(folder, recipe, i));
    }

    /// <summary>The teacher's backbone of a learner in a checkpoint, on the CPU; it belongs to the caller.</summary>
    public static Backbone LoadTeacher(string folder, PretrainRecipe recipe, int learner)
    {
        using BackboneWeights weights = BackboneWeights.Open(System.IO.Path.Combine(FolderOf(folder, recipe, learner), "teacher.safetensors"));
        return weights.CreateBackbone();
    }

    /// <summary>The file of the best weights, if they are those after a step.</summary>
    public string BestOf(long step) => In($"{Best}{step:D8}.safetensors");

    /// <summary>Removes the best weights of some steps.</summary>
    public void RemoveBest(Predicate<long> gone)
    {
        foreach (string file in Directory.GetFiles(Path, Best + "*.safetensors"))
        {
            if (!long.TryParse(System.IO.Path.GetFileNameWithoutExtension(file)[Best.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out long step) || !gone(step)) continue;
            try
            {
                File.Delete(file);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                _warn?.Invoke($"the file {file} cannot be removed: {error.Message}");
            }
        }
    }

    /// <summary>Keeps the batch of a refused step and the weights it met, to look at them later; earlier ones are removed.</summary>
    /// <returns>The file of the batch.</returns>
    /// <exception cref="DinoSharpException">The disk is full or may not be written.</exception>
    public string SaveRefused(PretrainBatch batch, RunState state, long totalStep, PretrainRecipe recipe, IReadOnlyList<StudentTeacher> learners)
    {
        string name = $"batch-{totalStep:D8}.safetensors";
        List<KeyValuePair<string, Tensor>> tensors = [new("global", batch.GlobalCrops), new("local", batch.LocalCrops), new("masks", batch.Masks)];
        if (batch.GramCrops is not null) tensors.Add(new("gram", batch.GramCrops));
        CheckpointStore.WriteFolder(In("refused"), folder =>
        {
            WriteState(folder, state, recipe, learners);
            SafetensorsWriter.Write(System.IO.Path.Combine(folder, name), tensors);
        });
        return System.IO.Path.Combine(In("refused"), name);
    }

    /// <summary>Reads a kept batch and what belongs to it.</summary>
    /// <exception cref="DinoSharpException">The file is no kept batch.</exception>
    public static (PretrainBatch Batch, RunState State, PretrainRecipe Recipe, string Folder) ReadRefused(string path)
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
        RunState state = Read<RunState>(System.IO.Path.Combine(folder, CheckpointStore.StateFile));
        PretrainRecipe recipe = PretrainRecipe.Read(System.IO.Path.Combine(folder, "recipe.yaml"));
        using TensorFile file = TensorFile.Open(path);
        foreach (string name in (string[])["global", "local", "masks"])
        {
            if (!file.Entries.ContainsKey(name)) throw new TensorFileException(path, $"is no kept batch: it has no tensor '{name}'");
        }

        Tensor? gram = file.Entries.ContainsKey("gram") ? file.Read("gram") : null;
        return (PretrainBatch.Create(file.Read("global"), file.Read("local"), gram, file.Read("masks")), state, recipe, folder);
    }

    public void Dispose() => _lock.Dispose();

    /// <summary>The folder of a learner inside another one: the folder itself, or one by the student's name.</summary>
    public static string FolderOf(string folder, PretrainRecipe recipe, int learner) => recipe.StudentName(learner) is { } student ? System.IO.Path.Combine(folder, student) : folder;

    private static void WriteState(string folder, RunState state, PretrainRecipe recipe, IReadOnlyList<StudentTeacher> learners)
    {
        for (int i = 0; i < learners.Count; i++) LearnerFiles.Save(learners[i], Directory.CreateDirectory(FolderOf(folder, recipe, i)).FullName);
        YamlText.Save(System.IO.Path.Combine(folder, "recipe.yaml"), recipe.ToYaml());
        YamlText.Save(System.IO.Path.Combine(folder, CheckpointStore.StateFile), JsonSerializer.Serialize(state, Format));
    }

    // What a killed process left: folders and files under the names they had while they were written.
    private void RemoveUnfinished()
    {
        try
        {
            Store.RemoveUnfinished();
            var options = new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 1, AttributesToSkip = FileAttributes.ReparsePoint };
            foreach (string file in Directory.GetFiles(Path, "*.tmp", options))
            {
                if (file.Split('.') is [.., var id, _] && Guid.TryParseExact(id, "N", out _)) File.Delete(file);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"what an interrupted run left in {Path} cannot be removed: {error.Message}", error);
        }
    }

    private void CheckRecipe(PretrainRecipe recipe, bool resume)
    {
        string file = In("recipe.yaml");
        if (!resume && Store.Steps.Count > 0) throw new DinoSharpException($"{Path} already holds a run with checkpoints; let it go on with --resume, or choose another output folder");
        if (resume && Store.Steps.Count > 0 && File.Exists(file))
        {
            string[] before = Essence(PretrainRecipe.Read(file)), now = Essence(recipe);
            int line = Enumerable.Range(0, Math.Max(before.Length, now.Length)).FirstOrDefault(i => before.ElementAtOrDefault(i) != now.ElementAtOrDefault(i), -1);
            if (line >= 0)
            {
                throw new DinoSharpException($"the run in {Path} was started with another recipe: it had '{before.ElementAtOrDefault(line)?.Trim()}', now it is '{now.ElementAtOrDefault(line)?.Trim()}'. Going on would not be the same run; start a new one elsewhere, with initialWeights if you like");
            }
        }

        YamlText.Save(file, recipe.ToYaml());
    }

    // What may change without changing a single weight.
    private static string[] Essence(PretrainRecipe recipe) => (recipe with
    {
        About = new RecipeNotes(),
        Output = null,
        LoaderThreads = null,
        Checkpoints = new CheckpointConfig(),
        Monitor = new MonitorRecipe(),
        StopAfterRefusedSteps = 1,
    }).ToYaml().Split('\n');

    private static T Read<T>(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(File.ReadAllText(path), Format) ?? throw new DinoSharpException($"{path} is empty");
        }
        catch (Exception error) when (error is IOException or JsonException or UnauthorizedAccessException)
        {
            throw new DinoSharpException($"{path} cannot be read: {error.Message}", error);
        }
    }
}
