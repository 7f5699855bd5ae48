using DinoSharp.Backbones;
using DinoSharp.Inference;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

public sealed class WorkersTests
{
    [Fact]
    public void AsManyThreadsTakePartAsAreAskedForNow()
    {
        int count = 1;
        var workers = new Workers(() => count);
        foreach (int wanted in new[] { 1, 3, 2, 4, 1 })
        {
            count = wanted;
            using var together = new Barrier(wanted);
            using Lock.Scope turn = workers.Turn.EnterScope();
            workers.Phase(wanted, _ => Assert.True(together.SignalAndWait(TimeSpan.FromSeconds(60)), "a thread is missing")); // ends only if all are there
            var threads = new HashSet<int>();
            workers.Phase(500, _ =>
            {
                lock (threads) threads.Add(Environment.CurrentManagedThreadId);
                Thread.SpinWait(2000);
            });
            Assert.InRange(threads.Count, 1, wanted);
        }
    }

    [Fact]
    public void EveryTaskIsDoneOnceHoweverPhasesFollow()
    {
        var workers = new Workers(() => 3);
        using Lock.Scope turn = workers.Turn.EnterScope();
        int[] done = new int[7];
        for (int phase = 0; phase < 3000; phase++)
        {
            workers.Phase(done.Length, i => Interlocked.Increment(ref done[i]));
            if (phase % 500 == 0) Thread.Sleep(5); // long enough for helpers to fall asleep
        }

        Assert.All(done, times => Assert.Equal(3000, times));
    }

    /// <summary>Two computations at once would start helpers twice and each wait for the other's tasks; packing weights takes its turn as computing does.</summary>
    [Fact]
    public void APhaseWithoutTheTurnIsRefused() => Assert.Throws<InvalidOperationException>(() => Workers.Shared.Phase(2, _ => { }));

    [Fact]
    public async Task AModelLoadsWhileAnotherComputes()
    {
        using var random = new Generator(4);
        using var scope = NewDisposeScope();
        using var network = new VisionTransformer(TinyModel.Config);
        network.Initialize(random);
        using InferenceEngine? engine = VisionTransformerEngine.TryCreate(network, ComputeType.Float32, out string reason);
        Assert.SkipWhen(engine is null, reason);
        Tensor images = randn([2, 3, 96, 96], generator: random), expected = engine!.Forward(images, [2])[0];
        Task<int> loads = Task.Run(() =>
        {
            int differ = 0;
            for (int i = 0; i < 20; i++)
            {
                using InferenceEngine another = VisionTransformerEngine.TryCreate(network, ComputeType.Float32, out _)!;
                using Tensor tokens = another.Forward(images, [2])[0];
                using Tensor equal = tokens.eq(expected).all();
                if (!equal.item<bool>()) differ++;
            }

            return differ;
        }, TestContext.Current.CancellationToken);
        do
        {
            Tensor tokens = engine.Forward(images, [2])[0];
            Assert.True(tokens.eq(expected).all().item<bool>());
            tokens.Dispose();
        }
        while (!loads.IsCompleted);
        Assert.Equal(0, await loads);
    }
}
