using DinoSharp.Training.Data;

namespace DinoSharp.Training.Protocols.Benchmarks;

/// <summary>A video whose objects are marked in every frame.</summary>
/// <param name="Name">Name of the video.</param>
/// <param name="Frames">Files of the frames, in order.</param>
/// <param name="Masks">A palette PNG for each frame: the value of a pixel is its object, 0 is background.</param>
public sealed record VideoObjects(string Name, IReadOnlyList<string> Frames, IReadOnlyList<string> Masks)
{
    private const string Layouts = "JPEGImages/480p/VIDEO/NNNNN.jpg with Annotations/480p/VIDEO/NNNNN.png and ImageSets/2017/val.txt (DAVIS; also without the 480p, as YouTube-VOS and MOSE), "
        + "VIDEO/frames/NNNNN.jpg with VIDEO/masks/NNNNN.png, or frames/ and masks/ of one video";

    /// <summary>Finds the videos of a data set.</summary>
    /// <param name="root">A folder in the layout of DAVIS; or a folder of videos, each with <c>frames</c> and <c>masks</c>; or one such video.</param>
    /// <param name="split">The list in <c>ImageSets/2017</c> that names the videos; without a list all are taken.</param>
    /// <exception cref="DinoSharpException">Something is missing; the message names the file and the layout that is expected.</exception>
    public static IReadOnlyList<VideoObjects> Open(string root, string split = "val")
    {
        if (!Directory.Exists(root)) throw new DinoSharpException($"there is no folder {root}; expected is {Layouts}");
        if (Directory.Exists(Path.Combine(root, "JPEGImages"))) return OpenDavis(root, split);
        if (Directory.Exists(Path.Combine(root, "frames"))) return [Read(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(root))), Path.Combine(root, "frames"), Path.Combine(root, "masks"))];
        string[] videos = [.. Directory.EnumerateDirectories(root).Where(v => Directory.Exists(Path.Combine(v, "frames"))).Order(StringComparer.Ordinal)];
        return videos.Length == 0
            ? throw new DinoSharpException($"{root} holds no videos; expected is {Layouts}")
            : [.. videos.Select(v => Read(Path.GetFileName(v), Path.Combine(v, "frames"), Path.Combine(v, "masks")))];
    }

    private static IReadOnlyList<VideoObjects> OpenDavis(string root, string split)
    {
        string resolution = Directory.Exists(Path.Combine(root, "JPEGImages", "480p")) ? "480p" : "";
        string images = Path.Combine(root, "JPEGImages", resolution), masks = Path.Combine(root, "Annotations", resolution);
        string list = Path.Combine(root, "ImageSets", "2017", split + ".txt");
        string[] names = File.Exists(list) ? [.. File.ReadLines(list).Select(l => l.Trim()).Where(l => l.Length > 0)]
            : Directory.Exists(Path.Combine(root, "ImageSets")) ? throw new DinoSharpException($"{list}: there is no such list of videos; DAVIS 2017 has train.txt and val.txt there")
            : [.. Directory.EnumerateDirectories(images).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal)];
        return names.Length == 0 ? throw new DinoSharpException($"{root} names no videos; expected is {Layouts}") : [.. names.Select(name => Read(name, Path.Combine(images, name), Path.Combine(masks, name)))];
    }

    private static VideoObjects Read(string name, string frames, string masks)
    {
        foreach (string folder in (string[])[frames, masks])
        {
            if (!Directory.Exists(folder)) throw new DinoSharpException($"video {name}: there is no folder {folder}; expected is {Layouts}");
        }

        string[] files = [.. Directory.EnumerateFiles(frames).Where(ImageFolder.IsImage).Order(StringComparer.Ordinal)];
        if (files.Length < 3) throw new DinoSharpException($"video {name}: {frames} holds {files.Length} frames; three or more are needed, as the first and the last are not scored");
        string[] labels = [.. files.Select(f => Path.Combine(masks, Path.GetFileNameWithoutExtension(f) + ".png"))];
        if (labels.FirstOrDefault(l => !File.Exists(l)) is { } missing) throw new DinoSharpException($"video {name}: there is no mask {missing}; every frame needs one, named as the frame");
        return new VideoObjects(name, files, labels);
    }
}
