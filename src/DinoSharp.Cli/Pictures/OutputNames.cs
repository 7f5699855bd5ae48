namespace DinoSharp.Cli.Pictures;

/// <summary>Names for results whose place the user did not choose: in the current folder, NAME of the picture and what it is. Two results of one run never share a name.</summary>
internal sealed class OutputNames
{
    private readonly HashSet<string> _taken = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>A name such as <c>cat.pca.png</c>; <c>cat-2.pca.png</c> for a second picture called cat.</summary>
    /// <param name="picture">Path of the picture.</param>
    /// <param name="kind">What is made of it and the extension, for example <c>pca.png</c>.</param>
    /// <param name="folder">Where to; null: the current folder.</param>
    public string For(string picture, string kind, string? folder = null)
    {
        string name = Path.GetFileNameWithoutExtension(picture);
        for (int number = 1; ; number++)
        {
            string file = Path.Combine(folder ?? "", number == 1 ? $"{name}.{kind}" : $"{name}-{number}.{kind}");
            if (_taken.Add(Path.GetFullPath(file))) return file;
        }
    }
}
