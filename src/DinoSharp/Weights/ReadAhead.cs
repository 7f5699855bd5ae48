namespace DinoSharp.Weights;

/// <summary>Reads a large file from start to end on a thread of its own, so that a disk is busy while tensors are converted: what is copied out afterwards lies in
/// the system's cache. Dispose it to stop.</summary>
internal sealed class ReadAhead : IDisposable
{
    // Below this size a disk is done before it matters.
    private const long LeastBytes = 64 << 20;

    private volatile bool _stop;

    /// <param name="path">The file. One that cannot be read is left to whoever needs it, whose message is better.</param>
    public ReadAhead(string path)
    {
        var file = new FileInfo(path);
        if (file.Exists && file.Length >= LeastBytes) new Thread(() => Run(path)) { IsBackground = true, Name = "DinoSharp read ahead" }.Start();
    }

    public void Dispose() => _stop = true;

    private void Run(string path)
    {
        try
        {
            using var handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, FileOptions.SequentialScan);
            byte[] piece = new byte[4 << 20];
            long offset = 0;
            for (int count = 1; count > 0 && !_stop; offset += count) count = RandomAccess.Read(handle, piece, offset);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The reader that waits for the numbers meets the same and says so.
        }
    }
}
