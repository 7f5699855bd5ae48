using DinoSharp.Backbones;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes;

/// <summary>Everything that decides a training run: data, network, and one phase after another. Read from YAML, never changed while it runs.</summary>
/// <remarks>Keys of a phase may also stand at the top: there they hold for every phase that does not say otherwise. A recipe without phases is one phase.</remarks>
public sealed record PretrainRecipe
{
    /// <summary>Short name, also of the output folder.</summary>
    public required string Name { get; init; }

    /// <summary>What the recipe is for and what to expect of it.</summary>
    public RecipeNotes About { get; init; } = new();

    /// <summary>Seed of weights, views, masks and order of samples.</summary>
    public ulong Seed { get; init; }

    /// <summary>Folder of everything the run writes; null: <c>runs/NAME</c>.</summary>
    public string? Output { get; init; }

    /// <summary>Where the images come from: a folder, a tar or manifest file, <c>Synthetic:</c>, a data set string like <c>ImageNet:split=TRAIN:root=…</c>, or a mixture
    /// like <c>0.75 * my-photos + 0.25 * Synthetic:</c>.</summary>
    public required string Data { get; init; }

    /// <summary>Order of the images; all orders visit every image equally often.</summary>
    public SamplerKind Sampler { get; init; }

    /// <summary>Threads that decode and augment; null: as many as there are processors.</summary>
    public int? LoaderThreads { get; init; }

    /// <summary>The student's network.</summary>
    public required BackboneConfig Backbone { get; init; }

    /// <summary>Weights to start from: a backbone, or a backbone with heads; null: fresh ones.</summary>
    public string? InitialWeights { get; init; }

    /// <summary>Sizes of the projection heads.</summary>
    public HeadsConfig Heads { get; init; } = new();

    /// <summary>A frozen teacher; null: the student's own moving average.</summary>
    public DistillationRecipe? Distillation { get; init; }

    /// <summary>Further students of the same frozen teacher that are trained side by side; their names are folders of the output.</summary>
    public IReadOnlyList<StudentRecipe> Students { get; init; } = [];

    /// <summary>When checkpoints are written and which stay.</summary>
    public CheckpointConfig Checkpoints { get; init; } = new();

    /// <summary>What is measured on the way.</summary>
    public MonitorRecipe Monitor { get; init; } = new();

    /// <summary>Stops the run when features get worse than those it started from, and keeps the best; null: it runs to its end and the last weights are its result.</summary>
    public RetentionRecipe? Retention { get; init; }

    /// <summary>The run stops after so many refused steps in a row.</summary>
    public int StopAfterRefusedSteps { get; init; } = 3;

    /// <summary>The phases, in order; at least one.</summary>
    public IReadOnlyList<PhaseRecipe> Phases { get; init; } = [];

    /// <summary>Length of the whole run.</summary>
    public long TotalSteps() => Phases.Sum(p => p.Steps);

    /// <summary>Reads a recipe.</summary>
    /// <param name="path">A YAML file.</param>
    /// <param name="changes">Changes like <c>batchImages=16</c> or <c>phases.gram.steps=500</c>; a key without <c>phases.</c> counts in every phase.</param>
    /// <exception cref="DinoSharpException">The file is no recipe; the message names the line and the key.</exception>
    public static PretrainRecipe Read(string path, IEnumerable<string>? changes = null) => FromTree(path, YamlText.Read(path), changes ?? []);

    /// <summary>The recipe in full, every key spelled out; reading it back gives the same recipe.</summary>
    public string ToYaml() => YamlText.Write(RecordBinder.Write(this));

    /// <summary>Writes <see cref="ToYaml"/> to a file, beside it and renamed.</summary>
    /// <param name="path">The file; replaced if it exists.</param>
    /// <exception cref="DinoSharpException">It cannot be written.</exception>
    public void Save(string path) => YamlText.Save(path, ToYaml());

    /// <summary>Throws if a value cannot work or two contradict each other, in any phase.</summary>
    /// <param name="worldSize">Number of processes.</param>
    /// <exception cref="DinoSharpException">The message names phase, value and reason.</exception>
    public void Validate(int worldSize = 1)
    {
        Require(IsFolderName(Name), $"name '{Name}' cannot be a folder name");
        Require(Phases.Count > 0, "there must be at least one phase");
        Require(About.Processes >= 1, $"about.processes must be at least 1, found {About.Processes}");
        Monitor.Validate(Backbone);
        Require(StopAfterRefusedSteps >= 1, $"stopAfterRefusedSteps must be at least 1, found {StopAfterRefusedSteps}");
        Require(LoaderThreads is null or >= 1, $"loaderThreads must be at least 1, found {LoaderThreads}");
        Require(Students.Count == 0 || Distillation is not null, "students side by side need a frozen teacher (distillation)");
        Require(Students.Select(s => s.Name).Distinct(StringComparer.OrdinalIgnoreCase).Count() == Students.Count, "every student needs a name of its own");
        foreach (StudentRecipe student in Students)
        {
            Require(IsFolderName(student.Name), $"students: name '{student.Name}' cannot be a folder name");
            Require(!Runs.RunFolder.Names.Contains(student.Name, StringComparer.OrdinalIgnoreCase), $"students: name '{student.Name}' is taken: the output folder of a run has {string.Join(", ", Runs.RunFolder.Names)}");
        }

        Checkpoints.Validate();
        Retention?.Validate(this);
        foreach ((PhaseRecipe phase, int i) in Phases.Select((p, i) => (p, i)))
        {
            try
            {
                phase.Validate(this);
                foreach (StudentTeacherConfig config in LearnersOf(i)) config.Validate(worldSize);
            }
            catch (DinoSharpException error)
            {
                throw new DinoSharpException($"recipe {Name}, phase {phase.Name}: {error.Message}", error);
            }
        }

        static void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException("recipe: " + problem);
        }

        // On any system: a recipe may be sent on.
        static bool IsFolderName(string name) => name.Length > 0 && name.Trim('.', ' ') == name && name.IndexOfAny([.. Path.GetInvalidFileNameChars(), '/', '\\', ':']) < 0;
    }

    /// <summary>What the learners of a phase compute: one, or one for each student.</summary>
    internal StudentTeacherConfig[] LearnersOf(int phase)
    {
        StudentTeacherConfig config = Phases[phase].LearnerConfig(this, phase);
        return Students.Count == 0 ? [config] : [.. Students.Select(student => student.Apply(config))];
    }

    /// <summary>Name of a learner; null if the run has only one.</summary>
    internal string? StudentName(int learner) => Students.Count == 0 ? null : Students[learner].Name;

    internal static PretrainRecipe FromTree(string source, YamlMappingNode tree, IEnumerable<string> changes)
    {
        string[] phaseKeys = [.. RecordBinder.KeysOf(typeof(PhaseRecipe)).Where(key => key != "name")];
        var known = new HashSet<string>([.. RecordBinder.KeysOf(typeof(PretrainRecipe)), .. phaseKeys]);
        foreach (YamlScalarNode key in tree.Children.Keys.OfType<YamlScalarNode>())
        {
            if (known.Contains(key.Value!)) continue;
            string? nearest = NearestName.Find(key.Value!, known);
            throw new DinoSharpException($"{YamlText.Place(source, key)}: unknown key '{key.Value}'{(nearest is null ? $"; known: {string.Join(", ", known.Order())}" : $"; did you mean '{nearest}'?")}");
        }

        // What holds for every phase is copied into every phase before the changes, so that a change of it counts everywhere.
        var top = new YamlMappingNode(tree.Children.Where(p => !phaseKeys.Contains(((YamlScalarNode)p.Key).Value)));
        var shared = new YamlMappingNode(tree.Children.Where(p => phaseKeys.Contains(((YamlScalarNode)p.Key).Value)));
        YamlNode? listed = YamlText.Find(top, "phases");
        if (listed is not null and not YamlSequenceNode) throw new DinoSharpException($"{YamlText.Place(source, listed)}: phases: expected a list");
        YamlNode[] phases = listed is YamlSequenceNode list ? [.. list.Children] : [new YamlMappingNode()];
        YamlNode[] full = [.. phases.Select(phase => phase is YamlMappingNode own ? YamlText.Merge(shared, own) : throw new DinoSharpException($"{YamlText.Place(source, phase)}: phases: expected keys and values"))];
        top.Children[new YamlScalarNode("phases")] = new YamlSequenceNode(full);
        foreach (string change in changes)
        {
            string key = change.Split('.', '=')[0];
            if (change.Contains('=', StringComparison.Ordinal) && !known.Contains(key)) throw new DinoSharpException($"'{change}': unknown key '{key}'{(NearestName.Find(key, known) is { } nearest ? $"; did you mean '{nearest}'?" : $"; known: {string.Join(", ", known.Order())}")}");
            if (!phaseKeys.Contains(key)) YamlText.Set(top, change);
            else foreach (YamlNode phase in (YamlSequenceNode)top.Children["phases"]) YamlText.Set((YamlMappingNode)phase, change);
        }

        return new RecordBinder(source).Bind<PretrainRecipe>(top);
    }
}

/// <summary>What a recipe is for and what to expect of it.</summary>
public sealed record RecipeNotes
{
    /// <summary>What it trains, in a few sentences.</summary>
    public string? Summary { get; init; }

    /// <summary>The command that runs it.</summary>
    public string? Command { get; init; }

    /// <summary>What it is meant for.</summary>
    public string? Hardware { get; init; }

    /// <summary>How long it takes there.</summary>
    public string? Hours { get; init; }

    /// <summary>Processes that it is written for, one for each GPU. A run has one; the learning rate follows the images of all.</summary>
    public int Processes { get; init; } = 1;

    /// <summary>Figures to expect, and where they are from.</summary>
    public string? Expected { get; init; }

    /// <summary>Whether it was run in this repository (docs/log.md); otherwise it is published facts as data.</summary>
    public bool WasRunHere { get; init; }
}

/// <summary>What students learn from a frozen teacher.</summary>
public enum DistillationTargets
{
    /// <summary>Its distributions over prototypes, by the losses of pretraining (paper section 5.2); needs its heads.</summary>
    Prototypes,

    /// <summary>The directions of its class and patch tokens, through one linear layer; works with every released backbone.</summary>
    Features,
}

/// <summary>A frozen teacher and how students learn from it.</summary>
public sealed record DistillationRecipe
{
    /// <summary>File of the teacher: its backbone, and for <see cref="DistillationTargets.Prototypes"/> its heads too, as <c>teacher.safetensors</c> of a checkpoint has them.</summary>
    public required string Teacher { get; init; }

    /// <summary>What students learn from it.</summary>
    public DistillationTargets Targets { get; init; }

    /// <summary>Sizes of the teacher's heads; null: those of the students.</summary>
    public HeadsConfig? TeacherHeads { get; init; }
}

/// <summary>One of several students of a frozen teacher: what differs from the recipe.</summary>
public sealed record StudentRecipe
{
    /// <summary>Name, also of its folder.</summary>
    public required string Name { get; init; }

    /// <summary>Its network.</summary>
    public required BackboneConfig Backbone { get; init; }

    /// <summary>Its heads; null: those of the recipe.</summary>
    public HeadsConfig? Heads { get; init; }

    /// <summary>Its learning rate; null: that of the phase.</summary>
    public Schedule? LearningRate { get; init; }

    /// <summary>Its weight decay; null: that of the phase.</summary>
    public Schedule? WeightDecay { get; init; }

    internal StudentTeacherConfig Apply(StudentTeacherConfig config) => config with
    {
        Backbone = Backbone,
        Heads = Heads ?? config.Heads,
        Optimizer = config.Optimizer with { LearningRate = LearningRate ?? config.Optimizer.LearningRate, WeightDecay = WeightDecay ?? config.Optimizer.WeightDecay },
    };
}
