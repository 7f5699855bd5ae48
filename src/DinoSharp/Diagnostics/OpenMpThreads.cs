using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DinoSharp.Diagnostics;

/// <summary>How long libtorch's threads stay awake after an operation. Theirs and ours (<see cref="Inference.Workers"/>) take turns on the same cores: by its default a thread of
/// libtorch's OpenMP library waits awake for milliseconds, while the phase of ours that follows has lost a core.</summary>
/// <remarks>A setting of the environment that the library reads when it is loaded. It costs libtorch nothing that can be measured, and made a training step 1.5 times
/// as fast on two cores (docs/performance.md, "Threads that wait").</remarks>
internal static class OpenMpThreads
{
    /// <summary>Rounds of waiting awake; a fraction of a millisecond.</summary>
    public const string Variable = "GOMP_SPINCOUNT", Rounds = "10000";

    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255:The 'ModuleInitializer' attribute should not be used in libraries", Justification = "nothing later is sure to come before libtorch")]
    internal static void Prepare()
    {
        if (OperatingSystem.IsLinux() && !Array.Exists(["OMP_WAIT_POLICY", Variable], name => Environment.GetEnvironmentVariable(name) is not null)) Set(Variable, Rounds, 0);
    }

    // What .NET sets in its own table is not seen by libraries.
    [DllImport("libc", EntryPoint = "setenv")]
    private static extern int Set([MarshalAs(UnmanagedType.LPUTF8Str)] string name, [MarshalAs(UnmanagedType.LPUTF8Str)] string value, int replace);
}
