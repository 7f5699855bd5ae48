using DinoSharp.Training.Optimization;
using DinoSharp.Training.Recipes;
using DinoSharp.Training.Recipes.Official;
using DinoSharp.Training.Runs;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Recipes;

public sealed class ShippedRecipeTests
{
    public static TheoryData<string> Files => [.. Directory.GetFiles(Folder, "*.yaml", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(Folder, f)).Order(StringComparer.Ordinal)];

    private static string Folder => Path.Combine(Repository.Root, "recipes");

    [Theory]
    [MemberData(nameof(Files))]
    public void EveryRecipeIsValidSaysWhatItNeedsAndCanBeEstimated(string file)
    {
        PretrainRecipe recipe = PretrainRecipe.Read(Path.Combine(Folder, file));
        recipe.Validate(recipe.About.Processes);
        Assert.Equal(Path.GetFileNameWithoutExtension(file), recipe.Name.Replace("dino-tiny", "tiny", StringComparison.Ordinal));
        Assert.All(new[] { recipe.About.Summary, recipe.About.Command, recipe.About.Hardware, recipe.About.Hours }, text => Assert.False(string.IsNullOrWhiteSpace(text)));
        Assert.StartsWith($"dino train recipes/{file}", recipe.About.Command!.Replace('\\', '/'));
        Assert.Equal(recipe.ToYaml(), PretrainRecipe.FromTree(file, YamlText.Parse(file, recipe.ToYaml()), []).ToYaml());

        using var scope = NewDisposeScope();
        RunEstimate estimate = RunEstimate.Of(recipe, measure: false);
        Assert.Equal(recipe.Phases.Select(p => p.Name), estimate.Phases.Select(p => p.Phase));
        Assert.All(estimate.Phases, p => Assert.True(p.MemoryBytes > 4 * estimate.BackboneParameters));
    }

    [Theory]
    [InlineData("vitl16-imagenet1k", "vitl_im1k_lin834.yaml")]
    [InlineData("vitl16-distilled", "dinov3_vitl16_lvd1689m_distilled.yaml", "train.batch_size_per_gpu=16", "checkpointing.period=3750")]
    [InlineData("convnext-distilled", "distillation_convnext/convnexts.yaml", "distillation.checkpoint_path=teacher.safetensors", "ibot.mask_ratio_min_max=[0.1, 0.5]")]
    public void WhatIsShippedIsWhatTheOriginalConfigurationSays(string name, string file, params string[] changes)
    {
        PretrainRecipe shipped = PretrainRecipe.Read(Path.Combine(Folder, "official", name + ".yaml"));
        PretrainRecipe original = OfficialConfig.Read(Path.Combine(Repository.Fixtures, "official-configs", file), changes).Recipe;
        Assert.Equal(original.Backbone, shipped.Backbone);
        Assert.Equal(original.Heads, shipped.Heads);
        // The file of one student does not say that it was one of several on 296 processes; the recipe does.
        int? scaling = shipped.Phases[0].Optimizer.ScalingImages;
        Assert.Equal(name == "vitl16-distilled" ? 1776 : null, scaling);
        Assert.Equal(Phase(original with { Phases = [original.Phases[0] with { Optimizer = original.Phases[0].Optimizer with { ScalingImages = scaling } }] }), Phase(shipped));
        foreach ((StudentRecipe ours, StudentRecipe theirs) in shipped.Students.Zip(original.Students))
        {
            OptimizerConfig optimizer = shipped.Phases[0].Optimizer;
            Assert.Equal((theirs.Name, theirs.Backbone, theirs.LearningRate, theirs.WeightDecay), (ours.Name, ours.Backbone, ours.LearningRate ?? optimizer.LearningRate, ours.WeightDecay ?? optimizer.WeightDecay));
        }

        Assert.Equal(original.Students.Count, shipped.Students.Count);

        static string Phase(PretrainRecipe recipe) => RecordBinder.Write(Plain(recipe.Phases[0])).ToString();
    }

    [Theory]
    [InlineData(0, "dinov3_vit7b16_pretrain.yaml", 0)]
    [InlineData(1, "dinov3_vit7b16_gram_anchor.yaml", 1_000_000)]
    [InlineData(2, "dinov3_vit7b16_high_res_adapt.yaml", 0)]
    public void TheStagesOfTheSevenBillionModelTakeThePublishedValuesAtEveryStep(int stage, string file, long before)
    {
        PhaseRecipe shipped = PretrainRecipe.Read(Path.Combine(Folder, "official", "vit7b16.yaml")).Phases[stage];
        PhaseRecipe original = OfficialConfig.Read(Path.Combine(Repository.Fixtures, "official-configs", file)).Recipe.Phases[0];
        Assert.Equal(original.Steps, before + shipped.Steps);
        for (long step = 0; step < shipped.Steps; step += step < 2000 ? 7 : 997)
        {
            Assert.Equal(original.Optimizer.At(before + step, original.Steps, 4096), shipped.Optimizer.At(step, shipped.Steps, 4096));
            Assert.Equal(original.Losses.LocalWeight?.At(before + step, original.Steps) ?? 1, shipped.Losses.LocalWeight?.At(step, shipped.Steps) ?? 1, 12);
            Assert.Equal(original.Losses.Gram?.Weight.At(before + step, original.Steps), shipped.Losses.Gram?.Weight.At(step, shipped.Steps));
            Assert.Equal(original.Losses.Gram?.RefreshesBefore(before + step), shipped.Losses.Gram?.RefreshesBefore(step));
        }

        Assert.Equal(original.ViewsOfAllResolutions(), shipped.ViewsOfAllResolutions());
        Assert.Equal((original.BatchImages, original.Compute, original.RecomputeActivations, original.Masks), (shipped.BatchImages, shipped.Compute, shipped.RecomputeActivations, shipped.Masks));
    }

    // Constant schedules are written in several ways.
    private static PhaseRecipe Plain(PhaseRecipe phase) => phase with
    {
        Optimizer = phase.Optimizer with
        {
            WeightDecay = Constant(phase.Optimizer.WeightDecay, phase.Steps),
            Momentum = Constant(phase.Optimizer.Momentum, phase.Steps),
            TeacherTemperature = Constant(phase.Optimizer.TeacherTemperature, phase.Steps),
        },
    };

    private static Schedule Constant(Schedule schedule, long steps) =>
        Enumerable.Range(0, 100).Select(i => schedule.At(i * steps / 100, steps)).Distinct().ToArray() is [var only] && schedule.End == only ? Schedule.Constant(only) : schedule;
}
