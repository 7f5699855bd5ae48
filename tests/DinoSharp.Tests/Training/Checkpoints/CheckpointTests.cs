using DinoSharp.Tests.Training.Pretraining;
using DinoSharp.Training.Checkpoints;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using DinoSharp.Weights;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Checkpoints;

public sealed class CheckpointTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly TemporaryFolder _folder = new();

    private static StudentTeacherConfig Config { get; } = TinyLearner.Config with
    {
        Backbone = TinyLearner.Vit with { DropPathRate = 0.3 },
        Losses = new LossConfig { KoLeoGroupSize = 2, Gram = new GramConfig { Mode = GramMode.Refreshed, RefreshEverySteps = 4, Weight = Schedule.Constant(1) } },
    };

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void ALearnerThatWasStoppedGoesOnBitForBit()
    {
        using var whole = new StudentTeacher(Config);
        List<StepReport> expected = Run(whole, 0, 6);

        using (var first = new StudentTeacher(Config))
        {
            Run(first, 0, 3);
            LearnerFiles.Save(first, _folder.Path);
        }

        using var second = new StudentTeacher(Config with { Seed = 99 }); // other fresh weights, so that nothing is right by chance
        LearnerFiles.Load(second, _folder.Path);
        using var resumed = new StudentTeacher(Config);
        LearnerFiles.Load(resumed, _folder.Path);
        Assert.Equal(0, TinyLearner.Distance(TinyLearner.Snapshot(second), TinyLearner.Snapshot(resumed)));
        List<StepReport> actual = Run(resumed, 3, 6);
        Assert.Equal(expected[3..], actual);
        Assert.Equal(0, TinyLearner.Distance(TinyLearner.Snapshot(whole), TinyLearner.Snapshot(resumed)));
        Assert.Equal(0, whole.Gram!.Backbone!.parameters().Zip(resumed.Gram!.Backbone!.parameters()).Max(p => (p.First - p.Second).abs().max().item<float>()));
    }

    [Fact]
    public void TheNewestStayAndSoDoTheChosenOnes()
    {
        var store = new CheckpointStore(_folder.Path, new CheckpointConfig { KeepLast = 2, KeepEverySteps = 30 });
        foreach (long step in (long[])[10, 20, 30, 40, 50, 60, 70]) store.Write(step, Touch);
        Assert.Equal([30, 60, 70], store.Steps);
        store.Write(70, Touch); // once more, as after going back to an older one
        Assert.Equal([30, 60, 70], store.Steps);
    }

    [Fact]
    public void AnUnfinishedWriteIsNoCheckpointAndIsClearedAway()
    {
        var store = new CheckpointStore(_folder.Path, new CheckpointConfig());
        store.Write(10, Touch);
        Directory.CreateDirectory(store.PathOf(20) + ".unfinished"); // as a killed process leaves it
        Directory.CreateDirectory(store.PathOf(30)); // as an interrupted removal leaves it
        Directory.CreateDirectory(_folder.File("step-notes")); // of somebody else
        Assert.Equal([10], store.Steps);
        store.RemoveUnfinished();
        Assert.Equal(["step-00000010", "step-notes"], Directory.GetDirectories(_folder.Path).Select(Path.GetFileName).Order());
        var error = Assert.Throws<DinoSharpException>(() => store.Write(40, _ => throw new IOException("No space left on device")));
        Assert.Contains("No space left on device", error.Message);
        Assert.Equal([10], store.Steps);
        Assert.Empty(Directory.GetDirectories(_folder.Path, "*.unfinished"));
    }

    [Fact]
    public void WhatIsNeededStaysAndWhatCannotBeRemovedIsSaid()
    {
        var said = new List<string>();
        var store = new CheckpointStore(_folder.Path, new CheckpointConfig { KeepLast = 1 }, [20], said.Add);
        foreach (long step in (long[])[10, 20, 30, 40]) store.Write(step, Touch);
        Assert.Equal([20, 40], store.Steps);
        Touch(Directory.CreateDirectory(_folder.File("step-5")).FullName); // not where the one of step 5 would be
        store.Write(50, Touch);
        Assert.Equal([5, 20, 50], store.Steps);
        Assert.Contains("step-00000005 cannot be removed", Assert.Single(said));
    }

    [Theory]
    [InlineData("optimizer.safetensors")]
    [InlineData("student.safetensors")]
    public void ADamagedOrForeignFileIsNamed(string file)
    {
        using var learner = new StudentTeacher(Config);
        LearnerFiles.Save(learner, _folder.Path);
        string path = Path.Combine(_folder.Path, file);
        byte[] bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..^1]);
        Assert.Contains(file, Assert.Throws<TensorFileException>(() => LearnerFiles.Load(learner, _folder.Path)).Message);
        using var other = new StudentTeacher(Config with { Backbone = TinyLearner.Vit with { Depth = 3 } });
        File.WriteAllBytes(path, bytes);
        Assert.ThrowsAny<DinoSharpException>(() => LearnerFiles.Load(other, _folder.Path));
    }

    private static void Touch(string folder) => File.WriteAllText(Path.Combine(folder, CheckpointStore.StateFile), "{}");

    private static List<StepReport> Run(StudentTeacher learner, int from, int to)
    {
        var reports = new List<StepReport>();
        for (int step = from; step < to; step++)
        {
            using PretrainBatch batch = TinyLearner.Batch(seed: (ulong)(100 + step));
            reports.Add(learner.Step(batch, step));
        }

        return reports;
    }
}
