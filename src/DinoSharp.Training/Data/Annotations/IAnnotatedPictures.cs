namespace DinoSharp.Training.Data.Annotations;

/// <summary>What a fit needs to know of annotated pictures, whatever the annotations are.</summary>
/// <typeparam name="TSelf">The kind of annotations.</typeparam>
internal interface IAnnotatedPictures<TSelf>
{
    /// <summary>What it is, for messages.</summary>
    public string Name { get; }

    /// <summary>Files of the pictures. [N]</summary>
    public IReadOnlyList<string> Pictures { get; }

    /// <summary>Whether the annotations lie on the pixels as they are stored, whatever the EXIF orientation asks for.</summary>
    public bool AsStored { get; }

    /// <summary>Group of each; null if every picture stands alone. [N]</summary>
    public IReadOnlyList<string>? Groups { get; }

    /// <summary>Some of the pictures, with a suffix to the name.</summary>
    public TSelf Select(IReadOnlyList<int> indices, string suffix = "");

    /// <summary>Divides them into those to learn from and those to judge by.</summary>
    public (TSelf Train, TSelf Held) Divide(double share, int seed);
}
