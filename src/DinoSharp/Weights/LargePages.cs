using System.Runtime.InteropServices;

namespace DinoSharp.Weights;

/// <summary>Asks the system for pages of 2 MiB before a large piece of memory is written for the first time: a model of a gigabyte otherwise faults in some hundred thousand
/// pages of 4 KiB, which takes longer than reading it (docs/performance.md, "Loading"). Linux only; elsewhere, and where the system refuses, nothing changes.</summary>
internal static unsafe class LargePages
{
    /// <summary>Size of a large page.</summary>
    public const nuint PageBytes = 2 << 20;

    private const nuint LeastBytes = 128 << 10; // what glibc takes from the system as a piece of its own
    private const int HugePage = 14; // MADV_HUGEPAGE

    /// <summary>Asks for the large pages that a piece of memory touches, those of its two ends included: weights of a network lie side by side, and what one of them
    /// leaves of a page belongs to the next. It changes no contents, and nothing where a page would not lie in one mapping as a whole.</summary>
    public static void Ask(void* memory, nuint bytes)
    {
        if (!OperatingSystem.IsLinux() || bytes < LeastBytes) return;
        nuint first = (nuint)memory & ~(PageBytes - 1), end = ((nuint)memory + bytes + PageBytes - 1) & ~(PageBytes - 1);
        _ = Advise(first, end - first, HugePage);
    }

    [DllImport("libc", EntryPoint = "madvise")]
    private static extern int Advise(nuint address, nuint length, int advice);
}
