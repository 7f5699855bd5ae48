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

    protected override Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        SystemReport report = SystemReport.Collect();
        output.Show(report, Lines(report));
        return Task.FromResult(ExitCode.Ok);
    }

    private static IEnumerable<string> Lines(SystemReport report) => Output.Columns(
    [
        ["DinoSharp", report.Version],
        ["system", report.OperatingSystem],
        ["runtime", report.Runtime],
        ["processor", report.Processor.Model],
        ["", string.Join(' ', report.Processor.InstructionSets)],
        ["threads", $"{report.Processor.LogicalProcessors} hardware threads on {report.Processor.PhysicalCores?.ToString() ?? "an unknown number of"} cores"],
        ["memory", $"{report.Memory.AvailableBytes >> 20:N0} MiB available of {report.Memory.TotalBytes >> 20:N0} MiB"],
    ]);
}
