using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>A folder of images, at any depth. Where every image lies in a subfolder, the first subfolders are the classes.</summary>
public static class ImageFolder
{
    private static readonly HashSet<string> Extensions = new(StringComparer.OrdinalIgnoreCase)
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".avif", ".bmp", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".dcm",
    };

    /// <summary>Lists the images of a folder, sorted by path. Hidden files and folders are left out; links are followed.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="labelled">Whether subfolders are classes; null: if there are at least two and no image lies beside them.</param>
    /// <param name="reading">How files are read; null for the defaults.</param>
    /// <exception cref="DinoSharpException">There is no such folder, it cannot be listed, or it holds no images.</exception>
    public static FileDataset Open(string path, bool? labelled = null, ImageReadOptions? reading = null)
    {
        if (!Directory.Exists(path))
            throw new DinoSharpException(File.Exists(path) ? $"{path} is a file; a folder of images is expected here" : $"there is no folder {path}");
        List<string> files = Find(path);
        if (files.Count == 0) throw new DinoSharpException($"{path} holds no images; files ending in {string.Join(" ", Extensions)} are looked for, at any depth");
        string[] folders = [.. files.Select(f => Path.GetRelativePath(path, f)).Select(f => f.IndexOf(Path.DirectorySeparatorChar) is >= 0 and int slash ? f[..slash] : "")];
        string[] classes = [.. folders.Distinct().Order(StringComparer.Ordinal)];
        bool divided = classes.Length >= 2 && classes[0].Length > 0;
        if (labelled == true && classes[0].Length == 0)
            throw new DinoSharpException($"{path} was said to hold a folder for each class, but images lie beside the folders, for example {files[Array.IndexOf(folders, "")]}");
        if (!(labelled ?? divided)) return new FileDataset(path, files, reading: reading);
        Dictionary<string, int> number = classes.Select((name, i) => (name, i)).ToDictionary(c => c.name, c => c.i);
        return new FileDataset(path, files, [.. folders.Select(f => number[f])], classes, reading: reading);
    }

    /// <summary>Whether a file name is that of an image.</summary>
    internal static bool IsImage(string name) => Extensions.Contains(Path.GetExtension(name));

    private static List<string> Find(string root)
    {
        var files = new List<string>();
        var visited = new HashSet<string>(StringComparer.Ordinal);
        Walk(new DirectoryInfo(root));
        files.Sort(StringComparer.Ordinal);
        return files;

        void Walk(DirectoryInfo folder)
        {
            // A link to a folder above would go round for ever.
            if (!visited.Add(folder.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? folder.FullName)) return;
            try
            {
                foreach (FileSystemInfo item in folder.EnumerateFileSystemInfos())
                {
                    if (item.Name.StartsWith('.') || item.Attributes.HasFlag(FileAttributes.Hidden)) continue;
                    if (item is DirectoryInfo inner) Walk(inner);
                    else if (IsImage(item.Name)) files.Add(item.FullName);
                }
            }
            catch (Exception error) when (error is UnauthorizedAccessException or IOException)
            {
                throw new DinoSharpException($"the folder {folder.FullName} cannot be listed: {error.Message}", error);
            }
        }
    }
}
