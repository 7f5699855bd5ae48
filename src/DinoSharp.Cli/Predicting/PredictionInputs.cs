using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Video;
using DinoSharp.Images;

namespace DinoSharp.Cli.Predicting;

/// <summary>Pictures, and the frames of videos one by one.</summary>
internal sealed class PredictionInputs : IDisposable
{
    private static readonly string[] VideoExtensions = [".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"];

    private readonly List<FrameSource> _videos = [];
    private readonly List<(string Name, Func<ImageBuffer> Read)> _frames = [];
    private readonly InputImages _pictures;

    private PredictionInputs(InputImages pictures) => _pictures = pictures;

    /// <summary>How many there are; null if nobody knows.</summary>
    public long? Count => _pictures.Count(CancellationToken.None) + _frames.Count;

    /// <summary>What could not be found.</summary>
    public IReadOnlyList<SkippedInput> Skipped => _pictures.Skipped;

    /// <summary>Finds the pictures and unpacks the videos.</summary>
    /// <exception cref="DinoSharpException">A path is not there, or a video cannot be read.</exception>
    public static async Task<PredictionInputs> OpenAsync(IReadOnlyList<string> words, CancellationToken cancel)
    {
        bool IsVideo(string word) => File.Exists(word) && VideoExtensions.Contains(Path.GetExtension(word), StringComparer.OrdinalIgnoreCase);
        InputImages pictures = InputImages.Find(words.Where(word => !IsVideo(word)));
        if (pictures.Skipped.FirstOrDefault() is { } missing) throw new DinoSharpException($"{missing.Path}: {missing.Reason}");
        var inputs = new PredictionInputs(pictures);
        try
        {
            foreach (string video in words.Where(IsVideo))
            {
                FrameSource frames = await FrameSource.OpenAsync(video, cancel);
                inputs._videos.Add(frames);
                inputs._frames.AddRange(frames.Frames.Select(f => ($"{Path.GetFileNameWithoutExtension(video)}-{f.Name}", f.Read)));
            }

            return inputs;
        }
        catch
        {
            inputs.Dispose();
            throw;
        }
    }

    /// <summary>Name of each picture and how to read it, in order.</summary>
    public IEnumerable<(string Name, Func<ImageBuffer> Read)> Read() =>
        _pictures.Read().Select(p => (p.Name, (Func<ImageBuffer>)(() => ImageFile.Read(p.Open())))).Concat(_frames);

    public void Dispose()
    {
        foreach (FrameSource video in _videos) video.Dispose();
    }
}
