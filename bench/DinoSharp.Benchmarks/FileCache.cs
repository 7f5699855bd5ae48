using System.Runtime.InteropServices;

namespace DinoSharp.Benchmarks;

/// <summary>Lets the system forget what it has read of a file, so that the next reader waits for the disk. Linux only.</summary>
internal static class FileCache
{
    private const int DontNeed = 4; // POSIX_FADV_DONTNEED

    public static void Forget(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.ReadWrite);
        stream.Flush(flushToDisk: true); // what is not written yet cannot be forgotten
        int error = Advise((int)stream.SafeFileHandle.DangerousGetHandle(), 0, 0, DontNeed);
        if (error != 0) throw new IOException($"posix_fadvise failed with {error}");
    }

    [DllImport("libc", EntryPoint = "posix_fadvise")]
    private static extern int Advise(int file, long offset, long length, int advice);
}
