using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DinoSharp.Weights;

/// <summary>Reads a large file from start to end on a thread of its own, so that a disk is busy while tensors are converted: what is copied out afterwards lies in
/// the system's cache. Dispose it to stop.</summary>
internal sealed class ReadAhead : IDisposable
{
    // Below this size a disk is done before it matters.
    private const long LeastBytes = 64 << 20;

    private const int PieceBytes = 1 << 20, WillNeed = 3; // POSIX_FADV_WILLNEED; Linux leaves out what is longer than one request to the disk

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
            long length = RandomAccess.GetLength(handle);
            byte[] piece = OperatingSystem.IsLinux() ? [] : new byte[PieceBytes];
            for (long offset = 0; offset < length && !_stop; offset += PieceBytes)
            {
                if (OperatingSystem.IsLinux()) _ = Advise(handle, offset, PieceBytes, WillNeed); // without the copy that reading makes
                else if (RandomAccess.Read(handle, piece, offset) == 0) return;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The reader that waits for the numbers meets the same and says so.
        }
    }

    [DllImport("libc", EntryPoint = "posix_fadvise")]
    private static extern int Advise(SafeFileHandle file, long offset, long length, int advice);
}
