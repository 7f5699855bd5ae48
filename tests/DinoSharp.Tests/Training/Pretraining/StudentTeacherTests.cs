using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Layers;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Pretraining;

public sealed class StudentTeacherTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void MicroBatchesGiveTheGradientsOfOneBatch(int parts)
    {
        StudentTeacherConfig config = TinyLearner.Config with { Losses = new LossConfig { KoLeoWeight = parts == 4 ? 0 : 0.1, KoLeoGroupSize = parts == 4 ? 1 : 2 } };
        (StepReport whole, Dictionary<string, Tensor> expected) = Gradients(config);
        (StepReport divided, Dictionary<string, Tensor> actual) = Gradients(config with { MicroBatches = parts });
        Assert.Equal(whole.Losses.Total, divided.Losses.Total, 1e-5);
        Assert.Equal(whole.Losses.Ibot, divided.Losses.Ibot, 1e-5);
        foreach ((string name, Tensor gradient) in expected)
        {
            double error = (gradient - actual[name]).abs().max().item<float>(), scale = gradient.abs().max().item<float>();
            Assert.True(error <= 1e-6 + 1e-4 * scale, $"{name}: {error} of {scale}");
        }
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void RecomputingActivationsChangesNoBit(bool convNeXt, bool onTiles)
    {
        Assert.SkipUnless(!onTiles || Kernels.Has(ComputeType.Float32, out _), "this processor has no kernels of ours");
        BackboneConfig backbone = convNeXt
            ? TinyLearner.ConvNeXt with { DropPathRate = 0.5 }
            : TinyLearner.Vit with { DropPathRate = 0.5, Rotary = new RotaryConfig { RescaleCoordinates = 2, JitterCoordinates = 1.5, ShiftCoordinates = 0.2 } };
        StudentTeacherConfig config = TinyLearner.Config with { Backbone = backbone };
        (_, Dictionary<string, Tensor> expected) = Gradients(config, convNeXt, onTiles);
        (_, Dictionary<string, Tensor> actual) = Gradients(config with { RecomputeActivations = true }, convNeXt, onTiles);
        Assert.Equal(0, TinyLearner.Distance(expected, actual));
    }

    [Fact]
    public void BFloat16StaysNearFloat32AndKeepsFloat32Weights()
    {
        (StepReport full, _) = Gradients(TinyLearner.Config);
        (StepReport half, Dictionary<string, Tensor> gradients) = Gradients(TinyLearner.Config with { Compute = TrainingComputeType.BFloat16 });
        Assert.InRange(half.Losses.Total / full.Losses.Total, 0.98, 1.02);
        Assert.NotEqual(full.Losses.Total, half.Losses.Total); // it must have computed something else
        Assert.InRange(half.GradientNorms.Backbone / full.GradientNorms.Backbone, 0.8, 1.25);
        Assert.All(gradients.Values, g => Assert.Equal(ScalarType.Float32, g.dtype));
    }

    [Fact]
    public void StepsOnTilesLeaveNoTensorBehind()
    {
        Assert.SkipUnless(Kernels.Has(ComputeType.Float32, out string reason), reason);
        using var learner = new StudentTeacher(TinyLearner.Config);
        TrainedLinear.Use(learner.StudentNetwork, Products.Own);
        using PretrainBatch batch = TinyLearner.Batch();
        long step = 0;
        LiveTensors.AssertUnchangedBy(() => learner.Step(batch, step++));
    }

    [Fact]
    public void TrainingLowersTheLoss()
    {
        using var learner = new StudentTeacher(TinyLearner.Config);
        double first = 0, last = 0;
        for (int step = 0; step < 12; step++)
        {
            using PretrainBatch batch = TinyLearner.Batch();
            last = learner.Step(batch, step).Losses.Total;
            if (step == 0) first = last;
        }

        Assert.True(last < first - 0.1, $"{first} -> {last}");
    }

    [Fact]
    public void ANonFiniteCropRefusesTheStepAndIsNamed()
    {
        using var learner = new StudentTeacher(TinyLearner.Config);
        Dictionary<string, Tensor> before = TinyLearner.Snapshot(learner);
        using PretrainBatch batch = TinyLearner.Batch();
        batch.LocalCrops[1, 2, 3, 4] = float.NaN;
        StepReport report = learner.Step(batch, 0);
        Assert.Equal("the local crops", report.NonFinite);
        Assert.Equal(0, TinyLearner.Distance(before, TinyLearner.Snapshot(learner)));
        using PretrainBatch good = TinyLearner.Batch();
        Assert.Null(learner.Step(good, 1).NonFinite);
    }

    [Fact]
    public void ANonFiniteWeightIsNamed()
    {
        using var learner = new StudentTeacher(TinyLearner.Config);
        using (no_grad()) learner.StudentNetwork.named_parameters().Single(p => p.name == "backbone.blocks.1.mlp.fc1.bias").parameter.fill_(float.PositiveInfinity);
        using PretrainBatch batch = TinyLearner.Batch();
        Assert.Equal("weight of the student backbone.blocks.1.mlp.fc1.bias", learner.Step(batch, 0).NonFinite);
    }

    [Fact]
    public void AnOverflowInTheLossIsNamed()
    {
        using var learner = new StudentTeacher(TinyLearner.Config);
        using (no_grad()) learner.StudentNetwork.named_parameters().Single(p => p.name == "dino_head.last_layer.weight").parameter.sign_().mul_(3e38); // finite, unlike its products
        using PretrainBatch batch = TinyLearner.Batch();
        Assert.Equal("the global DINO loss", learner.Step(batch, 0).NonFinite);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    public void AStepLeavesNoTensorBehind(int microBatches, bool recompute)
    {
        using var learner = new StudentTeacher(TinyLearner.Config with
        {
            MicroBatches = microBatches,
            RecomputeActivations = recompute,
            Backbone = TinyLearner.Vit with { DropPathRate = 0.3 },
            Losses = new LossConfig { KoLeoGroupSize = 2, Gram = new GramConfig { ReportMaskedParts = true } },
        });
        using PretrainBatch batch = TinyLearner.Batch(gramPixels: 48);
        learner.Step(batch, 0);
        LiveTensors.AssertUnchangedBy(() => learner.Step(batch, 1));
    }

    [Fact]
    public void StudentsOfOneTeacherLearnTogetherAsTheyWouldAlone()
    {
        using var teacher = new FrozenTeacher(TinyLearner.Vit with { Width = 48, Heads = 3 }, TinyLearner.Heads);
        using var random = new Generator(5);
        teacher.Network!.Initialize(random);
        StudentTeacherConfig small = TinyLearner.Config, other = TinyLearner.Config with { Seed = 8, Backbone = TinyLearner.Vit with { Depth = 1 } };
        using PretrainBatch batch = TinyLearner.Batch();

        using var aloneSmall = new StudentTeacher(small, teacher);
        using var aloneOther = new StudentTeacher(other, teacher);
        double[] alone = [aloneSmall.Step(batch, 0).Losses.Total, aloneOther.Step(batch, 0).Losses.Total];
        using var togetherSmall = new StudentTeacher(small, teacher);
        using var togetherOther = new StudentTeacher(other, teacher);
        Assert.Equal(alone, StudentTeacher.StepTogether([togetherSmall, togetherOther], batch, 0).Select(r => r.Losses.Total));
        Assert.Equal(0, TinyLearner.Distance(TinyLearner.Snapshot(aloneOther), TinyLearner.Snapshot(togetherOther)));
    }

    [Theory]
    [InlineData(TrainingComputeType.Float32)]
    [InlineData(TrainingComputeType.BFloat16)]
    public void AConvNeXtLearnsFromATeacherWithSmallerPatchesOnTheSameGrid(TrainingComputeType compute)
    {
        using var teacher = new FrozenTeacher(TinyLearner.Vit with { PatchSize = 16 }, TinyLearner.Heads);
        using var random = new Generator(5);
        teacher.Network!.Initialize(random);
        using var learner = new StudentTeacher(TinyLearner.Config with { Backbone = TinyLearner.ConvNeXt, Compute = compute }, teacher);
        using PretrainBatch batch = TinyLearner.Batch(globalPixels: 96, localPixels: 64, cell: 32); // 3×3 cells; the teacher sees 48 pixels
        StepReport report = learner.Step(batch, 0);
        Assert.Null(report.NonFinite);
        Assert.InRange(report.Losses.Ibot, 0.1, 10);
    }

    [Fact]
    public void IfOneStudentRefusesAStepNoneChanges()
    {
        using var teacher = new FrozenTeacher(TinyLearner.Vit, TinyLearner.Heads);
        using var random = new Generator(5);
        teacher.Network!.Initialize(random);
        using var sound = new StudentTeacher(TinyLearner.Config, teacher);
        using var broken = new StudentTeacher(TinyLearner.Config, teacher);
        using (no_grad()) broken.StudentNetwork.parameters().First().fill_(float.NaN);
        Dictionary<string, Tensor> before = TinyLearner.Snapshot(sound);
        using PretrainBatch batch = TinyLearner.Batch();
        StepReport[] reports = StudentTeacher.StepTogether([sound, broken], batch, 0);
        Assert.Null(reports[0].NonFinite);
        Assert.NotNull(reports[1].NonFinite);
        Assert.Equal(0, TinyLearner.Distance(before, TinyLearner.Snapshot(sound)));
    }

    [Fact]
    public void ARefreshIsMadeThoughItsStepWasRefused()
    {
        using var learner = new StudentTeacher(TinyLearner.Config with
        {
            Losses = new LossConfig { KoLeoGroupSize = 2, Gram = new GramConfig { Mode = GramMode.Refreshed, RefreshEverySteps = 2, Weight = Schedule.Constant(1) } },
        });
        using PretrainBatch batch = TinyLearner.Batch(), broken = TinyLearner.Batch();
        using (no_grad()) broken.LocalCrops.fill_(float.NaN);
        learner.Step(batch, 0);
        Assert.NotNull(learner.Step(broken, 1).NonFinite);
        Assert.Equal(0, learner.Gram!.Backbone!.parameters().Zip(learner.Teacher.parameters()).Max(p => (p.First - p.Second).abs().max().item<float>()));
    }

    [Fact]
    public void PartsWithoutAHiddenPatchHaveNoGramFiguresOfThem()
    {
        using var learner = new StudentTeacher(TinyLearner.Config with
        {
            MicroBatches = 4,
            Losses = new LossConfig { KoLeoWeight = 0, Gram = new GramConfig { Mode = GramMode.Start, Weight = Schedule.Constant(1), ReportMaskedParts = true } },
        });
        using PretrainBatch batch = TinyLearner.Batch();
        using (no_grad()) batch.Masks.fill_(false);
        using PretrainBatch bare = PretrainBatch.Create(batch.GlobalCrops.clone(), batch.LocalCrops.clone(), null, batch.Masks.clone());
        StepReport report = learner.Step(bare, 0);
        Assert.Null(report.NonFinite);
        Assert.Equal(0, report.Losses.GramMasked);
    }

    [Fact]
    public void AGramTeacherStaysWhileTheTeacherMoves()
    {
        using var learner = new StudentTeacher(TinyLearner.Config with
        {
            Losses = new LossConfig { KoLeoGroupSize = 2, Gram = new GramConfig { Mode = GramMode.Refreshed, RefreshEverySteps = 2, Weight = Schedule.Constant(1) } },
        });
        using PretrainBatch batch = TinyLearner.Batch();
        double Distance() => learner.Gram!.Backbone!.parameters().Zip(learner.Teacher.parameters()).Max(p => (p.First - p.Second).abs().max().item<float>());
        Assert.Equal(0, Distance());
        Assert.InRange(learner.Step(batch, 0).Losses.Gram!.Value, 1e-6, 1); // the anchor sees what is hidden from the student
        Assert.True(Distance() > 0);
        learner.Step(batch, 1);
        Assert.Equal(0, Distance());
    }

    [Theory]
    [InlineData("mode Checkpoint needs the file", GramMode.Checkpoint, null, null, GramTokens.All, true, 1)]
    [InlineData("uses no checkpoint", GramMode.Start, "a.safetensors", null, GramTokens.All, true, 1)]
    [InlineData("is never refreshed", GramMode.Start, null, 10L, GramTokens.All, true, 1)]
    [InlineData("needs RefreshEverySteps", GramMode.Refreshed, null, null, GramTokens.All, true, 1)]
    [InlineData("one matrix per image is impossible", GramMode.Start, null, null, GramTokens.Masked, true, 1)]
    [InlineData("impossible with micro-batches", GramMode.Start, null, null, GramTokens.All, false, 2)]
    public void ContradictoryGramOptionsAreRefusedWithTheReason(string reason, GramMode mode, string? checkpoint, long? every, GramTokens tokens, bool perImage, int microBatches)
    {
        var gram = new GramConfig { Mode = mode, Checkpoint = checkpoint, RefreshEverySteps = every, Tokens = tokens, Loss = new GramLossOptions { PerImage = perImage } };
        StudentTeacherConfig config = TinyLearner.Config with { MicroBatches = microBatches, Losses = new LossConfig { KoLeoGroupSize = 2, Gram = gram } };
        Assert.Contains(reason, Assert.Throws<DinoSharpException>(() => new StudentTeacher(config)).Message);
    }

    [Fact]
    public void TheGramTeacherIsDescribedInWords()
    {
        var gram = new GramConfig { Mode = GramMode.Refreshed, Checkpoint = "early.safetensors", RefreshEverySteps = 10_000, FirstRefreshStep = 1_010_000, MaxRefreshes = 3 };
        Assert.Equal("the checkpoint early.safetensors", gram.Describe(1_009_999));
        Assert.Equal("the teacher after 1010000 steps of this phase (replacement 1; one every 10000 steps)", gram.Describe(1_010_000));
        Assert.Equal("the teacher after 1030000 steps of this phase (replacement 3; one every 10000 steps)", gram.Describe(1_100_000));
        Assert.Equal(0, gram.RefreshesBefore(0));
        Assert.Equal(3, gram.RefreshesBefore(long.MaxValue / 2));
    }

    private static (StepReport Report, Dictionary<string, Tensor> Gradients) Gradients(StudentTeacherConfig config, bool convNeXt = false, bool onTiles = false)
    {
        using var learner = new StudentTeacher(config);
        TrainedLinear.Use(learner.StudentNetwork, onTiles ? Products.Own : Products.Libtorch);
        using PretrainBatch batch = convNeXt ? TinyLearner.Batch(globalPixels: 96, localPixels: 64, cell: 32) : TinyLearner.Batch();
        StepValues values = learner.ValuesAt(0);
        PretrainBatch[] parts = learner.Prepare(batch);
        StepReport report = learner.ForwardBackward(parts, learner.Teach(parts, values.TeacherTemperature), 0, values);
        Assert.Null(report.NonFinite);
        return (report, learner.StudentNetwork.named_parameters().ToDictionary(p => p.name, p => p.parameter.grad!.clone()));
    }
}
