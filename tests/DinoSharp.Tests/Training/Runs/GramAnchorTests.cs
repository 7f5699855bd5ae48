using DinoSharp.Training.Recipes;
using DinoSharp.Training.Runs;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Runs;

/// <summary>The three kinds of Gram anchor: what cannot work is refused before the first step, and the log says which teacher is in use since when.</summary>
public sealed class GramAnchorTests : IDisposable
{
    private const string Trial = """
        name: trial
        data: "Synthetic:size=64:count=40"
        loaderThreads: 1
        backbone: {family: visionTransformer, width: 32, depth: 2, heads: 2, feedForwardWidth: 64}
        heads: {dino: {prototypes: 48, bottleneckDim: 16, hiddenDim: 24}, ibot: {prototypes: 40, bottleneckDim: 12, hiddenDim: 20}}
        batchImages: 2
        views: {globalSizePixels: 48, localSizePixels: 32, localCrops: 2}
        checkpoints: {everySteps: 2, keepLast: 1, keepEverySteps: 4}
        monitor: {everySteps: null}
        phases:
          - {name: first, steps: 6}
          - {name: gram, steps: 3, losses: {gram: {mode: start}}}
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("{mode: checkpoint}", "mode Checkpoint needs the file")]
    [InlineData("{mode: start, checkpoint: early.safetensors}", "mode Start uses no checkpoint")]
    [InlineData("{mode: start, refreshEverySteps: 5}", "mode Start is never refreshed")]
    [InlineData("{mode: refreshed}", "mode Refreshed needs RefreshEverySteps above 0")]
    [InlineData("{mode: checkpoint, checkpoint: a, firstRefreshStep: 5}", "FirstRefreshStep and MaxRefreshes belong to mode Refreshed")]
    [InlineData("{mode: movingTeacher, checkpoint: a}", "mode MovingTeacher uses no checkpoint")]
    [InlineData("{mode: start, tokens: masked}", "one matrix per image is impossible")]
    [InlineData("{mode: start, weight: {start: 0, peak: 2, end: 2, warmupSteps: 9}}", "its parts need 9 steps, the run has 3")]
    public void ImpossibleCombinationsAreRefused(string gram, string message) =>
        Assert.Contains(message, Assert.Throws<DinoSharpException>(() => Recipe("run", $"phases.gram.losses.gram={gram}").Validate()).Message);

    [Fact]
    public void CropsForAnAnchorThatDoesNotLookAtThemAreRefused() => Assert.Contains(
        "the moving teacher as Gram anchor sees the ordinary global crops",
        Assert.Throws<DinoSharpException>(() => Recipe("run", "phases.gram.losses.gram={mode: movingTeacher}", "phases.gram.views.gramSizePixels=64").Validate()).Message);

    [Fact]
    public void AFileThatWillNotBeThereIsRefusedBeforeTheFirstStep()
    {
        Assert.Contains("phase gram: Gram anchoring: the checkpoint nowhere.safetensors is not there", Refusal("nowhere.safetensors"));
        Assert.Contains("will not be there yet: the phase begins after step 6, the file is of step 8", Refusal(Own(8)));
        Assert.Contains("will not be written: checkpoints are written every 2 steps", Refusal(Own(3)));
        Assert.False(Directory.Exists(_folder.File("run", "checkpoints")));
    }

    [Fact]
    public void ANetworkOfAnotherSizeIsRefusedBeforeTheFirstStep()
    {
        string other = Run("other", [], "phases=[{steps: 1}]", "backbone.depth=1").Teachers[0];
        Assert.Contains("is a network of 1 layers of width 32, the student has 2 of width 32", Refusal(other));
    }

    [Fact]
    public void AnEarlierCheckpointOfTheSameRunIsAnAnchorAndTheLogSaysSo()
    {
        var said = new List<string>();
        Run("run", said, "phases.gram.losses.gram={mode: refreshed, refreshEverySteps: 2, checkpoint: " + Own(4) + "}");
        Assert.Equal(
            [$"step 6: the Gram teacher is the checkpoint {Own(4)}, in use since step 6", "step 8: the Gram teacher is the teacher after 2 steps of this phase (replacement 1; one every 2 steps), in use since step 8"],
            said.Where(s => s.Contains("Gram teacher", StringComparison.Ordinal)));
        said.Clear();
        Run("moving", said, "phases.gram.losses.gram={mode: movingTeacher}");
        Assert.Contains("step 6: the Gram teacher is the moving teacher, another one at every step, in use since step 6", said);
    }

    [Fact]
    public void ShortIntervalsDoNotFillTheLog()
    {
        var said = new List<string>();
        Run("run", said, "phases.gram.steps=25", "phases.gram.losses.gram={mode: refreshed, refreshEverySteps: 1}");
        Assert.Equal(
            ["step 6: the Gram teacher is the teacher at the start of this phase", .. new[] { 1, 10, 20 }.Select(n => $"step {6 + n}: the Gram teacher is the teacher after {n} steps of this phase (replacement {n}; one every 1 steps)")],
            said.Where(s => s.Contains("Gram teacher", StringComparison.Ordinal)).Select(s => s[..s.LastIndexOf(',')]));
    }

    [Fact]
    public void AMapOfLargerCropsIsSmoothedInBFloat16Too() =>
        Assert.Equal(9, Run("run", [], "compute=bfloat16", "phases.gram.views.gramSizePixels=96", "phases.gram.losses.gram={mode: start, resizeAntialias: true}").Steps);

    [Fact]
    public void AnAnchorIsNotRemovedByLaterCheckpointsAndIsMissedWhenItIsGone()
    {
        string anchor = "phases.gram.losses.gram={mode: checkpoint, checkpoint: " + Own(2) + "}";
        foreach (int at in (int[])[3, 5])
        {
            using var stop = new CancellationTokenSource(); // writes a checkpoint of its own
            Assert.Throws<OperationCanceledException>(() => Run("run", [], at > 3, new Watch(p => { if (p.TotalStep == at) stop.Cancel(); }), stop.Token, anchor));
        }

        string kept = Path.GetDirectoryName(Own(2))!, aside = _folder.File("aside");
        Directory.Move(kept, aside);
        Assert.Contains($"the checkpoint {Own(2)} is not there", Assert.Throws<DinoSharpException>(() => Run("run", [], true, null, default, anchor)).Message);
        Directory.Move(aside, kept);
        Assert.Equal(9, Run("run", [], true, null, default, anchor).Steps);
    }

    private string Own(long step) => _folder.File("run", "checkpoints", $"step-{step:D8}", "teacher.safetensors");

    private string Refusal(string file) => Assert.Throws<DinoSharpException>(() => Run("run", [], "phases.gram.losses.gram={mode: checkpoint, checkpoint: " + file + "}")).Message;

    private PretrainRecipe Recipe(string output, params string[] changes) => PretrainRecipe.FromTree("trial.yaml", YamlText.Parse("trial.yaml", Trial), [.. changes, $"output={_folder.File(output)}"]);

    private PretrainResult Run(string output, List<string> said, params string[] changes) => Run(output, said, false, null, default, changes);

    private PretrainResult Run(string output, List<string> said, bool resume, IProgress<PretrainProgress>? progress, CancellationToken cancel, params string[] changes)
    {
        using var scope = NewDisposeScope();
        return Pretrainer.Run(Recipe(output, changes), new PretrainOptions { Resume = resume }, progress, new Said(said), cancel);
    }

    private sealed class Watch(Action<PretrainProgress> action) : IProgress<PretrainProgress>
    {
        public void Report(PretrainProgress value) => action(value);
    }

    private sealed class Said(List<string> lines) : IProgress<string>
    {
        public void Report(string value) => lines.Add(value);
    }
}
