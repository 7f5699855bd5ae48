using System.Reflection;
using System.Runtime.InteropServices;

namespace DinoSharp.Diagnostics;

/// <summary>What a machine offers to this library.</summary>
/// <param name="Version">Version of the library.</param>
/// <param name="OperatingSystem">Name and version.</param>
/// <param name="Runtime">The .NET runtime.</param>
/// <param name="Processor">Instruction sets and threads.</param>
/// <param name="Memory">Main memory.</param>
internal sealed record SystemReport(string Version, string OperatingSystem, string Runtime, Processor Processor, Memory Memory)
{
    /// <summary>Version of the library and, where it was built from a repository, the commit.</summary>
    public static string LibraryVersion { get; } = ShortenCommit(
        typeof(SystemReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion);

    /// <summary>Looks at the machine this process runs on.</summary>
    public static SystemReport Collect() => new(
        LibraryVersion, $"{RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})", RuntimeInformation.FrameworkDescription, Processor.Inspect(), Memory.Inspect());

    private static string ShortenCommit(string version) => version.Split('+') is [var number, { Length: > 9 } commit] ? $"{number}+{commit[..9]}" : version;
}
