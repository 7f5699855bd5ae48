using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>A picture that was written.</summary>
/// <param name="Path">Its file.</param>
/// <param name="Replaced">Whether a file of that name was there before.</param>
internal sealed record SavedPicture(string Path, bool Replaced)
{
    // For looking at; nothing is computed from it.
    private const int JpegQuality = 85;

    /// <summary>Writes a picture.</summary>
    public static SavedPicture Save(ImageBuffer picture, string path)
    {
        bool replaced = File.Exists(path);
        picture.Save(path, JpegQuality);
        return new SavedPicture(path, replaced);
    }

    public override string ToString() => Replaced ? $"{Path} (replaced)" : Path;
}
