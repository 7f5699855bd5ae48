using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Training.Pretraining;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Training.Checkpoints;

/// <summary>All tensors of a learner as files: student, teacher, Gram anchor, moments.</summary>
internal static class LearnerFiles
{
    private const string Student = "student.safetensors", Teacher = "teacher.safetensors", Gram = "gram.safetensors", Optimizer = "optimizer.safetensors", Updates = "updates", WithoutBackbone = "updates without backbone";

    /// <summary>Writes every tensor, exactly.</summary>
    /// <param name="learner">What to write.</param>
    /// <param name="folder">An existing folder.</param>
    public static void Save(StudentTeacher learner, string folder)
    {
        // With its description inside, the teacher's file is also a model: other verbs open it, and the heads are passed over.
        KeyValuePair<string, string>[] description = [new(WeightMetadata.ConfigKey, Description(learner.Config.Backbone))];
        StateDict.Save(learner.StudentNetwork, Path.Combine(folder, Student), description);
        StateDict.Save(learner.TeacherNetwork, Path.Combine(folder, Teacher), description);
        if (learner.Gram?.Backbone is { } anchor) StateDict.Save(anchor, Path.Combine(folder, Gram));
        SafetensorsWriter.Write(Path.Combine(folder, Optimizer), learner.Optimizer.State, [new(Updates, $"{learner.Optimizer.Updates}"), new(WithoutBackbone, $"{learner.Optimizer.UpdatesWithoutBackbone}")]);
    }

    /// <summary>Writes the teacher's backbone alone, under official names, with everything that a user of it needs inside.</summary>
    /// <param name="learner">Whose teacher.</param>
    /// <param name="path">The file; replaced if it exists.</param>
    /// <param name="normalization">How its pixels were normalised.</param>
    /// <param name="source">Where it is from, in words.</param>
    public static void Export(StudentTeacher learner, string path, Normalization normalization, string source) => StateDict.Save(learner.Teacher, path,
    [
        new("format", "pt"),
        new(WeightMetadata.ConfigKey, Description(learner.Config.Backbone)),
        new(WeightMetadata.NormalizationKey, WeightMetadata.Text(normalization)),
        new(WeightMetadata.SourceKey, source),
    ]);

    /// <summary>Reads back what <see cref="Save"/> wrote; every name and shape must match.</summary>
    /// <param name="learner">A learner of the same configuration.</param>
    /// <param name="folder">The folder.</param>
    /// <exception cref="DinoSharpException">A file is missing, damaged, or of another network.</exception>
    public static void Load(StudentTeacher learner, string folder)
    {
        Read(learner.StudentNetwork, Path.Combine(folder, Student));
        Read(learner.TeacherNetwork, Path.Combine(folder, Teacher));
        if (learner.Gram?.Backbone is { } anchor) Read(anchor, Path.Combine(folder, Gram));
        string path = Path.Combine(folder, Optimizer);
        using TensorFile file = TensorFile.Open(path);
        Dictionary<string, Tensor> moments = new(learner.Optimizer.State);
        string? stranger = moments.Keys.FirstOrDefault(name => !file.Entries.ContainsKey(name)) ?? file.Entries.Keys.FirstOrDefault(name => !moments.ContainsKey(name));
        if (stranger is not null) throw new TensorFileException(path, $"belongs to another network: '{stranger}' is on one side only");
        foreach ((string name, Tensor moment) in moments) file.CopyTo(name, moment);
        learner.Optimizer.Updates = file.Metadata.TryGetValue(Updates, out string? text) && long.TryParse(text, out long updates) ? updates
            : throw new TensorFileException(path, $"has no number of updates in its metadata '{Updates}'");
        learner.Optimizer.UpdatesWithoutBackbone = file.Metadata.TryGetValue(WithoutBackbone, out string? frozen) && long.TryParse(frozen, out long without) ? without : 0;
    }

    /// <summary>Loads a backbone, and its heads where the file has them, into both student and teacher: a file of official or Hugging Face names, or the teacher of a checkpoint.</summary>
    /// <param name="learner">The learner; a Gram anchor that starts from the teacher follows.</param>
    /// <param name="path">File or folder.</param>
    /// <returns>Whether the heads were there too.</returns>
    /// <exception cref="DinoSharpException">The weights do not fit.</exception>
    public static bool LoadInitial(StudentTeacher learner, string path)
    {
        bool heads = LoadNetwork(learner.StudentNetwork, path);
        PretrainNetwork.Copy(learner.StudentNetwork, learner.TeacherNetwork);
        learner.ResetGramTeacher();
        return heads;
    }

    /// <summary>Builds a frozen teacher from a file of a backbone and its heads.</summary>
    /// <param name="path">File or folder.</param>
    /// <param name="heads">Sizes of its heads.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    /// <exception cref="DinoSharpException">There are no heads, or the weights do not fit.</exception>
    public static FrozenTeacher LoadTeacher(string path, HeadsConfig heads, Device? device)
    {
        BackboneConfig config;
        using (BackboneWeights weights = BackboneWeights.Open(path)) config = weights.Config;
        var teacher = new FrozenTeacher(config, heads, device);
        try
        {
            if (!LoadNetwork(teacher.Network!, path)) throw new TensorFileException(path, "holds a backbone without heads; a teacher of prototypes needs both, as a training checkpoint has them. Without heads its features can be distilled: distillation.targets=features");
            return teacher;
        }
        catch
        {
            teacher.Dispose();
            throw;
        }
    }

    /// <summary>Builds a frozen teacher of features from a file of a backbone; heads are passed over.</summary>
    /// <param name="path">File or folder.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    /// <exception cref="DinoSharpException">The weights cannot be read.</exception>
    public static FrozenTeacher LoadFeatureTeacher(string path, Device? device)
    {
        using BackboneWeights weights = BackboneWeights.Open(path);
        var teacher = new FrozenTeacher(weights.Config, device);
        try
        {
            weights.LoadInto(teacher.Backbone);
            return teacher;
        }
        catch
        {
            teacher.Dispose();
            throw;
        }
    }

    private static bool LoadNetwork(PretrainNetwork network, string path)
    {
        const string Head = "dino_head.last_layer.weight";
        using BackboneWeights weights = BackboneWeights.Open(path);
        weights.LoadInto(network.Backbone);
        string? name = weights.File.Entries.Keys.FirstOrDefault(n => n.EndsWith(Head, StringComparison.Ordinal));
        if (name is null) return false;
        string prefix = name[..^Head.Length];
        StateDict.Load(network.DinoHead, weights.File, prefix + "dino_head.");
        StateDict.Load(network.IbotHead, weights.File, prefix + "ibot_head.");
        return true;
    }

    private static void Read(nn.Module module, string path)
    {
        using TensorFile file = TensorFile.Open(path);
        StateDict.Load(module, file);
    }

    private static string Description(BackboneConfig config) => ModelConfigFile.Write(config, keyBias: config is VisionTransformerConfig { QkvBias: true, MaskKeyBias: false }, dtype: null);
}
