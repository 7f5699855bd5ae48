using DinoSharp.Training.Pretraining;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Training.Checkpoints;

/// <summary>All tensors of a learner as files: student, teacher, Gram anchor, moments.</summary>
internal static class LearnerFiles
{
    private const string Student = "student.safetensors", Teacher = "teacher.safetensors", Gram = "gram.safetensors", Optimizer = "optimizer.safetensors", Updates = "updates";

    /// <summary>Writes every tensor, exactly.</summary>
    /// <param name="learner">What to write.</param>
    /// <param name="folder">An existing folder.</param>
    public static void Save(StudentTeacher learner, string folder)
    {
        StateDict.Save(learner.StudentNetwork, Path.Combine(folder, Student));
        StateDict.Save(learner.TeacherNetwork, Path.Combine(folder, Teacher));
        if (learner.Gram?.Backbone is { } anchor) StateDict.Save(anchor, Path.Combine(folder, Gram));
        SafetensorsWriter.Write(Path.Combine(folder, Optimizer), learner.Optimizer.State, [new(Updates, $"{learner.Optimizer.Updates}")]);
    }

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
    }

    /// <summary>Loads a backbone, and its heads where the file has them, into both student and teacher: a file of official or Hugging Face names, or the teacher of a checkpoint.</summary>
    /// <param name="learner">The learner; a Gram anchor that starts from the teacher follows.</param>
    /// <param name="path">File or folder.</param>
    /// <returns>Whether the heads were there too.</returns>
    /// <exception cref="DinoSharpException">The weights do not fit.</exception>
    public static bool LoadInitial(StudentTeacher learner, string path)
    {
        using TensorFile file = TensorFile.Open(path);
        bool heads = file.Entries.Keys.Any(name => name.StartsWith("dino_head.", StringComparison.Ordinal));
        if (heads)
        {
            StateDict.Load(learner.StudentNetwork, file);
        }
        else
        {
            using BackboneWeights weights = BackboneWeights.Open(path);
            weights.LoadInto(learner.Student);
        }

        PretrainNetwork.Copy(learner.StudentNetwork, learner.TeacherNetwork);
        learner.ResetGramTeacher();
        return heads;
    }

    private static void Read(nn.Module module, string path)
    {
        using TensorFile file = TensorFile.Open(path);
        StateDict.Load(module, file);
    }
}
