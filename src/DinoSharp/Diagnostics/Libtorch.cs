using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using TorchSharp;

namespace DinoSharp.Diagnostics;

/// <summary>The native library that computes: whether it loads, what it is and how many threads it uses.</summary>
/// <param name="TorchSharpVersion">The managed side.</param>
/// <param name="Error">Why libtorch does not load; null if it does.</param>
/// <param name="Path">The loaded library.</param>
/// <param name="Version">Version of libtorch; null where it does not say.</param>
/// <param name="CpuCapability">The instruction set that its own kernels use, for example <c>AVX512</c>; null where it does not say.</param>
/// <param name="Backends">Its matrix libraries with their versions.</param>
/// <param name="Threads">Threads within an operation.</param>
/// <param name="CudaDevices">Usable NVIDIA GPUs.</param>
/// <param name="Libstdcxx">The C++ runtime library found on a Linux system; null elsewhere or if there is none.</param>
/// <param name="LibstdcxxIsCurrent">Whether it has the version that libLibTorchSharp.so names; null if there is none.</param>
/// <param name="NativeFix">State of libLibTorchSharp.so beside the program, in words; null where it does not apply.</param>
internal sealed record Libtorch(
    string TorchSharpVersion,
    string? Error,
    string? Path,
    string? Version,
    string? CpuCapability,
    IReadOnlyList<string> Backends,
    int Threads,
    int CudaDevices,
    string? Libstdcxx,
    bool? LibstdcxxIsCurrent,
    string? NativeFix)
{
    private static volatile bool _loads;

    /// <summary>Loads libtorch into this process if that has not happened, and asks it.</summary>
    public static Libtorch Inspect()
    {
        string managed = typeof(torch).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";
        string library = "";
        bool? current = OperatingSystem.IsLinux() ? NativeLibraryFix.SystemProvidesVersion(out library) : null;
        var report = new Libtorch(managed, null, null, null, null, [], 0, 0, library.Length > 0 ? library : null, current, DescribeFix());
        if (LoadError() is { } error) return report with { Error = error };
        try
        {
            int threads = torch.get_num_threads();
            string config = ShowConfig();
            string? After(string pattern) => Regex.Match(config, pattern) is { Success: true } match ? match.Groups[1].Value : null;
            (string Name, string? Version)[] backends =
            [
                ("MKL", After(@"Math Kernel Library Version ([\d.]+)")), ("oneDNN", After(@"MKL-DNN v([\d.]+)")), ("OpenMP", After(@"OpenMP \d+ \(a\.k\.a\. OpenMP ([\d.]+)")),
            ];
            return report with
            {
                Path = LoadedFrom(),
                Version = After(@"TORCH_VERSION=([\d.]+)"),
                CpuCapability = After(@"CPU capability usage: (\w+)"),
                Backends = [.. backends.Where(backend => backend.Version is not null).Select(backend => $"{backend.Name} {backend.Version}")],
                Threads = threads,
                CudaDevices = torch.cuda.is_available() ? torch.cuda.device_count() : 0,
            };
        }
        catch (Exception e) when (e is TypeInitializationException or DllNotFoundException or BadImageFormatException or NotSupportedException or FileNotFoundException)
        {
            while (e is TypeInitializationException { InnerException: { } inner }) e = inner;
            return report with { Error = e.Message.Split('\n')[0].Trim() };
        }
    }

    /// <summary>Throws, saying what to do, if libtorch cannot be loaded.</summary>
    public static void Require()
    {
        if (_loads) return;
        FirstUse.WaitForLibtorch();
        _loads = LoadError() is null;
        if (_loads) return;
        Advice problem = SystemReport.Collect().Advice.First(advice => advice.IsProblem);
        throw new DinoSharpException($"{problem.What}. To do: {problem.ToDo}. 'dino doctor' shows the whole picture.");
    }

    /// <summary>Whether this libtorch could use a GPU; asked of its files, so that it need not be loaded.</summary>
    public static bool MayHaveGpu => InstalledLibtorch.Folder is not null || Beside(OperatingSystem.IsWindows() ? "torch_cuda.dll" : "libtorch_cuda.so") is not null;

    /// <summary>Tells a GPU to multiply float32 as float32. Otherwise convolutions keep 10 bits of the mantissa (TF32), by libtorch's default, and the first layer of every network is one.</summary>
    public static void UseFullFloat32()
    {
        torch.backends.cuda.matmul.allow_tf32 = false;
        torch.backends.cudnn.allow_tf32 = false;
    }

    /// <summary>Why the native libraries beside the program do not load; null if they do or if there are none and TorchSharp must look elsewhere.</summary>
    /// <remarks>Asked before TorchSharp is, because TorchSharp answers a failure by copying all of libtorch and by printing its search to stdout.</remarks>
    internal static string? LoadError()
    {
        (string torch, string bridge) = OperatingSystem.IsWindows() ? ("torch_cpu.dll", "LibTorchSharp.dll")
            : OperatingSystem.IsMacOS() ? ("libtorch_cpu.dylib", "libLibTorchSharp.dylib") : ("libtorch_cpu.so", "libLibTorchSharp.so");
        string? installed = InstalledLibtorch.Folder, first = Beside(torch), second = Beside(bridge);
        if (second is null || (installed is null && first is null)) return null;
        try
        {
            if (installed is not null) InstalledLibtorch.Load(installed);
            else NativeLibrary.Load(first!);
            NativeLibrary.Load(second);
            return null;
        }
        catch (DinoSharpException e)
        {
            return e.Message;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            string[] reasons = e.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
            return reasons.FirstOrDefault(reason => reason.Contains("GLIBC", StringComparison.Ordinal)) ?? reasons[0];
        }
    }

    private static string? Beside(string library) => new[] { "", System.IO.Path.Combine("runtimes", RuntimeInformation.RuntimeIdentifier, "native") }
        .Select(folder => System.IO.Path.Combine(AppContext.BaseDirectory, folder, library)).FirstOrDefault(File.Exists);

    /// <summary>Where libtorch was loaded from; null if the system does not tell.</summary>
    internal static string? LoadedFrom()
    {
        using Process self = Process.GetCurrentProcess();
        return self.Modules.Cast<ProcessModule>().Select(module => module.FileName).FirstOrDefault(file => file.Contains("torch_cpu", StringComparison.Ordinal));
    }

    private static string? DescribeFix()
    {
        if (!OperatingSystem.IsLinux()) return null;
        string? file = Beside("libLibTorchSharp.so");
        return file is null ? "not beside the program" : NativeLibraryFix.Inspect(File.ReadAllBytes(file)).Reason;
    }

    /// <summary>What libtorch says of its build; empty where its C++ interface cannot be called this way.</summary>
    /// <remarks>
    /// TorchSharp does not expose <c>at::show_config</c>. On Linux it returns a <c>std::string</c> through a hidden pointer (Itanium C++ ABI),
    /// laid out as pointer, length and 16 bytes of small text (libstdc++ cxx11 ABI, which the symbol's name states).
    /// </remarks>
    private static unsafe string ShowConfig()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64) return "";
        if (LoadedFrom() is not { } path || !NativeLibrary.TryGetExport(NativeLibrary.Load(path), "_ZN2at11show_configB5cxx11Ev", out nint function)) return "";
        nint* text = stackalloc nint[4];
        ((delegate* unmanaged<nint*, nint*>)function)(text);
        string result = Marshal.PtrToStringUTF8(text[0], checked((int)text[1]));
        if (text[0] != (nint)(text + 2)) NativeMemory.Free((void*)text[0]); // long text lives on the C heap, which operator new uses
        return result;
    }
}
