namespace DinoSharp.Cli.Pictures;

/// <summary>
/// Where results go. Without a choice of the user: the current folder, under the NAME of the picture and what it is; two results of one run never share a name.
/// </summary>
internal sealed class OutputNames
{
    /// <summary>What pictures can be written as.</summary>
    public static readonly IReadOnlyList<string> Pictures = [".png", ".jpg", ".jpeg"];

    private readonly HashSet<string> _taken = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Refuses a place that cannot work before anything is computed, and one that would destroy an input.</summary>
    /// <param name="path">The file that the user chose.</param>
    /// <param name="extensions">What it may end in.</param>
    /// <param name="inputs">Files that are read.</param>
    /// <exception cref="DinoSharpException">Another extension, no such folder, a folder itself, or one of the inputs.</exception>
    public static void Require(string path, IReadOnlyList<string> extensions, IEnumerable<string> inputs)
    {
        string full = Path.GetFullPath(path);
        if (Directory.Exists(full)) throw new DinoSharpException($"--out {path}: this is a folder, a file was expected");
        if (!extensions.Contains(Path.GetExtension(path).ToLowerInvariant())) throw new DinoSharpException($"--out {path}: expected a name that ends in {string.Join(", ", extensions)}");
        if (!Directory.Exists(Path.GetDirectoryName(full))) throw new DinoSharpException($"--out {path}: there is no folder {Path.GetDirectoryName(full)}; create it first");
        if (inputs.Any(input => Path.GetFullPath(input) == full)) throw new DinoSharpException($"--out {path}: this is one of the inputs; give another name");
    }

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
