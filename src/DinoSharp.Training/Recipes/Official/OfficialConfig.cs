using DinoSharp.Training.Optimization;
using YamlDotNet.RepresentationModel;

namespace DinoSharp.Training.Recipes.Official;

/// <summary>What became of a key of an official training configuration.</summary>
public enum KeyFate
{
    /// <summary>It is in the recipe.</summary>
    Used,

    /// <summary>It changes nothing: the original never reads it, or it is about speed and files alone.</summary>
    Ignored,

    /// <summary>It asks for something that cannot be done here; the recipe leaves it out.</summary>
    Refused,
}

/// <summary>A key of an official training configuration and what became of it.</summary>
/// <param name="Key">Its path, such as <c>optim.lr</c>.</param>
/// <param name="Value">Its value as written.</param>
/// <param name="Fate">What became of it.</param>
/// <param name="Reason">Why it was ignored or refused, or how it was understood where that is not plain; null otherwise.</param>
public sealed record OfficialKey(string Key, string Value, KeyFate Fate, string? Reason);

/// <summary>A training configuration of the original (YAML, both generations of schedules) as a recipe, with an account of every key.</summary>
/// <param name="Recipe">The recipe.</param>
/// <param name="Keys">Every key of the file and of the changes, in the order of the file; a default that had to be refused comes last.</param>
public sealed record OfficialConfig(PretrainRecipe Recipe, IReadOnlyList<OfficialKey> Keys)
{
    /// <summary>Reads a configuration. As in the original, the file counts more than the defaults and changes count more than the file; files of several students count less than the file that names them.</summary>
    /// <param name="path">A YAML file.</param>
    /// <param name="changes">Changes of official keys, such as <c>train.batch_size_per_gpu=8</c>.</param>
    /// <exception cref="DinoSharpException">It is no such file, or a value is of the wrong kind; the message names file, line and key.</exception>
    public static OfficialConfig Read(string path, IEnumerable<string>? changes = null)
    {
        YamlMappingNode given = YamlText.Read(path);
        foreach (string change in changes ?? []) YamlText.Set(given, change);
        var values = Over(path, given);
        string name = Path.GetFileNameWithoutExtension(path), architecture = values.Text("MODEL.META_ARCHITECTURE");
        bool several = values.Flag("multidistillation.enabled") || architecture == "MultiDistillationMetaArch";
        if (!several && architecture != "SSLMetaArch") values.Refuse("MODEL.META_ARCHITECTURE", "known are SSLMetaArch and MultiDistillationMetaArch");
        (PretrainRecipe recipe, IReadOnlyList<OfficialKey> keys) = several ? Students(name, values, given, path) : (new OfficialMapping(values).Recipe(name), values.Account());
        // The file does not say how many processes it is for; a group of neighbours that spans several says at least how many.
        int processes = Math.Max(1, (recipe.Phases[0].Losses.KoLeoGroupSize ?? 1) / Math.Max(1, recipe.Phases[0].BatchImages));
        return new OfficialConfig(recipe with { About = new RecipeNotes { Summary = $"Read from the official configuration {Path.GetFileName(path)}.", Processes = processes } }, keys);
    }

    /// <summary>Throws if a key was refused.</summary>
    /// <exception cref="DinoSharpException">The message lists the refused keys and their reasons.</exception>
    public void RequireNothingRefused()
    {
        string[] refused = [.. Keys.Where(k => k.Fate == KeyFate.Refused).Select(k => $"{k.Key}: {k.Value}: {k.Reason}")];
        if (refused.Length > 0) throw new DinoSharpException($"{string.Join("; ", refused)}. Set {(refused.Length == 1 ? "it" : "them")} otherwise with key=value, or write the recipe with --save-recipe, read what it leaves out, and train that");
    }

    internal static OfficialValues Over(string source, YamlMappingNode given)
    {
        YamlMappingNode defaults = OfficialDefaults.Tree();
        foreach ((YamlNode key, YamlNode value) in given)
        {
            if (value is not YamlMappingNode && defaults.Children.ContainsKey(key)) throw new DinoSharpException($"{YamlText.Place(source, value)}: {key}: expected keys and values, found '{value}'");
        }

        return new OfficialValues(source, given, YamlText.Merge(defaults, given));
    }

    // Every student is a configuration of its own: its file below the one that names it.
    private static (PretrainRecipe Recipe, IReadOnlyList<OfficialKey> Keys) Students(string name, OfficialValues values, YamlMappingNode given, string path)
    {
        if (values.Node("multidistillation.students") is not YamlSequenceNode { Children.Count: > 0 } list) throw values.Wrong("multidistillation.students", "a list of students with name and config_path");
        int images = values.WholeNumber("multidistillation.global_batch_size");
        long processes = list.Select(entry => YamlText.Find(entry, "ranks_range")).OfType<YamlSequenceNode>().Select(range => long.TryParse((range.Children[^1] as YamlScalarNode)?.Value, out long end) ? end : 0).DefaultIfEmpty(0).Max();
        HashSet<string> shared = [.. values.Account().Select(k => k.Key)];
        var keys = new List<OfficialKey>();
        var students = new List<(StudentRecipe Student, PretrainRecipe Alone)>();
        foreach (YamlNode entry in list)
        {
            string student = (YamlText.Find(entry, "name") as YamlScalarNode)?.Value ?? throw values.Wrong("multidistillation.students", "a name for every student");
            string? file = (YamlText.Find(entry, "config_path") as YamlScalarNode)?.Value;
            if (file is null || OfficialValues.Locate(file, path) is not { } found) throw new DinoSharpException($"{path}: multidistillation.students: the file {file} of student {student} is not there; expected config_path relative to this file or to the working folder");
            YamlMappingNode own = YamlText.Merge(YamlText.Read(found), given);
            OfficialValues ownValues = Over(path, own);
            ownValues.Ignore("train.batch_size_per_gpu", "multidistillation.global_batch_size counts instead");
            foreach (string key in (string[])["MODEL.META_ARCHITECTURE", "multidistillation.enabled", "multidistillation.students", "multidistillation.global_batch_size"]) ownValues.Node(key);
            PretrainRecipe alone = new OfficialMapping(ownValues).Recipe(name);
            OptimizerConfig optimizer = alone.Phases[0].Optimizer;
            students.Add((new StudentRecipe { Name = student, Backbone = alone.Backbone, Heads = alone.Heads, LearningRate = optimizer.LearningRate, WeightDecay = optimizer.WeightDecay }, alone));
            if (Shared(alone, students[0].Alone) != Shared(students[0].Alone, students[0].Alone)) ownValues.Refuse("multidistillation.students", $"{student} differs from {students[0].Student.Name} in more than network, heads, learning rate and weight decay; students of one run share the rest");
            ownValues.Note("multidistillation.global_batch_size", "all in this process");
            ownValues.Note("multidistillation.students", processes > 0 ? $"side by side in this process; of ranks_range only the number of processes counts: the original scales the learning rate by {images / processes} images on each of {processes}" : "side by side in this process");
            keys.AddRange(ownValues.Account().Select(k => shared.Contains(k.Key) ? k : k with { Key = $"{student}: {k.Key}" }).Where(k => !keys.Exists(known => known.Key == k.Key && known.Fate == k.Fate)));
        }

        PhaseRecipe phase = students[0].Alone.Phases[0];
        if (processes > 0 && images >= processes && images % processes != 0) phase = phase with { Optimizer = phase.Optimizer with { ScalingImages = (int)(images / processes * processes) } };
        PretrainRecipe recipe = students[0].Alone with { Students = [.. students.Select(s => s.Student)], Phases = [phase with { BatchImages = images }] };
        return (recipe, keys);
    }

    // What students of one run have in common, as text.
    private static string Shared(PretrainRecipe recipe, PretrainRecipe first) => (recipe with
    {
        Backbone = first.Backbone,
        Heads = first.Heads,
        Phases = [recipe.Phases[0] with { Optimizer = recipe.Phases[0].Optimizer with { LearningRate = first.Phases[0].Optimizer.LearningRate, WeightDecay = first.Phases[0].Optimizer.WeightDecay } }],
    }).ToYaml();
}
