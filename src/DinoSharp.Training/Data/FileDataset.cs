using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>Images that are files of their own.</summary>
public sealed class FileDataset : ImageDataset
{
    private readonly IReadOnlyList<string> _paths;
    private readonly IReadOnlyList<int>? _labels;
    private readonly IReadOnlyList<string?>? _targets;
    private readonly ImageReadOptions _reading;

    /// <summary>A list of files.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="paths">Paths of the images; at least one.</param>
    /// <param name="labels">Class of each image, −1 where it has none; null if no image has one.</param>
    /// <param name="classes">Names of the classes; null if there are none.</param>
    /// <param name="targets">What belongs to each image: path of a label map or depth map, or a caption; null if nothing does.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">There are no images, the counts differ, or a label has no class.</exception>
    public FileDataset(
        string name, IReadOnlyList<string> paths, IReadOnlyList<int>? labels = null, IReadOnlyList<string>? classes = null, IReadOnlyList<string?>? targets = null, ImageReadOptions? reading = null)
    {
        if (paths.Count == 0) throw new DinoSharpException($"{name} holds no images");
        if ((labels ?? (IReadOnlyList<int>)new int[paths.Count]).Count != paths.Count || (targets ?? new string?[paths.Count]).Count != paths.Count)
            throw new DinoSharpException($"{name} has {paths.Count} images, but {labels?.Count ?? targets!.Count} labels or targets");
        Classes = classes ?? [];
        if (labels?.FirstOrDefault(l => l < -1 || l >= Classes.Count, -1) is int bad and not -1) throw new DinoSharpException($"{name} has a label {bad}, but only {Classes.Count} classes");
        (Name, _paths, _labels, _targets, _reading) = (name, paths, labels, targets, reading ?? new ImageReadOptions());
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override int Count => _paths.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Classes { get; }

    /// <inheritdoc/>
    public override int? LabelOf(int index) => _labels?[index] is >= 0 and int label ? label : null;

    /// <inheritdoc/>
    public override string PathOf(int index) => _paths[index];

    /// <summary>What belongs to an image: path of its label map or depth map, or its caption; null if nothing does.</summary>
    /// <param name="index">0 … <see cref="Count"/> − 1.</param>
    public string? TargetOf(int index) => _targets?[index];

    /// <inheritdoc/>
    public override ImageBuffer Read(int index) => ImageFile.Read(_paths[index], _reading);

    internal override ImageSource? FileOf(int index) => _reading == ImageReadOptions.Default ? ImageSource.FromPath(_paths[index]) : null;
}
