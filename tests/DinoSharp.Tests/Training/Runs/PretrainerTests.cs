using System.Text.Json.Nodes;
using DinoSharp.Backbones;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Runs;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Runs;

public sealed class PretrainerTests : IDisposable
{
    private const string Trial = """
        name: trial
        seed: 5
        data: "Synthetic:size=64:count=40"
        loaderThreads: 1
        backbone: {family: visionTransformer, width: 32, depth: 2, heads: 2, feedForwardWidth: 64, dropPathRate: 0.2}
        heads: {dino: {prototypes: 48, bottleneckDim: 16, hiddenDim: 24}, ibot: {prototypes: 40, bottleneckDim: 12, hiddenDim: 20}}
        batchImages: 3
        views: {globalSizePixels: 48, localSizePixels: 32, localCrops: 2}
        checkpoints: {everySteps: 4, keepLast: 2}
        monitor: {logEverySteps: 1}
        phases:
          - {name: first, steps: 5}
          - {name: gram, steps: 4, losses: {gram: {mode: refreshed, refreshEverySteps: 2, weight: 1}}}
          - {name: large, steps: 3, start: fromTeacher, batchImages: 2, views: {globalSizePixels: 64}}
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ARunThatIsStoppedGoesOnAsIfItHadNot()
    {
        PretrainResult whole = Run("whole");
        for (int stopAt = 2; stopAt < 12; stopAt += 3) // in each phase, and between two checkpoints
        {
            using var stop = new CancellationTokenSource();
            int wanted = stopAt;
            Assert.Throws<OperationCanceledException>(() => Run("parts", progress: new Watch(p => { if (p.TotalStep == wanted) stop.Cancel(); }), cancel: stop.Token, resume: stopAt > 2));
        }

        PretrainResult parts = Run("parts", resume: true);
        Assert.Equal(File.ReadAllBytes(whole.Teachers[0]), File.ReadAllBytes(parts.Teachers[0]));
        Assert.Equal(whole.LastReport, parts.LastReport);
        Assert.Equal(Losses("whole"), Losses("parts"));
        Assert.Equal(12, Losses("whole").Count);
    }

    [Fact]
    public void ARunThatIsKilledBetweenCheckpointsMakesTheSameStepsAgain()
    {
        PretrainResult whole = Run("whole");
        Assert.Throws<InvalidOperationException>(() => Run("killed", progress: new Watch(p => { if (p.TotalStep == 7) throw new InvalidOperationException("as if killed"); })));
        PretrainResult again = Run("killed", resume: true);
        Assert.Equal(File.ReadAllBytes(whole.Teachers[0]), File.ReadAllBytes(again.Teachers[0]));
        Assert.Equal(Losses("whole"), Losses("killed"));
    }

    [Fact]
    public void TheTeacherIsAModelForEverythingElse()
    {
        PretrainResult result = Run("run");
        using (BackboneWeights weights = BackboneWeights.Open(result.Teachers[0]))
        {
            Assert.False(weights.Normalization.IsGuess);
            Assert.Equal(2, Assert.IsType<VisionTransformerConfig>(weights.Config).Heads);
            using Backbone backbone = weights.CreateBackbone();
            Assert.Equal(32, backbone.Config.EmbedDim);
        }

        string huggingFace = _folder.File("hf");
        WeightConverter.Convert(result.Teachers[0], huggingFace, new WeightConversion { To = WeightLayout.HuggingFace });
        using BackboneWeights converted = BackboneWeights.Open(huggingFace);
        Assert.Equal(WeightLayout.HuggingFace, converted.Layout);
        using BackboneWeights checkpoint = BackboneWeights.Open(Directory.GetFiles(_folder.File("run"), "teacher.safetensors", SearchOption.AllDirectories).First(f => f.Contains("checkpoints")));
        Assert.Equal("backbone.", checkpoint.Prefix);
    }

    [Fact]
    public void ARunStartsFromAnotherRunsTeacherOrDistillsIt()
    {
        string teacher = Directory.GetFiles(Path.GetDirectoryName(Run("run").Teachers[0])!, "teacher.safetensors", SearchOption.AllDirectories).First(f => f.Contains("checkpoints"));
        var said = new List<string>();
        Run("more", ["phases=[{steps: 1}]", $"initialWeights={teacher}"], log: said);
        Assert.Contains(said, s => s.EndsWith("with its heads", StringComparison.Ordinal));
        PretrainResult students = Run("students", ["phases=[{steps: 2}]", $"distillation.teacher={teacher}", "students=[{name: a, backbone: {family: visionTransformer, width: 16, depth: 1, heads: 1, feedForwardWidth: 32}}, {name: b, backbone: {family: visionTransformer, width: 32, depth: 1, heads: 2, feedForwardWidth: 32}}]"]);
        Assert.Equal(["a", "b"], students.Teachers.Select(t => Path.GetFileName(Path.GetDirectoryName(t))));
    }

    [Fact]
    public void RefusedStepsStopTheRunAndCanBeReplayed()
    {
        var said = new List<string>();
        string message = Assert.Throws<DinoSharpException>(() => Run("run", ["optimizer={learningRate: 1e30, scaling: none, clipNorm: null}", "stopAfterRefusedSteps=2"], log: said)).Message;
        Assert.Contains("2 steps in a row were refused", message);
        Assert.Equal(2, said.Count(s => s.Contains("was refused", StringComparison.Ordinal)));
        string batch = message[(message.IndexOf("--replay ", StringComparison.Ordinal) + 9)..];
        string? again = Assert.Single(Pretrainer.Replay(batch)).NonFinite;
        Assert.NotNull(again);
        Assert.Contains(again, message);
    }

    [Fact]
    public void AnotherRecipeOrASecondRunIsRefused()
    {
        Run("run", ["phases=[{steps: 1}]"]);
        Assert.Contains("already holds a run", Assert.Throws<DinoSharpException>(() => Run("run", ["phases=[{steps: 1}]"])).Message);
        Assert.Contains("was started with another recipe: it had 'seed: 5', now it is 'seed: 6'", Assert.Throws<DinoSharpException>(() => Run("run", ["phases=[{steps: 1}]", "seed=6"], resume: true)).Message);
        Run("run", ["phases=[{steps: 1}]", "loaderThreads=2", "checkpoints.keepLast=1"], resume: true); // what changes no weight may change
    }

    [Fact]
    public void TheGramTeacherIsNamedWhenItChanges()
    {
        var said = new List<string>();
        Run("run", log: said);
        Assert.Contains("step 5: the Gram teacher is the teacher at the start of this phase", said);
        Assert.Contains("step 7: the Gram teacher is the teacher after 2 steps of this phase", said);
    }

    private PretrainResult Run(string output, string[]? changes = null, IProgress<PretrainProgress>? progress = null, List<string>? log = null, bool resume = false, CancellationToken cancel = default)
    {
        PretrainRecipe recipe = PretrainRecipe.FromTree("trial.yaml", YamlText.Parse("trial.yaml", Trial), [.. changes ?? [], $"output={_folder.File(output)}"]);
        using var scope = NewDisposeScope();
        return Pretrainer.Run(recipe, new PretrainOptions { Resume = resume }, progress, log is null ? null : new Said(log), cancel);
    }

    private List<(long Step, double Loss)> Losses(string output) =>
        [.. File.ReadLines(_folder.File(output, "metrics.jsonl")).Select(line => JsonNode.Parse(line)!).Select(line => ((long)line["step"]!, (double)line["total_loss"]!))];

    private sealed class Watch(Action<PretrainProgress> action) : IProgress<PretrainProgress>
    {
        public void Report(PretrainProgress value) => action(value);
    }

    private sealed class Said(List<string> lines) : IProgress<string>
    {
        public void Report(string value) => lines.Add(value);
    }
}
