namespace DinoSharp.Cli.Pictures;

/// <summary>
/// Where results go. Without a choice of the user: the current folder, under the NAME of the picture and what it is; two results of one run never share a name,
/// and none has that of an input.
/// </summary>
/// <param name="inputs">Files that are read.</param>
internal sealed class OutputNames(params IEnumerable<string> inputs)
{
    /// <summary>What pictures can be written as.</summary>
    public static readonly IReadOnlyList<string> Pictures = [".png", ".jpg", ".jpeg"];

    private readonly HashSet<string> _taken = inputs.Select(Real).ToHashSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>Refuses a place that cannot work before anything is computed, and one that would destroy an input.</summary>
    /// <param name="path">The file that the user chose.</param>
    /// <param name="extensions">What it may end in.</param>
    /// <param name="inputs">Files that are read.</param>
    /// <param name="option">How the user chose it.</param>
    /// <exception cref="DinoSharpException">Another extension, no such folder, a folder itself, or one of the inputs.</exception>
    public static void Require(string path, IReadOnlyList<string> extensions, IEnumerable<string> inputs, string option = "--out")
    {
        string full = Path.GetFullPath(path);
        if (Directory.Exists(full)) throw new DinoSharpException($"{option} {path}: this is a folder, a file was expected");
        if (!extensions.Contains(Path.GetExtension(path).ToLowerInvariant())) throw new DinoSharpException($"{option} {path}: expected a name that ends in {string.Join(", ", extensions)}");
        if (!Directory.Exists(Path.GetDirectoryName(full))) throw new DinoSharpException($"{option} {path}: there is no folder {Path.GetDirectoryName(full)}; create it first");
        if (inputs.Any(input => Real(input) == Real(path))) throw new DinoSharpException($"{option} {path}: this is one of the inputs; give another name");
    }

    /// <summary>Makes a folder for results, unless one of them would destroy an input.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="results">Files that will be written there.</param>
    /// <param name="inputs">Files that are read.</param>
    /// <param name="option">How the user chooses it.</param>
    /// <exception cref="DinoSharpException">It is a file, or a result would replace an input.</exception>
    public static void PrepareFolder(string folder, IEnumerable<string> results, IEnumerable<string> inputs, string option)
    {
        if (File.Exists(folder)) throw new DinoSharpException($"{option} {folder}: this is a file, a folder was expected");
        HashSet<string> read = [.. inputs.Select(Real)];
        if (results.FirstOrDefault(result => read.Contains(Real(result))) is { } lost) throw new DinoSharpException($"{option} {folder}: {lost} is one of the inputs and would be replaced; give another folder");
        Directory.CreateDirectory(folder);
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
            if (_taken.Add(Real(file))) return file;
        }
    }

    /// <summary>Makes a folder for masks named as the pictures, see <see cref="PrepareFolder"/>.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="pictures">The pictures that get a mask.</param>
    /// <param name="inputs">Other files that are read.</param>
    /// <returns>The mask of each picture.</returns>
    public static IReadOnlyDictionary<string, string> PrepareMasks(string folder, IReadOnlyCollection<string> pictures, IEnumerable<string> inputs)
    {
        var names = new OutputNames();
        Dictionary<string, string> masks = pictures.ToDictionary(picture => picture, picture => names.For(picture, "png", folder));
        PrepareFolder(folder, masks.Values, [.. pictures, .. inputs], "--masks");
        return masks;
    }

    // The same file has one name, also in a folder that is a link.
    private static string Real(string path)
    {
        string full = Path.GetFullPath(path), folder = Path.GetDirectoryName(full) ?? full;
        return Path.Combine((Directory.Exists(folder) ? new DirectoryInfo(folder).ResolveLinkTarget(returnFinalTarget: true)?.FullName : null) ?? folder, Path.GetFileName(full));
    }
}
