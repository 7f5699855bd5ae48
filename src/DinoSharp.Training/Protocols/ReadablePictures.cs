using DinoSharp.Images;

namespace DinoSharp.Training.Protocols;

/// <summary>Pictures to score, one after the other: a damaged one is left out and told, so that what was computed before it is not lost.</summary>
internal static class ReadablePictures
{
    /// <summary>Does something with each picture.</summary>
    /// <param name="count">Number of pictures.</param>
    /// <param name="score">Reads and scores one.</param>
    /// <param name="progress">Told how many pictures are done, those left out included.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <returns>Which pictures were scored, and why the others were not; in order.</returns>
    public static (IReadOnlyList<int> Scored, IReadOnlyList<ImageException> Skipped) ForEach(int count, Action<int> score, IProgress<long>? progress, CancellationToken cancel)
    {
        var (scored, skipped) = (new List<int>(), new List<ImageException>());
        for (int i = 0; i < count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            try
            {
                score(i);
                scored.Add(i);
            }
            catch (ImageException error)
            {
                skipped.Add(error);
            }

            progress?.Report(i + 1);
        }

        return (scored, skipped);
    }
}
