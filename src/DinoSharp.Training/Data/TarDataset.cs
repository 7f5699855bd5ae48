using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>Images inside uncompressed tar files. Each is read on its own, at its place in the file.</summary>
public sealed class TarDataset : ImageDataset
{
    private readonly IReadOnlyList<TarMember> _members;
    private readonly IReadOnlyList<int>? _labels;
    private readonly ImageReadOptions _reading;

    internal TarDataset(string name, IReadOnlyList<TarMember> members, IReadOnlyList<int>? labels, IReadOnlyList<string> classes, ImageReadOptions reading)
    {
        if (members.Count == 0) throw new DinoSharpException($"{name} holds no images");
        (Name, _members, _labels, Classes, _reading) = (name, members, labels, classes, reading);
    }

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override int Count => _members.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Classes { get; }

    /// <inheritdoc/>
    public override int? LabelOf(int index) => _labels?[index] is >= 0 and int label ? label : null;

    /// <inheritdoc/>
    public override string PathOf(int index) => $"{_members[index].Tar}/{_members[index].Name}";

    /// <inheritdoc/>
    public override ImageBuffer Read(int index) => ImageFile.Read(Content(index), _reading);

    internal override ImageSource? FileOf(int index) => _reading == ImageReadOptions.Default ? Content(index) : null;

    private ImageSource Content(int index) => ImageSource.FromBytes(_members[index].ReadContent(), PathOf(index));
}
