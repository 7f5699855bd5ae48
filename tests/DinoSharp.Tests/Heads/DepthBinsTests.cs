using DinoSharp.Heads.Depth;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

public sealed class DepthBinsTests
{
    [Theory]
    [InlineData(BinSpacing.Linear)]
    [InlineData(BinSpacing.Log)]
    [InlineData(BinSpacing.MixLog)]
    public void CentersRiseFromTheSmallestToTheLargestDepth(BinSpacing spacing)
    {
        using var scope = NewDisposeScope();
        float[] centers = [.. new DepthBins(0.001, 96, spacing).Centers(256).data<float>()];
        Assert.Equal(0.001f, centers[0], 1e-6f);
        Assert.Equal(spacing == BinSpacing.MixLog ? 12 : 96, centers[^1], 1e-3f);
        Assert.True(centers.Zip(centers.Skip(1)).All(pair => pair.First < pair.Second));
    }

    [Theory]
    [InlineData(BinWeighting.Linear)]
    [InlineData(BinWeighting.Softmax)]
    [InlineData(BinWeighting.Sigmoid)]
    [InlineData(BinWeighting.MixLog)]
    public void EqualScoresGiveTheMeanOfTheCentersAndOneHighScoreGivesItsOwn(BinWeighting weighting)
    {
        using var scope = NewDisposeScope();
        var bins = new DepthBins(1, 9, BinSpacing.Linear, weighting);
        double factor = weighting == BinWeighting.MixLog ? 8 : 1;
        Assert.Equal(5 * factor, bins.ToMeters(ones(1, 9, 1, 1)).item<float>(), 1e-4);
        if (weighting == BinWeighting.Sigmoid) return; // a sigmoid never exceeds one
        Tensor scores = full([1, 9, 1, 1], -1000f);
        scores.select(1, 2).fill_(1e6f);
        Assert.Equal(3 * factor, bins.ToMeters(scores).item<float>(), 1e-2);
    }
}
