using DinoSharp.Evaluation;
using Xunit;

namespace DinoSharp.Tests.Evaluation;

public sealed class BootstrapTests
{
    [Fact]
    public void EqualValuesHaveNoSpread()
    {
        var interval = Bootstrap.Mean([0.25, 0.25, 0.25]);
        Assert.Equal((0.25, 0.25, 0.25), (interval.Value, interval.Low, interval.High));
    }

    [Fact]
    public void OneItemOrOneGroupSaysNothingOfOtherSamples()
    {
        Assert.True(double.IsNaN(Bootstrap.Mean([0.7]).Low));
        Assert.Equal("0.5 (no interval)", Bootstrap.Mean([0.2, 0.8], ["a", "a"]).ToString());
    }

    [Fact]
    public void HalfHitsGiveTheIntervalOfTheBinomialDistribution()
    {
        double[] hits = [.. Enumerable.Range(0, 400).Select(i => i % 2 == 0 ? 1.0 : 0.0)];
        var interval = Bootstrap.Mean(hits, resamples: 4000);
        Assert.Equal(0.5, interval.Value);
        Assert.Equal(0.5 - (1.96 * Math.Sqrt(0.25 / 400)), interval.Low, 2); // ± 0.049
        Assert.Equal(0.5 + (1.96 * Math.Sqrt(0.25 / 400)), interval.High, 2);
    }

    [Fact]
    public void GroupsAreDrawnWholeAndWidenTheInterval()
    {
        // Two groups that are all hits or all misses: one resample in four has no hit at all.
        double[] hits = [.. Enumerable.Range(0, 100).Select(i => i < 50 ? 1.0 : 0.0)];
        string[] groups = [.. Enumerable.Range(0, 100).Select(i => i < 50 ? "a" : "b")];
        var interval = Bootstrap.Mean(hits, groups);
        Assert.Equal((0.5, 0.0, 1.0), (interval.Value, interval.Low, interval.High));
        Assert.True(Bootstrap.Mean(hits).Low > 0.3);
    }

    [Fact]
    public void EqualSeedsGiveEqualIntervals()
    {
        double[] values = [.. Enumerable.Range(0, 50).Select(i => Math.Sin(i))];
        Assert.Equal(Bootstrap.Mean(values, seed: 3), Bootstrap.Mean(values, seed: 3));
        Assert.NotEqual(Bootstrap.Mean(values, seed: 3), Bootstrap.Mean(values, seed: 4));
        Assert.Throws<DinoSharpException>(() => Bootstrap.Mean(values, level: 1));
    }
}
