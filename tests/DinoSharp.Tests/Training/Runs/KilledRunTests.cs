using System.Diagnostics;
using Xunit;

namespace DinoSharp.Tests.Training.Runs;

/// <summary>A process that is killed without warning, and another one that goes on: the weights at the end are those of a run that nothing happened to, bit for bit.</summary>
[Trait("Category", "Long")]
public sealed class KilledRunTests : IDisposable
{
    private const string Recipe = """
        name: trial
        data: "Synthetic:size=64:count=40"
        loaderThreads: 1
        backbone: {family: visionTransformer, width: 64, depth: 2, heads: 2, feedForwardWidth: 128, dropPathRate: 0.2}
        heads: {dino: {prototypes: 4096, bottleneckDim: 64, hiddenDim: 256}, ibot: {prototypes: 2048, bottleneckDim: 64, hiddenDim: 256}}
        batchImages: 2
        steps: 12
        views: {globalSizePixels: 48, localSizePixels: 32, localCrops: 2}
        losses: {gram: {mode: refreshed, refreshEverySteps: 5, weight: 1}}
        checkpoints: {everySteps: 3, keepLast: 1}
        monitor: {logEverySteps: 1}
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task AKilledRunGoesOnBitForBit(bool whileSaving)
    {
        File.WriteAllText(_folder.File("trial.yaml"), Recipe);
        await Finish("whole", resume: false);
        Assert.True(await Kill("killed", whileSaving), whileSaving ? "the process was never caught while it saved" : "the process ended before it was killed");
        await Finish("killed", resume: true);
        Assert.Equal(File.ReadAllBytes(_folder.File("whole", "teacher.safetensors")), File.ReadAllBytes(_folder.File("killed", "teacher.safetensors")));
        Assert.Empty(Directory.GetDirectories(_folder.File("killed", "checkpoints"), "*.unfinished"));
        Assert.Equal(12, File.ReadLines(_folder.File("killed", "metrics.jsonl")).Count(line => line.Contains("total_loss", StringComparison.Ordinal)));
    }

    private async Task Finish(string output, bool resume)
    {
        var outcome = await OtherProgram.RunAsync(_folder.Path, "dotnet", [Path.Combine(AppContext.BaseDirectory, "dino.dll"), .. Arguments(output, resume)]);
        outcome.Succeeded();
    }

    // Starts the run again and again from the beginning until it is caught at the right moment.
    private async Task<bool> Kill(string output, bool whileSaving)
    {
        for (int attempt = 0; attempt < 5; attempt++)
        {
            if (Directory.Exists(_folder.File(output))) Directory.Delete(_folder.File(output), recursive: true);
            var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "dino.dll"), .. Arguments(output, false)])
            {
                WorkingDirectory = _folder.Path,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using Process process = Process.Start(start)!;
            _ = process.StandardOutput.ReadToEndAsync();
            _ = process.StandardError.ReadToEndAsync();
            while (!process.HasExited && !(whileSaving ? IsSaving(output) : StepsOf(output) >= 5)) await Task.Delay(whileSaving ? 0 : 5);
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            bool caught = whileSaving ? UnfinishedOf(output).Length > 0 && File.Exists(_folder.File(output, "checkpoints", "step-00000003", "state.json")) : process.ExitCode != 0;
            if (caught) return true;
        }

        return false;
    }

    private string[] Arguments(string output, bool resume) => ["train", "trial.yaml", $"output={_folder.File(output)}", .. resume ? (string[])["--resume"] : []];

    // The first checkpoint must be there, so that there is something to go back to.
    private bool IsSaving(string output) => File.Exists(_folder.File(output, "checkpoints", "step-00000003", "state.json")) && UnfinishedOf(output).Length > 0;

    private string[] UnfinishedOf(string output) => Directory.Exists(_folder.File(output, "checkpoints")) ? Directory.GetDirectories(_folder.File(output, "checkpoints"), "*.unfinished") : [];

    private int StepsOf(string output)
    {
        string file = _folder.File(output, "metrics.jsonl");
        if (!File.Exists(file)) return 0;
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Split('\n').Count(line => line.Contains("total_loss", StringComparison.Ordinal));
    }
}
