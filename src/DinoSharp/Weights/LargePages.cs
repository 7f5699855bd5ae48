using System.Runtime.InteropServices;

namespace DinoSharp.Weights;

/// <summary>Asks the system for pages of 2 MiB before a large piece of memory is written for the first time: a model of a gigabyte otherwise faults in some hundred thousand
/// pages of 4 KiB, which takes longer than reading it (docs/performance.md, "Loading"). Linux only; elsewhere, and where the system refuses, nothing changes.</summary>
internal static unsafe class LargePages
{
    private const nuint PageBytes = 2 << 20;
    private const int HugePage = 14; // MADV_HUGEPAGE

    /// <summary>Asks for the whole large pages inside a piece of memory.</summary>
    public static void Ask(void* memory, nuint bytes)
    {
        if (!OperatingSystem.IsLinux() || bytes < 2 * PageBytes) return;
        nuint first = ((nuint)memory + PageBytes - 1) & ~(PageBytes - 1), end = ((nuint)memory + bytes) & ~(PageBytes - 1);
        if (end > first) _ = Advise(first, end - first, HugePage);
    }

    [DllImport("libc", EntryPoint = "madvise")]
    private static extern int Advise(nuint address, nuint length, int advice);
}
