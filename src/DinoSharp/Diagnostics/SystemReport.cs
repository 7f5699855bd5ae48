using System.Reflection;
using System.Runtime.InteropServices;
using DinoSharp.Images;
using DinoSharp.Images.Decoding;

namespace DinoSharp.Diagnostics;

/// <summary>What a machine offers to this library.</summary>
/// <param name="Version">Version of the library.</param>
/// <param name="OperatingSystem">Name and version.</param>
/// <param name="Runtime">The .NET runtime.</param>
/// <param name="Processor">Instruction sets and threads.</param>
/// <param name="Memory">Main memory.</param>
/// <param name="Libtorch">The native library that computes.</param>
/// <param name="ImageLibrary">The native library that decodes pictures.</param>
/// <param name="Caches">Where weights are looked for.</param>
/// <param name="Routes">What computes each precision here.</param>
internal sealed record SystemReport(
    string Version, string OperatingSystem, string Runtime, Processor Processor, Memory Memory, Libtorch Libtorch, ImageLibrary ImageLibrary, Caches Caches, ComputeRoutes Routes)
{
    /// <summary>Version of the library and, where it was built from a repository, the commit.</summary>
    public static string LibraryVersion { get; } = ShortenCommit(
        typeof(SystemReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion);

    /// <summary>Looks at the machine this process runs on.</summary>
    public static SystemReport Collect() => new(
        LibraryVersion, $"{RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})", RuntimeInformation.FrameworkDescription, Processor.Inspect(), Memory.Inspect(), Libtorch.Inspect(), ImageLibrary.Inspect(), Caches.Inspect(), ComputeRoutes.Inspect());

    /// <summary>What keeps the library from working here or slows it down, with what to do; empty if all is well.</summary>
    public IReadOnlyList<Advice> Advice => [.. Advise()];

    private IEnumerable<Advice> Advise()
    {
        if (Libtorch.Error is { } error) yield return new(true, $"libtorch does not load: {error}", HowToLoadLibtorch());
        if (ImageLibrary.Error is { } missing)
            yield return new(true, $"libvips does not load: {missing}", $"add the package NetVips.Native.{Platform} to the program that runs this library");
        if (Processor.Architecture == nameof(Architecture.X64) && !Processor.InstructionSets.Contains("avx2"))
            yield return new(false, "this processor has no AVX2, or the virtual machine hides it", "everything works, several times slower; let the virtual machine pass the host's processor on");
        if (Processor.AmxTilePaletteIsReadable == false)
            yield return new(false, "AMX is there, but CPUID leaf 0x1D reads zero, as in some virtual machines: oneDNN does not use AMX (MKL does)", "nothing is wrong; bfloat16 through oneDNN is slower than float32 here");
        if (Libtorch.Threads > Processor.LogicalProcessors)
            yield return new(false, $"libtorch uses {Libtorch.Threads} threads, but only {Processor.LogicalProcessors} can run at once", $"set OMP_NUM_THREADS={Processor.LogicalProcessors}");
        if (Libtorch is { Error: null, CudaDevices: 0 } && File.Exists("/proc/driver/nvidia/version"))
            yield return new(false, "there is an NVIDIA driver, but this libtorch cannot use a GPU", $"build with DinoSharpCuda=true (in a program of your own: reference libtorch-cuda-12.8-{Platform} instead of libtorch-cpu-{Platform}), or set {InstalledLibtorch.Variable} to the torch/lib of an installed PyTorch {InstalledLibtorch.Version}");
        if (Caches.Folders.All(folder => folder.Bytes is null or 0))
            yield return new(false, "there are no weights in any of the folders above", "'--model random:vits16' works without; '--model dinov3-vits16' says how to get the published ones");
        if (Memory.AvailableBytes < 2L << 30)
            yield return new(false, $"only {Memory.AvailableBytes >> 20:N0} MiB of memory are available", "use a small model and --size 224, or close other programs");
    }

    /// <summary>The platform in the names of native packages.</summary>
    private static string Platform => System.OperatingSystem.IsWindows() ? "win-x64" : System.OperatingSystem.IsMacOS() ? "osx-arm64" : "linux-x64";

    private string HowToLoadLibtorch()
    {
        if (InstalledLibtorch.Folder is not null) return $"set {InstalledLibtorch.Variable} to the folder torch/lib of PyTorch {InstalledLibtorch.Version}, or unset it";
        if (RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal))
            return "this system is built on musl (Alpine); libtorch needs glibc: use a Debian or Ubuntu image";
        if (!System.OperatingSystem.IsLinux()) return $"add the package libtorch-cpu-{Platform} to the program; on Windows also install the Visual C++ redistributable";
        if (Libtorch.Libstdcxx is null) return "install libstdc++ (Debian and Ubuntu: apt install libstdc++6)";
        return Libtorch.LibstdcxxIsCurrent == false && Libtorch.NativeFix?.Contains("which no relocation uses", StringComparison.Ordinal) == true
            ? "the program was built on a system with a newer libstdc++: build it here, or build it with -p:DinoSharpFixNativeLibrary=always"
            : "add the package libtorch-cpu-linux-x64 to the program that runs this library";
    }

    private static string ShortenCommit(string version) => version.Split('+') is [var number, { Length: > 9 } commit] ? $"{number}+{commit[..9]}" : version;
}

/// <summary>The native library that decodes pictures.</summary>
/// <param name="Name">Its name and version.</param>
/// <param name="Error">Why it does not load; null if it does.</param>
internal sealed record ImageLibrary(string Name, string? Error)
{
    /// <summary>Loads it into this process if that has not happened, and asks it.</summary>
    public static ImageLibrary Inspect() => new(ImageFile.NativeLibrary, VipsDecoder.LoadFailure?.Message.Split('\n')[0]);
}

/// <summary>Something missing or slow.</summary>
/// <param name="IsProblem">Whether the library cannot work before it is put right.</param>
/// <param name="What">What was found.</param>
/// <param name="ToDo">What to do about it.</param>
internal sealed record Advice(bool IsProblem, string What, string ToDo);
