using System.Diagnostics;
using DinoSharp.Features;
using Xunit;

namespace DinoSharp.Tests.Features;

public class StageTimesTests
{
    [Fact]
    public void RatesCountPicturesForEachSecondOfWork()
    {
        var times = new StageTimes();
        Assert.Equal(0, times.DecodedPerSecond);
        long now = Stopwatch.GetTimestamp();
        times.Decoded(6, now - (2 * Stopwatch.Frequency)); // what passes between these lines comes on top
        times.Decoded(4, now - (2 * Stopwatch.Frequency));
        times.Computed(10, now - (40 * Stopwatch.Frequency));
        Assert.InRange(times.DecodedPerSecond, 0.5, 2.5);
        Assert.InRange(times.ComputedPerSecond, 0.05, 0.25);
        Assert.Equal("the model", times.Bound);
    }

    [Fact]
    public void ThePipelineCountsWhatItDecodesAndComputes()
    {
        var times = new StageTimes();
        var pipeline = new EmbeddingPipeline<int>(i => $"{i}", i => i == 1 ? throw new DinoSharp.Images.ImageException("1", "broken") : new(TorchSharp.torch.zeros(3, 2, 2), DinoSharp.Images.Normalization.Lvd, new(2, 2, 2, 2, 1, 1, 0, 0), $"{i}"), inputs =>
        {
            Thread.Sleep(20);
            return [.. inputs.Select(_ => new float[1])];
        }, times);
        Assert.Equal(4, pipeline.Run([[0, 1], [2, 3]], default).Sum(batch => batch.Count));
        Assert.InRange(times.ComputedPerSecond, 0.01, 3 / 0.04); // three pictures, twice twenty milliseconds at least
        Assert.True(times.DecodedPerSecond > 0);
    }
}
