using DinoSharp.Backbones;
using DinoSharp.Tests.Cli;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Recipes.Official;
using Xunit;

namespace DinoSharp.Tests.Training.Recipes;

public sealed class OfficialConfigTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Files => [.. Directory.GetFiles(Folder, "*.yaml", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(Folder, f))];

    private static string Folder => Path.Combine(Repository.Fixtures, "official-configs");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Files))]
    public void EveryKeyIsAccountedForAndTheRecipeReadsBack(string file)
    {
        OfficialConfig official = OfficialConfig.Read(Path.Combine(Folder, file));
        Assert.NotEmpty(official.Keys);
        Assert.Equal(official.Keys.Count, official.Keys.Select(k => k.Key).Distinct().Count());
        Assert.All(official.Keys.Where(k => k.Fate != KeyFate.Used), k => Assert.NotEmpty(k.Reason!));
        Assert.DoesNotContain(official.Keys, k => k.Reason?.Contains("no such key", StringComparison.Ordinal) == true);
        string yaml = official.Recipe.ToYaml();
        Assert.Equal(yaml, PretrainRecipe.FromTree("again", YamlText.Parse("again", yaml), []).ToYaml());
        official.Recipe.Validate(official.Recipe.About.Processes);
    }

    [Fact]
    public void TheSevenBillionStagesBecomeTheirPublishedValues()
    {
        OfficialConfig official = Read("dinov3_vit7b16_high_res_adapt.yaml");
        PretrainRecipe recipe = official.Recipe;
        PhaseRecipe phase = recipe.Phases[0];
        var published = (VisionTransformerConfig)Presets.Find("dinov3-vit7b16").Config;
        Assert.Equal(published with { DropPathRate = 0.4, Rotary = published.Rotary with { Precision = RotaryPrecision.BFloat16 } }, recipe.Backbone);
        Assert.Equal(30_000, phase.Steps);
        Assert.Equal([(512, 112, 768), (768, 112, 1152), (768, 168, 1152), (768, 224, 1152), (768, 336, 1152)], phase.Resolutions.Select(r => (r.GlobalSizePixels, r.LocalSizePixels, r.GramSizePixels!.Value)));
        Assert.Equal([0.3, 0.3, 0.3, 0.05, 0.05], phase.Resolutions.Select(r => r.Probability));
        Assert.Equal(7.07e-5, phase.Optimizer.ScaledLearningRate(2048).End, 7);
        Assert.Equal((16, true, 2), (phase.Losses.KoLeoGroupSize!.Value, phase.Losses.KoLeoAcrossProcesses, recipe.About.Processes));
        Assert.Equal((KeyFate.Refused, KeyFate.Refused), (Fate(official, "student.fp8_enabled"), Fate(official, "gram.ckpt")));
        Assert.Equal([KeyFate.Ignored, KeyFate.Ignored, KeyFate.Ignored, KeyFate.Used], new[] { "student.pos_embed_rope_dtype", "train.compile", "optim.dino_head_wd_multiplier", "schedules.lr.cosine_epochs" }.Select(k => Fate(official, k)));

        GramConfig gram = Read("dinov3_vit7b16_gram_anchor.yaml", "gram.ckpt=early.safetensors").Recipe.Phases[0].Losses.Gram!;
        Assert.Equal((GramMode.Refreshed, "early.safetensors", 10_000L, 1_010_000L, 3L), (gram.Mode, gram.Checkpoint, gram.RefreshEverySteps!.Value, gram.FirstRefreshStep, gram.MaxRefreshes!.Value));
        Assert.Equal([0L, 1, 3, 3], new long[] { 1_009_999, 1_010_000, 1_030_000, 1_200_000 }.Select(gram.RefreshesBefore));
    }

    [Fact]
    public void ChangesUseOfficialKeysAndOldSchedulesAreThoseOfTheFirstGeneration()
    {
        PretrainRecipe recipe = Read("vitl_im1k_lin834.yaml", "train.batch_size_per_gpu=2048", "optim.epochs=7", "student.arch=vit_small", "student.ffn_layer=swiglu64", "crops.rgb_mean=[0.43, 0.411, 0.296]", "crops.rgb_std=[0.213, 0.156, 0.143]").Recipe;
        Assert.Equal((8750L, 2048), (recipe.Phases[0].Steps, recipe.Phases[0].BatchImages));
        Assert.Equal((384, 1024), (recipe.Backbone.EmbedDim, ((VisionTransformerConfig)recipe.Backbone).FeedForwardWidth));
        Assert.Equal(DinoSharp.Images.Normalization.Sat, recipe.Phases[0].Views.Normalization);
        Assert.Equal(ScheduleForm.InclusiveWarmupCosine, recipe.Phases[0].Optimizer.LearningRate.Form);
        Assert.Equal(5.656854e-3, recipe.Phases[0].Optimizer.ScaledLearningRate(2048).Peak, 8);
    }

    [Fact]
    public void StudentsOfOneTeacherKeepWhatIsTheirs()
    {
        OfficialConfig official = Read("distillation_convnext/convnexts.yaml", "distillation.checkpoint_path=teacher.safetensors");
        PretrainRecipe recipe = official.Recipe;
        Assert.Equal(["tiny", "small", "base", "large"], recipe.Students.Select(s => s.Name));
        Assert.Equal([768, 768, 1024, 1536], recipe.Students.Select(s => s.Backbone.EmbedDim));
        Assert.Equal([2e-4, 2e-4, 1e-4, 1e-4], recipe.Students.Select(s => s.LearningRate!.Peak));
        Assert.Equal([0.04, 0.04, 0.02, 0.04], recipe.Students.Select(s => s.WeightDecay!.Start));
        Assert.Equal((32, 32, "teacher.safetensors"), (recipe.Phases[0].BatchImages, recipe.Phases[0].Views.PatchSize, recipe.Distillation!.Teacher));
        Assert.Contains(official.Keys, k => k.Key == "large: student.arch" && k.Value == "convnext_large");
        Assert.DoesNotContain(official.Keys, k => k.Fate == KeyFate.Refused);
        official.RequireNothingRefused();

        File.WriteAllText(_folder.File("a.yaml"), "optim: {clip_grad: 1}");
        File.WriteAllText(_folder.File("b.yaml"), "optim: {clip_grad: 2}");
        File.WriteAllText(_folder.File("base.yaml"), "multidistillation: {enabled: true, global_batch_size: 8, students: [{name: a, config_path: a.yaml}, {name: b, config_path: b.yaml}]}");
        Assert.Contains(OfficialConfig.Read(_folder.File("base.yaml")).Keys, k => k.Fate == KeyFate.Refused && k.Reason!.Contains("b differs from a in more than", StringComparison.Ordinal));
    }

    [Fact]
    public void TheLearningRateOfSeveralStudentsIsScaledByWhatEachProcessGetsInFull()
    {
        File.WriteAllText(_folder.File("a.yaml"), "optim: {clip_grad: 1}");
        File.WriteAllText(_folder.File("base.yaml"), "multidistillation: {enabled: true, global_batch_size: 1920, students: [{name: a, config_path: a.yaml, ranks_range: [0, 100]}, {name: b, config_path: a.yaml, ranks_range: [100, 296]}]}");
        PhaseRecipe phase = OfficialConfig.Read(_folder.File("base.yaml")).Recipe.Phases[0];
        Assert.Equal((1920, 1776), (phase.BatchImages, phase.Optimizer.ScalingImages));
        Assert.Equal(phase.Optimizer.LearningRate.Peak * 4 * Math.Sqrt(1776 / 1024.0), phase.Optimizer.ScaledLearningRate(1920).Peak, 12);
    }

    [Theory]
    [InlineData("gram: {use_loss: true, ckpt: a.safetensors}", "crops.gram_teacher_crops_size")]
    [InlineData("dino: {koleo_topk: 4}", "dino.koleo_topk")]
    public void WhatTheOriginalRequiresIsRequired(string text, string key)
    {
        File.WriteAllText(_folder.File("bad.yaml"), text);
        Assert.Contains(OfficialConfig.Read(_folder.File("bad.yaml")).Keys, k => k.Key == key && k.Fate == KeyFate.Refused);
    }

    [Theory]
    [InlineData("optim: {epochs: many}", "line 1: optim.epochs: expected a whole number, found 'many'")]
    [InlineData("student: {arch: vit_tiny}", "student.arch: expected one of vit_small")]
    [InlineData("crops: {global_crops_size: [512, 768], local_crops_size: 96}", "crops.local_crops_size: expected as many sizes")]
    [InlineData("schedules: {lr: {start: 0}}", "schedules.lr.peak: expected a number, found nothing")]
    [InlineData("dino: 3", "line 1: dino: expected keys and values, found '3'")]
    [InlineData("- 1", "expected one YAML mapping")]
    public void WhatIsWrongIsNamed(string text, string message)
    {
        File.WriteAllText(_folder.File("bad.yaml"), text);
        Assert.Contains(message, Assert.Throws<DinoSharpException>(() => OfficialConfig.Read(_folder.File("bad.yaml"))).Message);
    }

    [Fact]
    public void AnUnknownKeyIsReportedWithTheNearestOne()
    {
        File.WriteAllText(_folder.File("typo.yaml"), "optim: {clip_gard: 1}\ntrain: {centering: centering}");
        OfficialConfig official = OfficialConfig.Read(_folder.File("typo.yaml"));
        Assert.Contains(official.Keys, k => k is { Key: "optim.clip_gard", Fate: KeyFate.Ignored } && k.Reason!.EndsWith("did you mean optim.clip_grad?", StringComparison.Ordinal));
        Assert.Contains("train.centering: centering: the original knows", Assert.Throws<DinoSharpException>(official.RequireNothingRefused).Message);
    }

    [Fact]
    public async Task TheVerbShowsTheAccountAndWritesTheRecipe()
    {
        string file = Path.Combine(Folder, "vitl_im1k_lin834.yaml"), saved = _folder.File("vitl.yaml");
        Dino.Outcome dry = await Dino.RunAsync("train", "--official-config", file, "student.arch=vit_7b", "optim.clip_gard=1", "--dry-run");
        Assert.True(dry.Code == 0, dry.Error);
        Assert.Contains("used     student.arch = vit_7b", dry.Error);
        Assert.Contains("used     train.cache_dataset = true  (chooses the order of the images", dry.Error);
        Assert.Contains("steps: 125000", dry.Output);
        Assert.Equal(0, (await Dino.RunAsync("train", "--official-config", file, "optim.epochs=3", "--save-recipe", saved)).Code);
        Assert.Equal(3750, PretrainRecipe.Read(saved).TotalSteps());
        Dino.Outcome refused = await Dino.RunAsync("train", "--official-config", file, "student.fp8_enabled=true");
        Assert.Equal(1, refused.Code);
        Assert.Contains("REFUSED  student.fp8_enabled = true", refused.Error);
        Assert.Contains("error: student.fp8_enabled: true: there is no 8-bit training here", refused.Error);
        Assert.Equal(2, (await Dino.RunAsync("train", "recipes/tiny.yaml", "--official-config", file)).Code);
    }

    private static KeyFate Fate(OfficialConfig official, string key) => Assert.Single(official.Keys, k => k.Key == key).Fate;

    private static OfficialConfig Read(string file, params string[] changes) => OfficialConfig.Read(Path.Combine(Folder, file), changes);
}
