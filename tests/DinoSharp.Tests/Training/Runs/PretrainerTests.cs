using System.Text.Json.Nodes;
using DinoSharp.Backbones;
using DinoSharp.Inference;
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
        monitor: {logEverySteps: 1, everySteps: 3, probeSizePixels: 64, probeImages: 3}
        phases:
          - {name: first, steps: 5}
          - {name: gram, steps: 4, losses: {gram: {mode: refreshed, refreshEverySteps: 2, weight: 1}}}
          - {name: large, steps: 3, start: fromTeacher, batchImages: 2, views: {globalSizePixels: 64}}
        """;

    // Short sums are added in the same order by everybody.
    private static readonly string[] LongSums = ["heads.dino.hiddenDim=1100"];

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
        Assert.Equal([0, 3, 5, 6, 9, 12], Features("whole").Select(f => f.Step));
        Assert.Equal(Features("whole"), Features("parts"));
        AssertEventsAreTheFigures("whole");
        AssertEventsAreTheFigures("parts");
    }

    [Fact]
    public void TheReportShowsTheRunAndNeedsNothingElse()
    {
        PretrainResult result = Run("run");
        string page = File.ReadAllText(result.Report);
        Assert.StartsWith("<!doctype html>", page);
        Assert.DoesNotContain("<script", page, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("://", page, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("12, finished", page);
        Assert.Contains("Gram teacher: the teacher after 2 steps of this phase", page);
        Assert.Equal(6 + 1, page.Split("data:image/png;base64,").Length - 1); // at 0, 3, 5, 6, 9, 12, and the probe images
        foreach (string chart in (string[])["total loss", "loss terms", "gram loss", "learning rate", "images per second", "similarity of patches", "effective rank"]) Assert.Contains($">{chart}</text>", page);
        Assert.DoesNotContain(">k-nn top-1</text>", page); // nothing is labelled
        Assert.True(DinoSharp.Images.ImageFile.Read(_folder.File("run", "report.png")) is { Width: > 1000, Height: > 2000 });

        File.WriteAllLines(_folder.File("run", "metrics.jsonl"), [.. File.ReadLines(_folder.File("run", "metrics.jsonl")).Where(line => !line.Contains("patch_locality", StringComparison.Ordinal)).Take(7), "{\"step\": 7, \"tot"]);
        Directory.Delete(_folder.File("run", "monitor"), recursive: true);
        string part = File.ReadAllText(Pretrainer.Report(_folder.File("run")));
        Assert.Contains("7 of 12", part);
        Assert.DoesNotContain("data:image/png", part);
        Assert.Contains("is no folder of a training run", Assert.Throws<DinoSharpException>(() => Pretrainer.Report(_folder.Path)).Message);
        File.Delete(_folder.File("run", "metrics.jsonl"));
        Assert.Contains("holds no figures yet", Assert.Throws<DinoSharpException>(() => Pretrainer.Report(_folder.File("run"))).Message);
    }

    [Fact]
    public void LookingAtFeaturesChangesNoWeight()
    {
        PretrainResult watched = Run("watched"), alone = Run("alone", ["monitor.everySteps=null"]);
        Assert.Equal(File.ReadAllBytes(alone.Teachers[0]), File.ReadAllBytes(watched.Teachers[0]));
        Assert.Empty(Features("alone"));
        Assert.False(Directory.Exists(_folder.File("alone", "monitor")));
    }

    [Fact]
    public void ARunFromBeforeTheMonitorIsLookedAtFromItsCheckpoints()
    {
        Run("run", ["monitor.everySteps=null", "checkpoints.keepLast=10"]);
        File.Delete(_folder.File("run", "events.out.tfevents.dinosharp"));
        Run("run", ["checkpoints.keepLast=10"], resume: true);
        Run("whole");
        Assert.Equal([4, 5, 8, 9, 12], Features("run").Select(f => f.Step));
        Assert.Equal(Features("whole").Where(f => f.Step is 5 or 9 or 12), Features("run").Where(f => f.Step is 5 or 9 or 12));
        AssertEventsAreTheFigures("run");
    }

    [Fact]
    public void PatchSimilaritiesAreComparedWithThoseOfAReference()
    {
        string start = Run("start", ["phases=[{steps: 1}]"]).Teachers[0];
        Run("run", ["phases=[{steps: 2}]", $"initialWeights={start}", $"monitor.reference={start}"]);
        double[] distances = [.. Lines("run").Where(line => line["patch_locality"] is not null).Select(line => (double)line["patch_gram_distance"]!)];
        Assert.Equal(2, distances.Length);
        Assert.Equal(0, distances[0], 12);
        Assert.InRange(distances[1], 1e-12, 1);
        Assert.Contains(">gram distance</text>", File.ReadAllText(_folder.File("run", "report.html")));
        Assert.Contains("monitor.reference: ", Assert.Throws<DinoSharpException>(() => Run("none", ["backbone.patchSize=8", "views.patchSize=8", $"monitor.reference={start}"])).Message);
    }

    [Fact]
    public void NeighboursNameTheClassesOfLabelledImages()
    {
        const string Labelled = "monitor.labelled=Synthetic:size=64:count=30";
        Run("run", ["phases=[{steps: 2}]", Labelled, "monitor.labelledTest=Synthetic:size=64:count=6:seed=9"]);
        double[] top1 = [.. Lines("run").Where(line => line["knn_top1"] is not null).Select(line => (double)line["knn_top1"]!)];
        Assert.Equal(2, top1.Length);
        Assert.All(top1, t => Assert.Equal(Math.Round(t * 6) / 6, t, 9));
        Assert.Contains("has no classes", Assert.Throws<DinoSharpException>(() => Run("none", ["monitor.labelled=" + Unlabelled()])).Message);
        Assert.Contains("labelledTest is classified by labelled", Assert.Throws<DinoSharpException>(() => Run("none", ["monitor.labelledTest=" + Unlabelled()])).Message);
    }

    [Fact]
    public void ProbeImagesThatCannotBeReadDoNotStopTheRun()
    {
        string probes = Unlabelled();
        File.WriteAllText(Path.Combine(probes, "1.png"), "no picture"); // the middle one, which is chosen
        Run("run", ["phases=[{steps: 1}]", "monitor.probeImages=1", $"monitor.probes={probes}"]);
        Assert.Equal(2, Features("run").Count);
        foreach (string file in Directory.GetFiles(probes)) File.WriteAllText(file, "no picture");
        Assert.Contains("no image of", Assert.Throws<DinoSharpException>(() => Run("none", [$"monitor.probes={probes}"])).Message);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ARunGoesOnWithTheProductsItBeganWith(bool withOurs)
    {
        (Products first, Products other) = withOurs ? (Products.Own, Products.Libtorch) : (Products.Libtorch, Products.Own);
        Assert.SkipUnless(Kernels.Has(ComputeType.Float32, out string reason), reason);
        byte[] whole = File.ReadAllBytes(Run("whole", LongSums, routes: Chosen(first)).Teachers[0]);
        Assert.NotEqual(whole, File.ReadAllBytes(Run("other", LongSums, routes: Chosen(other)).Teachers[0])); // or the rest would prove nothing

        StopAfter(6, "parts", Chosen(first));
        Assert.Equal(whole, File.ReadAllBytes(Run("parts", LongSums, resume: true, routes: Chosen(other)).Teachers[0]));
    }

    [Fact]
    public void ARunWhoseProductsAreNotKnownOrNotToBeHadGoesOn()
    {
        Assert.SkipUnless(Kernels.Has(ComputeType.Float32, out string reason), reason);
        const string Ours = "\"Products\":{\"Float32\":\"Own\"}";
        StopAfter(6, "run", Chosen(Products.Own));
        string state = Directory.GetFiles(_folder.File("run", "checkpoints"), "state.json", SearchOption.AllDirectories).Order().Last(), text = File.ReadAllText(state);
        Assert.Contains(Ours, text);
        byte[] own = Resumed(Ours), libtorch = Resumed("\"Products\":{\"Float32\":\"Libtorch\"}"), unknown = Resumed("\"Products\":null");
        Assert.NotEqual(own, libtorch);
        Assert.Equal(own, unknown); // chosen as for a new run

        var said = new List<string>();
        Assert.Equal(libtorch, Resumed("\"Products\":{\"Float32\":\"Mkl\"}", said)); // no such product in float32, as on a processor without it
        Assert.Contains(said, s => s.StartsWith("until now the run multiplied in Float32 by MKL, but ", StringComparison.Ordinal));

        byte[] Resumed(string products, List<string>? log = null)
        {
            string copy = _folder.File($"copy-{Guid.NewGuid():N}");
            foreach (string file in Directory.GetFiles(_folder.File("run"), "*", SearchOption.AllDirectories).Where(f => !f.EndsWith("run.lock", StringComparison.Ordinal)))
            {
                string target = Path.Combine(copy, Path.GetRelativePath(_folder.File("run"), file));
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                File.Copy(file, target);
            }

            File.WriteAllText(Path.Combine(copy, Path.GetRelativePath(_folder.File("run"), state)), text.Replace(Ours, products, StringComparison.Ordinal));
            return File.ReadAllBytes(Run(Path.GetFileName(copy), LongSums, log: log, resume: true, routes: Chosen(Products.Own)).Teachers[0]);
        }
    }

    [Fact]
    public void ARunThatIsKilledBetweenCheckpointsMakesTheSameStepsAgain()
    {
        PretrainResult whole = Run("whole");
        Assert.Throws<InvalidOperationException>(() => Run("killed", progress: new Watch(p => { if (p.TotalStep == 7) throw new InvalidOperationException("as if killed"); })));
        PretrainResult again = Run("killed", resume: true);
        Assert.Equal(File.ReadAllBytes(whole.Teachers[0]), File.ReadAllBytes(again.Teachers[0]));
        Assert.Equal(Losses("whole"), Losses("killed"));
        Assert.Equal(Features("whole"), Features("killed"));
        AssertEventsAreTheFigures("killed");
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
        Assert.Single(Directory.GetDirectories(_folder.File("run", "checkpoints"))); // the steps before are not lost
    }

    [Fact]
    public void ARefusedBatchThatCannotBeKeptDoesNotStopTheRun()
    {
        Directory.CreateDirectory(_folder.File("run"));
        File.WriteAllText(_folder.File("run", "refused.unfinished"), "in the way, like a full disk");
        string message = Assert.Throws<DinoSharpException>(() => Run("run", ["optimizer={learningRate: 1e30, scaling: none, clipNorm: null}", "stopAfterRefusedSteps=2"])).Message;
        Assert.StartsWith("2 steps in a row were refused", message);
        Assert.Contains("Its batch could not be kept: the folder " + _folder.File("run", "refused"), message);
    }

    [Fact]
    public void OtherImagesOrOtherWeightsAreNotGoneOnWith()
    {
        string images = Unlabelled(), start = Run("start", ["phases=[{steps: 1}]"]).Teachers[0];
        string[] changes = ["phases=[{steps: 1}]", "monitor.everySteps=null", $"data=0.5 * {images} + 0.5 * Synthetic:size=64:count=9", $"initialWeights={start}"];
        Run("run", changes);
        string first = Path.Combine(images, "0.png"), further = Path.Combine(images, "3.png");
        File.Copy(first, further);
        Assert.Contains($"{images} had 3 images when the run began and has 4 now. Going on would not be the same run", Refusal());
        File.Delete(first);
        Assert.Contains($"{images} has 3 images as when the run began, but other ones: their names differ", Refusal());
        File.Move(further, first);
        Run("run", changes, resume: true);

        byte[] bytes = File.ReadAllBytes(start);
        bytes[^1] ^= 1;
        File.WriteAllBytes(start, bytes);
        Assert.Contains($"{start} (initialWeights) is another file than when the run began", Refusal());

        // A checkpoint from before these things were written down.
        string state = Directory.GetFiles(_folder.File("run", "checkpoints"), "state.json", SearchOption.AllDirectories).Single();
        File.WriteAllText(state, "{\"Phase\":0,\"PhaseStep\":1,\"RefusedInARow\":0}");
        var said = new List<string>();
        Run("run", changes, log: said, resume: true);
        Assert.Contains(said, s => s.EndsWith("whether they are the same cannot be checked", StringComparison.Ordinal));

        string Refusal() => Assert.Throws<DinoSharpException>(() => Run("run", changes, resume: true)).Message;
    }

    [Fact]
    public void AHealthyRunWhoseImagesAreLostKeepsItsSteps()
    {
        string images = Unlabelled();
        string[] files = Directory.GetFiles(images), changes = [$"data={images}", "phases=[{steps: 12}]", "checkpoints.everySteps=100", "monitor.everySteps=null"];
        PretrainResult whole = Run("whole", changes);
        byte[][] contents = [.. files.Select(File.ReadAllBytes)];
        string message = Assert.Throws<DinoSharpException>(() => Run("run", changes, progress: new Watch(p =>
        {
            foreach (string file in p.TotalStep == 2 ? files : []) File.WriteAllText(file, "no picture");
        }))).Message;
        Assert.Contains($"none of 3 images of {images} could be read", message);
        Assert.InRange(int.Parse(Path.GetFileName(Assert.Single(Directory.GetDirectories(_folder.File("run", "checkpoints"))))[5..], System.Globalization.CultureInfo.InvariantCulture), 2, 11);
        foreach ((string file, byte[] content) in files.Zip(contents)) File.WriteAllBytes(file, content);
        Assert.Equal(File.ReadAllBytes(whole.Teachers[0]), File.ReadAllBytes(Run("run", changes, resume: true).Teachers[0]));
    }

    [Fact]
    public void WhatAKilledProcessLeftIsRemovedAndNothingToGoOnFromIsSaid()
    {
        string leftover = _folder.File("run", "teacher.safetensors.0123456789abcdef0123456789abcdef.tmp"), own = _folder.File("run", "notes.tmp");
        Directory.CreateDirectory(_folder.File("run"));
        foreach (string file in (string[])[leftover, own]) File.WriteAllText(file, "");
        var said = new List<string>();
        Run("run", ["phases=[{steps: 1}]"], log: said, resume: true);
        Assert.Equal((false, true), (File.Exists(leftover), File.Exists(own)));
        Assert.Contains($"{_folder.File("run")} holds no checkpoint to go on from, so the run starts at its beginning", said);
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
        Assert.Contains("step 5: the Gram teacher is the teacher at the start of this phase, in use since step 5", said);
        Assert.Contains("step 7: the Gram teacher is the teacher after 2 steps of this phase (replacement 1; one every 2 steps), in use since step 7", said);
    }

    private PretrainResult Run(string output, string[]? changes = null, IProgress<PretrainProgress>? progress = null, List<string>? log = null, bool resume = false, CancellationToken cancel = default, RouteMemory? routes = null)
    {
        PretrainRecipe recipe = PretrainRecipe.FromTree("trial.yaml", YamlText.Parse("trial.yaml", Trial), [.. changes ?? [], $"output={_folder.File(output)}"]);
        using var scope = NewDisposeScope();
        return Pretrainer.Run(recipe, new PretrainOptions { Resume = resume, Routes = routes }, progress, log is null ? null : new Said(log), cancel);
    }

    private void StopAfter(long step, string output, RouteMemory routes)
    {
        using var stop = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => Run(output, LongSums, progress: new Watch(p => { if (p.TotalStep == step) stop.Cancel(); }), cancel: stop.Token, routes: routes));
    }

    // A cache folder in which a measurement came out like this.
    private RouteMemory Chosen(Products products)
    {
        var memory = new RouteMemory(_folder.File($"{products}", "routes.json"));
        memory.Keep(new Choice(ProductChoice.KeyOf(ComputeType.Float32), "linear layers", ComputeType.Float32, products, "as if measured"));
        return memory;
    }

    private List<(long Step, double Loss)> Losses(string output) => [.. Lines(output).Where(line => line["total_loss"] is not null).Select(line => ((long)line["step"]!, (double)line["total_loss"]!))];

    private List<(long Step, double Locality, double Rank)> Features(string output) =>
        [.. Lines(output).Where(line => line["patch_locality"] is not null).Select(line => ((long)line["step"]!, (double)line["patch_locality"]!, (double)line["patch_rank"]!))];

    private JsonNode[] Lines(string output) => [.. File.ReadLines(_folder.File(output, "metrics.jsonl")).Select(line => JsonNode.Parse(line)!)];

    // Every figure of the file of figures is an event with the same step, in the same order, and nothing else is.
    private void AssertEventsAreTheFigures(string output)
    {
        Tensorboard.Event[] events = EventLogTests.Read(_folder.File(output, "events.out.tfevents.dinosharp"));
        Assert.Equal("brain.Event:2", events[0].FileVersion);
        JsonNode[] lines = Lines(output);
        Assert.Equal(lines.Select(line => (long)line["step"]!), events.Skip(1).Select(e => e.Step));
        Assert.Equal(lines.Select(line => (long)line["step"]!).Order(), lines.Select(line => (long)line["step"]!));
        foreach ((JsonNode line, Tensorboard.Event written) in lines.Zip(events.Skip(1)))
        {
            foreach (string key in (string[])["total_loss", "patch_locality"])
            {
                Assert.Equal((float?)(double?)line[key], written.Summary.Value.SingleOrDefault(v => v.Tag.EndsWith("/" + key, StringComparison.Ordinal))?.SimpleValue);
            }

            Assert.Equal(line["patch_locality"] is not null, written.Summary.Value.Any(v => v.Tag == "features/dense" && v.Image.Width > 0));
        }
    }

    private string Unlabelled()
    {
        string folder = Directory.CreateDirectory(_folder.File("plain")).FullName;
        for (int i = 0; i < 3; i++) DinoSharp.Images.ImageBuffer.FromSamples<byte>(8, 8, 3, [.. Enumerable.Range(0, 192).Select(p => (byte)(p * (i + 7)))]).Save(Path.Combine(folder, $"{i}.png"));
        return folder;
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
