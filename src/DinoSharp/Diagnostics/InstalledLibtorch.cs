using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using TorchSharp;

namespace DinoSharp.Diagnostics;

/// <summary>The libtorch of a PyTorch that is installed already, in place of the one that came with the program: <c>DINOSHARP_LIBTORCH=…/site-packages/torch/lib</c>.</summary>
/// <remarks>TorchSharp's bridge names its libraries without folders, so the loader gives it those that are in the process already. TorchSharp itself would first open the ones
/// beside the program, a second libtorch in one process; it is told that this has happened.</remarks>
internal static class InstalledLibtorch
{
    /// <summary>Names the folder.</summary>
    public const string Variable = "DINOSHARP_LIBTORCH";

    /// <summary>What TorchSharp was built against: its C++ interface holds for this version only.</summary>
    public const string Version = "2.10.0";

    /// <summary>What the user named; null if nothing.</summary>
    public static string? Folder => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } folder ? folder : null;

    /// <summary>Opens the libraries of a folder and makes TorchSharp use them.</summary>
    /// <exception cref="DinoSharpException">There is no libtorch, or one of another version.</exception>
    /// <exception cref="DllNotFoundException">It does not load.</exception>
    public static void Load(string folder)
    {
        string libraries = Find(folder);
        foreach (string name in (string[])["c10", "torch_cpu", "c10_cuda", "torch_cuda", "torch"])
        {
            if (File.Exists(Path.Combine(libraries, FileName(name)))) NativeLibrary.Load(Path.Combine(libraries, FileName(name)));
        }

        Tell("nativeBackendLoaded");
        if (File.Exists(Path.Combine(libraries, FileName("torch_cuda")))) Tell("nativeBackendCudaLoaded");
    }

    /// <summary>The folder with the libraries, its version checked: the folder named, or <c>lib</c> in it.</summary>
    /// <exception cref="DinoSharpException">There is no libtorch, or one of another version.</exception>
    internal static string Find(string folder)
    {
        string library = FileName("torch_cpu");
        string libraries = ((string[])[folder, Path.Combine(folder, "lib")]).FirstOrDefault(place => File.Exists(Path.Combine(place, library)))
            ?? throw new DinoSharpException($"{Variable}={folder}: there is no {library} there; expected the folder torch/lib of an installed PyTorch {Version}, or a libtorch of that version");
        string above = Path.GetDirectoryName(Path.GetFullPath(libraries))!;
        (string file, string version) = VersionOf(above)
            ?? throw new DinoSharpException($"{Variable}={folder}: neither {Path.Combine(above, "version.py")} (of PyTorch) nor build-version (of libtorch) says which version it is; {Version} is needed");
        if (version.Split('+')[0] != Version)
            throw new DinoSharpException($"{Variable}={folder}: {file} says {version}, but this program needs exactly {Version}; install that version (pip install torch=={Version}), or unset {Variable} to use the libtorch that came with the program");
        return Path.GetFullPath(libraries);
    }

    private static (string File, string Version)? VersionOf(string folder)
    {
        string python = Path.Combine(folder, "version.py"), plain = Path.Combine(folder, "build-version");
        if (File.Exists(python) && Regex.Match(File.ReadAllText(python), @"^__version__\s*=\s*['""]([^'""]+)['""]", RegexOptions.Multiline) is { Success: true } match) return (python, match.Groups[1].Value);
        return File.Exists(plain) ? (plain, File.ReadAllText(plain).Trim()) : null;
    }

    private static string FileName(string name) => OperatingSystem.IsWindows() ? $"{name}.dll" : OperatingSystem.IsMacOS() ? $"lib{name}.dylib" : $"lib{name}.so";

    private static void Tell(string field) => (typeof(torch).GetField(field, BindingFlags.Static | BindingFlags.NonPublic)
        ?? throw new DinoSharpException($"{Variable} does not work with this version of TorchSharp; unset it")).SetValue(null, true);
}
