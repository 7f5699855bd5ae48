using DinoSharp.Inference;
using Xunit;

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
        int[] done = new int[7];
        for (int phase = 0; phase < 3000; phase++)
        {
            workers.Phase(done.Length, i => Interlocked.Increment(ref done[i]));
            if (phase % 500 == 0) Thread.Sleep(5); // long enough for helpers to fall asleep
        }

        Assert.All(done, times => Assert.Equal(3000, times));
    }
}
