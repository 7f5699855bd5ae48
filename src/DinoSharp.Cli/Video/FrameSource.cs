using System.Globalization;
using DinoSharp.Cli.Embedding;
using DinoSharp.Images;

namespace DinoSharp.Cli.Video;

/// <summary>The frames of a folder, of an animation or, through ffmpeg, of a video file. Frames are decoded one at a time.</summary>
internal sealed class FrameSource : IDisposable
{
    private readonly DirectoryInfo? _temporary;

    private FrameSource(IReadOnlyList<string> files, IReadOnlyList<(string Name, Func<ImageBuffer> Read)> frames, double framesPerSecond, DirectoryInfo? temporary = null) =>
        (Files, Frames, FramesPerSecond, _temporary) = (files, frames, framesPerSecond, temporary);

    /// <summary>The files that the user has them in.</summary>
    public IReadOnlyList<string> Files { get; }

    /// <summary>Name without extension, and how to read it.</summary>
    public IReadOnlyList<(string Name, Func<ImageBuffer> Read)> Frames { get; }

    /// <summary>Speed of the video; of a folder a guess.</summary>
    public double FramesPerSecond { get; }

    /// <summary>Finds the frames.</summary>
    /// <param name="path">A folder of pictures, an animated GIF or WebP, or a video file.</param>
    /// <param name="cancel">Stops ffmpeg.</param>
    public static async Task<FrameSource> OpenAsync(string path, CancellationToken cancel)
    {
        if (Directory.Exists(path))
        {
            string[] files = [.. FrameNames.InOrder(Directory.EnumerateFiles(path).Where(IsPicture))];
            if (files.Length == 0) throw new DinoSharpException($"{path} holds no pictures; expected the frames of a video as {string.Join(", ", InputImages.Extensions.Take(4))} …");
            return new FrameSource(files, [.. files.Select(file => (Path.GetFileNameWithoutExtension(file), (Func<ImageBuffer>)(() => ImageFile.Read(file).ToRgb8())))], 15);
        }

        if (!File.Exists(path)) throw new DinoSharpException($"{path}: there is no such file or folder");
        if (IsPicture(path))
        {
            int count = ImageFile.ReadInfo(path).Frames;
            if (count < 2) throw new DinoSharpException($"{path} is a single picture; expected a folder of frames, an animation or a video");
            return new FrameSource([path], [.. Enumerable.Range(0, count).Select(i => (Number(i), (Func<ImageBuffer>)(() => ImageFile.Read(path, new ImageReadOptions { Frame = i }).ToRgb8())))], 15);
        }

        DirectoryInfo folder = Directory.CreateTempSubdirectory("dino-frames-");
        try
        {
            double speed = await Ffmpeg.ExtractAsync(path, folder.FullName, cancel);
            string[] files = [.. Directory.EnumerateFiles(folder.FullName, "*.png").Order(StringComparer.Ordinal)];
            if (files.Length == 0) throw new DinoSharpException($"{path}: ffmpeg found no frames in it");
            return new FrameSource([path], [.. files.Select((file, i) => (Number(i), (Func<ImageBuffer>)(() => ImageFile.Read(file).ToRgb8())))], speed, folder);
        }
        catch
        {
            folder.Delete(recursive: true);
            throw;
        }
    }

    /// <summary>Deletes frames that ffmpeg made.</summary>
    public void Dispose() => _temporary?.Delete(recursive: true);

    private static bool IsPicture(string path) => InputImages.Extensions.Contains(Path.GetExtension(path)) && !Path.GetFileName(path).StartsWith('.');

    private static string Number(int frame) => frame.ToString("D5", CultureInfo.InvariantCulture);
}
