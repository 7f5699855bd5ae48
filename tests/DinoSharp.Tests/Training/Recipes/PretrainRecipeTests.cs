using DinoSharp.Backbones;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using Xunit;

namespace DinoSharp.Tests.Training.Recipes;

public sealed class PretrainRecipeTests
{
    private const string Small = """
        name: trial
        seed: 5
        data: "0.75 * photos + 0.25 * Synthetic:"
        backbone: {family: visionTransformer, width: 64, depth: 2, heads: 2, feedForwardWidth: 128, rotary: {rescaleCoordinates: null}}
        heads:
          dino: {prototypes: 128}
        batchImages: 8
        views: {globalSizePixels: 64, localSizePixels: 32, globalScale: [0.4, 1]}
        optimizer:
          learningRate: {peak: 1e-3, end: 1e-6, warmupSteps: 10}
          weightDecay: 0.05
          clipNorm: null
        phases:
          - name: first
            steps: 100
          - name: gram
            steps: 50
            start: fromTeacher
            batchImages: 4
            losses: {gram: {mode: refreshed, refreshEverySteps: 20, weight: {peak: 2, end: 2, warmupSteps: 5}}}
        """;

    [Fact]
    public void KeysReachTheirRecordsAndPhasesInheritFromTheTop()
    {
        PretrainRecipe recipe = Read(Small);
        recipe.Validate();
        Assert.Equal(5UL, recipe.Seed);
        Assert.Equal("0.75 * photos + 0.25 * Synthetic:", recipe.Data);
        var vit = Assert.IsType<VisionTransformerConfig>(recipe.Backbone);
        Assert.Equal((64, 2, 100.0), (vit.Width, vit.Depth, vit.Rotary.Base!.Value));
        Assert.Null(vit.Rotary.RescaleCoordinates);
        Assert.Equal((128, 2048), (recipe.Heads.Dino.Prototypes, recipe.Heads.Dino.HiddenDim));
        Assert.Equal([8, 4], recipe.Phases.Select(p => p.BatchImages));
        Assert.All(recipe.Phases, p => Assert.Equal((0.4, 1.0), p.Views.GlobalScale));
        Assert.All(recipe.Phases, p => Assert.Null(p.Optimizer.ClipNorm));
        Assert.Equal(Schedule.Constant(0.05), recipe.Phases[0].Optimizer.WeightDecay);
        Assert.Equal(GramMode.Refreshed, recipe.Phases[1].Losses.Gram!.Mode);
        Assert.Null(recipe.Phases[0].Losses.Gram);
        Assert.Equal(150, recipe.TotalSteps());
    }

    [Fact]
    public void WrittenOutInFullItReadsBackTheSame()
    {
        string full = Read(Small).ToYaml();
        Assert.Equal(full, Read(full).ToYaml());
        string channels = Read(Small, "views.normalization={mean: [0.5], std: [0.25]}").ToYaml();
        Assert.Equal(channels, Read(channels).ToYaml());
        Assert.Contains("gramSizePixels: 96", Read(Small, "phases.gram.views.gramSizePixels=96").ToYaml());
    }

    [Fact]
    public void ChangesCountInEveryPhaseOrInOne()
    {
        Assert.Equal([2, 2], Read(Small, "batchImages=2").Phases.Select(p => p.BatchImages));
        Assert.Equal([100L, 7L], Read(Small, "phases.gram.steps=7").Phases.Select(p => p.Steps));
        Assert.Equal([9L, 50L], Read(Small, "phases.0.steps=9").Phases.Select(p => p.Steps));
        PretrainRecipe one = Read(Small, "phases.gram.views.globalSizePixels=96", "views.localCrops=3", "phases.gram.views.globalScale.0=0.5");
        Assert.Equal([(64, 3, 0.4), (96, 3, 0.5)], one.Phases.Select(p => (p.Views.GlobalSizePixels, p.Views.LocalCrops, p.Views.GlobalScale.Min)));
        PretrainRecipe changed = Read(Small, "optimizer.learningRate.peak=0.5", "backbone=dinov3-vits16", "data=other");
        Assert.All(changed.Phases, p => Assert.Equal(0.5, p.Optimizer.LearningRate.Peak));
        Assert.All(changed.Phases, p => Assert.Equal(10, p.Optimizer.LearningRate.WarmupSteps));
        Assert.Equal(Presets.Find("dinov3-vits16").Config, changed.Backbone);
        Assert.Equal("other", changed.Data);
    }

    [Theory]
    [InlineData("optimzer: {}", "line 2: unknown key 'optimzer'; did you mean 'optimizer'?")]
    [InlineData("optimizer: {learningrate: 1}", "line 2: phases[0].optimizer: unknown key 'learningrate'; did you mean 'learningRate'?")]
    [InlineData("steps: many", "line 2: phases[0].steps: expected a whole number of type Int64, found 'many'")]
    [InlineData("steps: 1.5", "line 2: phases[0].steps: expected a whole number, found '1.5'")]
    [InlineData("batchImages: 99999999999", "batchImages: expected a whole number of type Int32, found '99999999999'")]
    [InlineData("compute: bf16", "compute: there is no choice 'bf16'; known: float32, bfloat16")]
    [InlineData("recomputeActivations: yes", "expected true or false, found 'yes'")]
    [InlineData("views: [1, 2]", "views: expected keys and values, found a list of 2")]
    [InlineData("views: {globalScale: [1]}", "globalScale: expected a list of 2 values, found a list of 1")]
    [InlineData("views: {normalization: {mean: [0.5], std: [0]}}", "deviations above 0")]
    [InlineData("optimizer: {clipNorm: .nan}", "clipNorm: expected a number, found '.nan'")]
    [InlineData("backbone: dinov3-vits17", "line 2: backbone: there is no network named")]
    [InlineData("backbone: {family: resnet}", "there is no family 'resnet'")]
    [InlineData("data: [photos]", "data: expected a text, found a list of 1")]
    [InlineData("seed: [", "no valid YAML")]
    [InlineData("seed: 1\nseed: 2", "no valid YAML")]
    public void WhatIsWrongIsNamedWithItsLine(string line, string message)
    {
        string text = "name: x\n" + line + (line.StartsWith("steps", StringComparison.Ordinal) ? "" : "\nsteps: 5") + (line.StartsWith("backbone", StringComparison.Ordinal) ? "" : "\nbackbone: dinov3-vits16") + (line.StartsWith("data", StringComparison.Ordinal) ? "" : "\ndata: photos");
        Assert.Contains(message, Assert.Throws<DinoSharpException>(() => Read(text)).Message);
    }

    [Theory]
    [InlineData("nonsense", "write key=value")]
    [InlineData("batchimages=3", "did you mean 'batchImages'?")]
    [InlineData("phases.gramm.steps=3", "no entry 'gramm'; known: first, gram")]
    [InlineData("optimizer.clipnorm=3", "did you mean 'clipNorm'?")]
    [InlineData("seed.start=3", "'seed' is the single value")]
    public void AWrongChangeIsNamed(string change, string message) => Assert.Contains(message, Assert.Throws<DinoSharpException>(() => Read(Small, change)).Message);

    [Theory]
    [InlineData("phases.0.steps=5", "phase first: schedule of the learning rate: its parts need 10 steps, the run has 5")]
    [InlineData("microBatches=3", "MicroBatches 3 must divide BatchImages 8")]
    [InlineData("views.gramSizePixels=96", "phase first: views.gramSizePixels makes crops for a Gram teacher, but losses.gram is not set")]
    [InlineData("losses.koLeoNeighbours=9", "KoLeoNeighbours 9 must be between 1 and the group's 8 images")]
    [InlineData("phases.1.losses.gram.mode=start", "mode Start is never refreshed")]
    [InlineData("backbone.inputChannels=4", "normalization has 3 channels, the backbone takes 4")]
    [InlineData("phases.1.losses.gram.tokens=masked", "no patch is ever hidden", "masks.cropProbability=0")]
    [InlineData("optimizer.scalingImages=0", "ScalingImages must be above 0")]
    [InlineData("optimizer.learningRate={start: 0, peak: 1, end: 0, warmupSteps: 10, truncateExtra: 0.1, form: inclusiveWarmupCosine}", "cannot stretch a cosine of a single step", "phases.0.steps=11")]
    [InlineData("backbone.heads=7", "Width 64 must be a multiple")]
    public void WhatContradictsItselfIsRefusedBeforeTheRun(string change, string message, params string[] more) =>
        Assert.Contains(message, Assert.Throws<DinoSharpException>(() => Read(Small, [change, .. more]).Validate()).Message);

    [Theory]
    [InlineData("a/b", "name 'a/b' cannot be a folder name")]
    [InlineData("..", "name '..' cannot be a folder name")]
    [InlineData("Monitor", "name 'Monitor' is taken: the output folder of a run has checkpoints, monitor,")]
    [InlineData("recipe.yaml", "name 'recipe.yaml' is taken")]
    [InlineData("TWIN", "every student needs a name of its own")]
    public void NamesOfStudentsAreThoseOfFoldersThatAreFree(string name, string message)
    {
        const string Backbone = "backbone: {family: visionTransformer, width: 64, depth: 2, heads: 2}";
        string students = $"students=[{{name: twin, {Backbone}}}, {{name: '{name}', {Backbone}}}]";
        Assert.Contains(message, Assert.Throws<DinoSharpException>(() => Read(Small, "distillation={teacher: a.safetensors, targets: features}", students).Validate()).Message);
    }

    [Fact]
    public void ATextThatEndsWithAColonStaysAText() => Assert.Equal("Synthetic:", Read(Small, "data=Synthetic:").Data);

    [Fact]
    public void FeaturesAreDistilledWithoutTheRulesOfLossesThatAreNotUsed() =>
        Read(Small, "distillation={teacher: a.safetensors, targets: features}", "views.localCrops=0", "batchImages=1", "phases.gram.losses.gram=null").Validate();

    private static PretrainRecipe Read(string text, params string[] changes) => PretrainRecipe.FromTree("trial.yaml", YamlText.Parse("trial.yaml", text), changes);
}
