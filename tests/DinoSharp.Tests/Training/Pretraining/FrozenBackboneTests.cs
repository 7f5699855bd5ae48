using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Pretraining;

public sealed class FrozenBackboneTests
{
    private static readonly StudentTeacherConfig Config = TinyLearner.Config with
    {
        Optimizer = TinyLearner.Config.Optimizer with { FreezeBackboneSteps = 3, BackboneRampSteps = 4 },
        Losses = TinyLearner.Config.Losses with { Gram = new GramConfig { Mode = GramMode.Start } },
    };

    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 2)]
    public void TheBackboneStaysBitEqualWhileTheHeadsLearnThenMoves(bool recompute, int microBatches)
    {
        using var learner = new StudentTeacher(Config with { RecomputeActivations = recompute, MicroBatches = microBatches });
        using PretrainBatch batch = TinyLearner.Batch();
        Dictionary<string, Tensor> start = TinyLearner.Snapshot(learner);
        for (int step = 0; step < 3; step++)
        {
            StepReport report = learner.Step(batch, step);
            Assert.Equal(0, report.GradientNorms.Backbone);
            Assert.True(report.GradientNorms.DinoHead > 0);
        }

        Dictionary<string, Tensor> frozen = TinyLearner.Snapshot(learner);
        foreach ((string name, Tensor before) in start)
        {
            bool same = before.bytes.SequenceEqual(frozen[name].bytes);
            if (name.Contains("backbone.", StringComparison.Ordinal)) Assert.True(same, name + " moved");
            else if (name.EndsWith("weight", StringComparison.Ordinal)) Assert.False(same, name + " did not learn");
        }

        Assert.True(learner.Step(batch, 3).GradientNorms.Backbone > 0);
        Assert.Contains(TinyLearner.Snapshot(learner), p => p.Key.StartsWith("student.backbone.blocks", StringComparison.Ordinal) && !p.Value.bytes.SequenceEqual(frozen[p.Key].bytes));
    }

    [Fact]
    public void TheRampIsAStraightLineToTheFullRate() =>
        Assert.Equal([0, 0, 0, 0.25, 0.5, 0.75, 1, 1], Enumerable.Range(0, 8).Select(step => Config.Optimizer.At(step, 20, 4).BackboneFactor));

    [Fact]
    public void ALongerFreezeThanThePhaseIsRefused() =>
        Assert.Contains("need 7 steps, the phase has 6", Assert.Throws<DinoSharpException>(() => Config.Optimizer.Validate(6)).Message);

    [Fact]
    public void TheFirstMoveOfTheBackboneIsThatOfAYoungOptimizer()
    {
        // Adam's first update is the learning rate times the sign of the gradient, however long the heads have learned before.
        using var learner = new StudentTeacher(Config with { Optimizer = Config.Optimizer with { WeightDecay = Schedule.Constant(0), LayerwiseDecay = 1, PatchEmbeddingMultiplier = 1, ClipNorm = null } });
        using PretrainBatch batch = TinyLearner.Batch();
        for (int step = 0; step < 3; step++) learner.Step(batch, step);
        using Tensor before = learner.StudentNetwork.state_dict()["backbone.blocks.0.mlp.fc1.weight"].detach().clone();
        learner.Step(batch, 3);
        using Tensor moved = (learner.StudentNetwork.state_dict()["backbone.blocks.0.mlp.fc1.weight"].detach() - before).abs();
        Assert.Equal(0.25 * 1e-2, moved.quantile(tensor(0.9f)).item<float>(), 5);
        Assert.True(moved.max().item<float>() < 0.26 * 1e-2);
    }

    [Fact]
    public void ACheckpointInTheRampGoesOnBitForBit()
    {
        using var folder = new TemporaryFolder();
        using PretrainBatch batch = TinyLearner.Batch();
        using var whole = new StudentTeacher(Config);
        using var resumed = new StudentTeacher(Config with { Seed = Config.Seed });
        for (int step = 0; step < 5; step++)
        {
            if (step == 4) LearnerFiles.Save(whole, folder.Path);
            whole.Step(batch, step);
        }

        LearnerFiles.Load(resumed, folder.Path);
        resumed.Step(batch, 4);
        Assert.Equal(0, TinyLearner.Distance(TinyLearner.Snapshot(whole), TinyLearner.Snapshot(resumed)));
    }
}
