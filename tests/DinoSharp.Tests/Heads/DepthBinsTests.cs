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

    [Fact]
    public void SixteenBitsHoldTheDepthOrSaySo()
    {
        var map = new DepthMap(2, 1, [1.2345f, 95.99f]);
        Assert.Contains("65.535 m", Assert.Throws<DinoSharpException>(() => map.ToGray16()).Message, StringComparison.Ordinal);
        Assert.Equal([123, 9599], map.ToGray16(0.01).Samples<ushort>().ToArray());
        Assert.Equal([1235, 65535], new DepthMap(2, 1, [1.2346f, 65.535f]).ToGray16().Samples<ushort>().ToArray());
    }
}
