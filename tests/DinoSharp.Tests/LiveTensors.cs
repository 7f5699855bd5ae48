using TorchSharp;
using Xunit;

namespace DinoSharp.Tests;

/// <summary>The leak test: an action, once warm, must leave as many live tensors as it found.</summary>
internal static class LiveTensors
{
    // The count is per thread: other tests run at the same time, and a finalizer cannot hide a forgotten Dispose.
    private static long Count => DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount;

    public static void AssertUnchangedBy(Action action)
    {
        action(); // caches and lazily made things
        long before = Count;
        action();
        Assert.Equal(before, Count);
    }
}
