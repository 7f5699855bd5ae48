using System.CommandLine;
using DinoSharp.Diagnostics;

namespace DinoSharp.Cli;

/// <summary><c>dino doctor</c>: what this machine offers.</summary>
internal sealed class DoctorVerb : Verb
{
    public DoctorVerb()
        : base("doctor", "Say what this machine offers and what to do about anything missing", "dino doctor", "dino doctor --json")
    {
    }

    protected override bool NeedsLibtorch => false;

    protected override bool Computes => false;

    protected override Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        SystemReport report = SystemReport.Collect();
        output.Show(report, Lines(report));
        return Task.FromResult(report.Advice.Any(advice => advice.IsProblem) ? ExitCode.Failed : ExitCode.Ok);
    }

    private static IEnumerable<string> Lines(SystemReport report)
    {
        (Processor processor, Memory memory, Libtorch torch) = (report.Processor, report.Memory, report.Libtorch);
        string limit = memory.ContainerLimitBytes is { } bytes ? $", limited to {Size(bytes)} by the container" : "";
        string[][] rows =
        [
            ["DinoSharp", report.Version],
            ["system", report.OperatingSystem],
            ["runtime", report.Runtime],
            ["processor", processor.Model],
            ["", string.Join(' ', processor.InstructionSets)],
            ["threads", $"{processor.LogicalProcessors} usable, on {processor.PhysicalCores?.ToString() ?? "an unknown number of"} cores{(torch.Error is null ? $"; libtorch uses {torch.Threads}" : "")}"],
            ["memory", $"{Size(memory.AvailableBytes)} available of {Size(memory.TotalBytes)}{limit}"],
            ["libtorch", torch.Error is null ? $"{torch.Version ?? "unknown version"}, {torch.CpuCapability ?? "unknown"} kernels, {string.Join(", ", torch.Backends)}" : "does not load"],
            .. torch.Path is null ? (string[][])[] : [["", $"{torch.Path} ({(InstalledLibtorch.Folder is null ? "came with the program" : InstalledLibtorch.Variable)})"]],
            ["", $"TorchSharp {torch.TorchSharpVersion}"],
            ["GPU", torch.CudaDevices > 0 ? $"{torch.CudaDevices} CUDA device(s)" : "none that this libtorch can use"],
            ["float32", report.Routes.Float32],
            ["bfloat16", report.Routes.BFloat16],
            ["int8", report.Routes.Int8],
            .. report.Routes.Chosen.TakeLast(5).Select((choice, i) => (string[])[i == 0 ? "chosen" : "", choice]),
            ["", $"kept in {report.Routes.Path}; delete it to have all choices measured again"],
            ["images", report.ImageLibrary.Name],
            .. torch.NativeFix is null ? (string[][])[] : [["libstdc++", $"{torch.Libstdcxx ?? "not found"}; {(torch.LibstdcxxIsCurrent == true ? "has" : "lacks")} {NativeLibraryFix.Version}"], ["", $"libLibTorchSharp.so: {torch.NativeFix}"]],
            .. report.Caches.Folders.Select((folder, i) => (string[])[i == 0 ? "weights" : "", $"{folder.Path} ({folder.Owner}): {(folder.Bytes is { } bytes ? Size(bytes) : "not there")}"]),
            ["token", report.Caches.AccessToken is { } place ? $"a Hugging Face access token is in {place}" : "no Hugging Face access token (only needed to download weights with other programs)"],
        ];
        foreach (string line in Output.Columns(rows)) yield return line;
        yield return "";
        foreach (Advice advice in report.Advice)
        {
            yield return $"{(advice.IsProblem ? "problem" : "note")}: {advice.What}";
            yield return "  to do: " + advice.ToDo;
        }

        if (report.Advice.Count == 0) yield return "nothing is missing";
    }

    private static string Size(long bytes) => bytes < 10L << 30 ? $"{bytes >> 20:N0} MiB" : $"{bytes / (double)(1 << 30):N1} GiB";
}
