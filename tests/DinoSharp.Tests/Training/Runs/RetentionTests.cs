using System.Text.Json.Nodes;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Runs;
using DinoSharp.Training.Runs.Monitoring;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Runs;

public sealed class RetentionTests : IDisposable
{
    private const string Trial = """
        name: trial
        seed: 5
        data: "Synthetic:size=64:count=40"
        loaderThreads: 1
        backbone: {family: visionTransformer, width: 32, depth: 2, heads: 2, feedForwardWidth: 64, layerScale: 1}
        heads: {dino: {prototypes: 48, bottleneckDim: 16, hiddenDim: 24}, ibot: {prototypes: 40, bottleneckDim: 12, hiddenDim: 20}}
        batchImages: 3
        views: {globalSizePixels: 48, localSizePixels: 32, localCrops: 2}
        checkpoints: {everySteps: 4, keepLast: 2}
        monitor: {everySteps: 3, probeImages: 6, probeSizePixels: 64}
        phases: [{steps: 12}]
        """;

    // Every step shrinks the weights to almost nothing and replaces them by noise.
    private const string Destructive = "optimizer={scaling: none, learningRate: 0.9, weightDecay: 1, momentum: 0, clipNorm: null, freezeBackboneSteps: 4}";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ADestructiveRunIsStoppedAndTheBestWeightsAreItsResult()
    {
        string start = Run("start", "phases=[{steps: 1}]").Teachers[0];
        var said = new List<string>();
        PretrainResult result = Run("run", said, false, $"initialWeights={start}", "retention={}", Destructive);
        Assert.NotNull(result.Stopped);
        Assert.Equal((6L, 3L), (result.Steps, result.KeptStep!.Value)); // frozen up to step 4: the look before step 3 is the last good one
        Assert.Contains(said, s => s.StartsWith("stopped after step 6: the features are worse than those of the starting weights; ", StringComparison.Ordinal));
        AssertSameWeights(start, result.Teachers[0]);

        // Going on does not talk it into more steps.
        byte[] kept = File.ReadAllBytes(result.Teachers[0]);
        PretrainResult again = Run("run", [], true, $"initialWeights={start}", "retention={}", Destructive);
        Assert.Equal((6L, 3L, result.Stopped), (again.Steps, again.KeptStep!.Value, again.Stopped));
        Assert.Equal(kept, File.ReadAllBytes(again.Teachers[0]));
    }

    [Fact]
    public void ARunThatLosesNothingGoesToItsEndAlsoInParts()
    {
        string start = Run("start", "phases=[{steps: 1}]").Teachers[0];
        string[] harmless = [$"initialWeights={start}", "retention={tolerance: 0.9}", "optimizer={scaling: none, learningRate: 1e-4, momentum: 0.9}"];
        PretrainResult whole = Run("whole", [], false, harmless);
        Assert.Equal((12L, 12L, null), (whole.Steps, whole.KeptStep!.Value, whole.Stopped));
        Assert.Throws<InvalidOperationException>(() => Run("killed", [], false, harmless, new Watch(p => { if (p.TotalStep == 7) throw new InvalidOperationException("as if killed"); })));
        PretrainResult again = Run("killed", [], true, harmless);
        Assert.Equal(File.ReadAllBytes(whole.Teachers[0]), File.ReadAllBytes(again.Teachers[0]));
        Assert.NotEqual(File.ReadAllBytes(start), File.ReadAllBytes(whole.Teachers[0]));
    }

    [Fact]
    public void TheBestWeightsAreThoseThatTheLooksBeforeACheckpointSpeakOf()
    {
        string start = Run("start", "phases=[{steps: 1}]").Teachers[0];
        string[] harmless = [$"initialWeights={start}", "retention={tolerance: 0.9}", "optimizer={scaling: none, learningRate: 1e-4, momentum: 0.9}"];
        Stopped(10, resume: false); // after the checkpoint of step 8 and the look before step 9
        Assert.Equal([6, 9], Best());
        Stopped(9, resume: true); // goes on from step 8, where nobody knows of step 9
        Assert.Equal([6], Best());
        File.Move(_folder.File("run", "best-00000006.safetensors"), _folder.File("aside"));
        Assert.Contains("best-00000006.safetensors is not there", Assert.Throws<DinoSharpException>(() => Run("run", [], true, harmless)).Message);
        File.Move(_folder.File("aside"), _folder.File("run", "best-00000006.safetensors"));
        PretrainResult result = Run("run", [], true, harmless);
        Assert.Equal(12, result.KeptStep);
        Assert.Equal(File.ReadAllBytes(_folder.File("run", "best-00000012.safetensors")), File.ReadAllBytes(result.Teachers[0]));
        Assert.Equal(12, Run("run", [], true, harmless).KeptStep); // once more, with nothing left to do

        void Stopped(long at, bool resume) => Assert.Throws<InvalidOperationException>(() => Run("run", [], resume, harmless, new Watch(p => { if (p.TotalStep == at) throw new InvalidOperationException("as if killed"); })));

        IEnumerable<int> Best() => Directory.GetFiles(_folder.File("run"), "best-*").Select(file => int.Parse(Path.GetFileNameWithoutExtension(file)[5..], System.Globalization.CultureInfo.InvariantCulture)).Order();
    }

    [Fact]
    public void WithLabelsTheHighestAccuracyIsKeptAndWithoutTheLatestThatIsNotWorse()
    {
        Assert.Equal(new Retention(100, null), Retention.Of([Look(0, 0.80), Look(100, 0.90), Look(200, 0.85)], 0.05));
        Assert.Equal(300, Retention.Of([Look(0, 0.80), Look(100, 0.90), Look(200, 0.85), Look(300, 0.90)], 0.05).BestStep);
        Retention lost = Retention.Of([Look(0, 0.80), Look(100, 0.79), Look(200, 0.75)], 0.05);
        Assert.Equal((0L, "knn_top1 was 0.8 at the start and is 0.75, more than 5 % less"), (lost.BestStep, lost.Worse));

        Assert.Equal(new Retention(200, null), Retention.Of([Look(0, null), Look(100, null, rank: 20), Look(200, null, rank: 9.6)], 0.05));
        Assert.Equal((100L, true), Retention.Of([Look(0, null), Look(100, null), Look(200, null, locality: 0.2)], 0.05) is var r ? (r.BestStep, r.Worse!.StartsWith("patch_locality was 0.3", StringComparison.Ordinal)) : default);
        Assert.NotNull(Retention.Of([Look(0, null), Look(100, null, rank: double.NaN)], 0.05).Worse);
    }

    [Theory]
    [InlineData("needs initialWeights", "retention={}")]
    [InlineData("needs monitor.everySteps", "retention={}", "initialWeights=x", "monitor.everySteps=null")]
    [InlineData("tolerance must be", "retention={tolerance: 1}", "initialWeights=x")]
    public void WhatCannotBeGuardedIsRefused(string message, params string[] changes) => Assert.Contains(message, Assert.Throws<DinoSharpException>(() => Recipe("run", changes).Validate()).Message);

    private static JsonObject Look(long step, double? knn, double rank = 10, double locality = 0.3) =>
        RunFigures.Line([new("step", step), new(RunFigures.KnnTop1, knn), new(RunFigures.ClassRank, rank), new(RunFigures.PatchRank, 30.0), new(RunFigures.Locality, locality)]);

    private static void AssertSameWeights(string a, string b)
    {
        using TensorFile left = TensorFile.Open(a), right = TensorFile.Open(b);
        Assert.Equal(left.Entries.Keys.Order(), right.Entries.Keys.Order());
        foreach (string name in left.Entries.Keys)
        {
            using Tensor x = left.Read(name), y = right.Read(name);
            Assert.True(x.bytes.SequenceEqual(y.bytes), name);
        }
    }

    private PretrainRecipe Recipe(string output, string[] changes) => PretrainRecipe.FromTree("trial.yaml", YamlText.Parse("trial.yaml", Trial), [.. changes, $"output={_folder.File(output)}"]);

    private PretrainResult Run(string output, params string[] changes) => Run(output, [], false, changes);

    private PretrainResult Run(string output, List<string> said, bool resume, params string[] changes) => Run(output, said, resume, changes, null);

    private PretrainResult Run(string output, List<string> said, bool resume, string[] changes, IProgress<PretrainProgress>? progress)
    {
        using var scope = NewDisposeScope();
        return Pretrainer.Run(Recipe(output, changes), new PretrainOptions { Resume = resume }, progress, new Said(said));
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
