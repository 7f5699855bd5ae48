using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Pretraining;

public sealed class FeatureDistillationTests
{
    private static readonly StudentTeacherConfig Config = TinyLearner.Config with { Optimizer = TinyLearner.Config.Optimizer with { LearningRate = Schedule.Constant(3e-3) } };

    public static TheoryData<bool, TrainingComputeType> Students => new() { { false, TrainingComputeType.Float32 }, { true, TrainingComputeType.Float32 }, { true, TrainingComputeType.BFloat16 } };

    [Theory]
    [MemberData(nameof(Students))]
    public void TheStudentComesNearerToATeacherOfAnotherWidthWithoutHeads(bool convolutional, TrainingComputeType compute)
    {
        using FrozenTeacher teacher = Teacher(convolutional ? 16 : 8);
        using var learner = new StudentTeacher(Config with { Compute = compute, Backbone = convolutional ? TinyLearner.ConvNeXt : TinyLearner.Vit }, teacher);
        using PretrainBatch batch = Batch(convolutional ? 96 : 32, convolutional ? 32 : 8); // a ConvNeXt's 3×3 cells are its teacher's 3×3 patches at half the size
        StepReport[] reports = [.. Enumerable.Range(0, 20).Select(step => learner.Step(batch, step))];
        Assert.All(reports, r => Assert.Null(r.NonFinite));
        Assert.True(reports[^1].Losses.FeatureClass < 0.5 * reports[0].Losses.FeatureClass, $"class token {reports[0].Losses.FeatureClass} to {reports[^1].Losses.FeatureClass}");
        Assert.True(reports[^1].Losses.FeaturePatches < 0.8 * reports[0].Losses.FeaturePatches, $"patches {reports[0].Losses.FeaturePatches} to {reports[^1].Losses.FeaturePatches}");
        Assert.Equal(reports[0].Losses.FeatureClass!.Value + reports[0].Losses.FeaturePatches!.Value, reports[0].Losses.Total, 5);
    }

    [Fact]
    public void TheLossIsZeroForTheTeacherItselfAndTwoForItsOpposite()
    {
        using FrozenTeacher teacher = Teacher(8);
        using var learner = new StudentTeacher(Config with { Backbone = teacher.Backbone.Config }, teacher);
        PretrainNetwork.Copy(teacher.Backbone, learner.Student);
        foreach ((float sign, double loss) in new[] { (1f, 0.0), (-1f, 2.0) })
        {
            using (no_grad())
            {
                foreach ((string name, var parameter) in learner.StudentNetwork.named_parameters().Where(p => p.name.Contains("_head.", StringComparison.Ordinal)))
                {
                    if (parameter.dim() == 1) parameter.zero_();
                    else parameter.copy_(eye(parameter.shape[0]) * sign);
                }
            }

            using PretrainBatch batch = Batch(32, 8);
            PretrainBatch[] parts = learner.Prepare(batch);
            StepReport report = learner.ForwardBackward(parts, learner.Teach(parts, 0.07), 0, learner.ValuesAt(0));
            Assert.Equal(loss, report.Losses.FeatureClass!.Value, 5);
            Assert.Equal(loss, report.Losses.FeaturePatches!.Value, 5);
        }
    }

    [Fact]
    public void PartsOfABatchGiveWhatOnePartGivesAndNothingLeaks()
    {
        using FrozenTeacher teacher = Teacher(8);
        using var one = new StudentTeacher(Config, teacher);
        using var two = new StudentTeacher(Config with { MicroBatches = 2 }, teacher);
        using PretrainBatch batch = Batch(32, 8);
        Assert.Equal(one.Step(batch, 0).Losses.Total, two.Step(batch, 0).Losses.Total, 5);
        Assert.True(TinyLearner.Distance(TinyLearner.Snapshot(one), TinyLearner.Snapshot(two)) < 1e-4);
        long step = 1;
        LiveTensors.AssertUnchangedBy(() => two.Step(batch, step++));
    }

    private static FrozenTeacher Teacher(int patch)
    {
        var teacher = new FrozenTeacher(TinyLearner.Vit with { Width = 48, Heads = 3, PatchSize = patch });
        using var random = new Generator(5);
        teacher.Backbone.Initialize(random);
        return teacher;
    }

    private static PretrainBatch Batch(int pixels, int cell)
    {
        using PretrainBatch full = TinyLearner.Batch(globalPixels: pixels, cell: cell);
        return PretrainBatch.Create(full.GlobalCrops.clone(), empty(0, 3, 16, 16), null, full.Masks.clone());
    }
}
