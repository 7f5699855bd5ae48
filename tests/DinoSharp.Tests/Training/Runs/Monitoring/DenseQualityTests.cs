using CsCheck;
using DinoSharp.Training.Runs.Monitoring;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Runs.Monitoring;

public sealed class DenseQualityTests
{
    [Fact]
    public void TwoHalvesGiveTheFiguresCountedByHand()
    {
        using var scope = NewDisposeScope();
        // 4 x 4 patches, the left half (1, 0), the right half (0, 2): lengths do not count.
        Tensor patches = zeros(1, 16, 2);
        for (int i = 0; i < 16; i++) patches[0, i, i % 4 < 2 ? 0 : 1] = i % 4 < 2 ? 1 : 2;
        DenseQuality quality = DenseQuality.Of(tensor(new[] { 3f, 0f }).unsqueeze(0), patches, 4, 4);
        // Of 84 ordered pairs that touch, 8 side by side and 12 corner to corner lie across the middle.
        Assert.Equal(64 / 84.0, quality.Near, 9);
        // Of the 240 - 84 others, all at least 2 apart: of 128 ordered pairs across, 20 touch; of 112 within a half, 64 do.
        Assert.Equal(48 / 156.0, quality.Far, 9);
        Assert.Equal(quality.Near - quality.Far, quality.Locality, 12);
        Assert.Equal(0.5, quality.ClassToken, 9); // the left half is like the class token, the right half at right angles
    }

    [Fact]
    public void EqualPatchesHaveNoLocality()
    {
        using var scope = NewDisposeScope();
        DenseQuality quality = DenseQuality.Of(ones(2, 5), ones(2, 36, 5), 6, 6);
        Assert.Equal(1, quality.Near, 9);
        Assert.Equal(0, quality.Locality, 9);
        Assert.True(double.IsNaN(quality.HalfDistance));
        Assert.Equal(1, quality.ClassToken, 9);
    }

    [Theory]
    [InlineData(1.5)]
    [InlineData(2.5)]
    public void TheHalfDistanceFollowsTheWidthOfTheSimilarity(double width)
    {
        using var scope = NewDisposeScope();
        double half = DenseQuality.Of(ones(1, 24 * 24), Bumps(24, width), 24, 24).HalfDistance;
        // Bumps of deviation w overlap like exp(-d²/4w²); the middle between the values for touching patches and for far ones is known in advance.
        double near = 0.5 * (Math.Exp(-1 / (4 * width * width)) + Math.Exp(-2 / (4 * width * width)));
        double expected = 2 * width * Math.Sqrt(-Math.Log(near / 2));
        Assert.InRange(half, expected - 0.4, expected + 0.4);
    }

    [Fact]
    public void NoiseTakesLocalityAway() => Gen.Select(Gen.ULong, Gen.Double[0.02, 0.2]).Sample((seed, noise) =>
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(seed);
        Tensor clean = Bumps(8, 1.5), dirt = randn(clean.shape, generator: random), tokens = ones(1, 64);
        double[] locality = [.. new[] { 0, noise, 3 * noise }.Select(n => DenseQuality.Of(tokens, clean + (n * dirt), 8, 8).Locality)];
        Assert.True(locality[0] > locality[1] && locality[1] > locality[2], string.Join(" ", locality));
    }, iter: 20);

    [Fact]
    public void TheRankCountsDirections()
    {
        using var scope = NewDisposeScope();
        Assert.Equal(7, FeatureRank.Of(eye(7) * 3), 3);
        Assert.Equal(1, FeatureRank.Of(ones(20, 6)), 3);
        Assert.Equal(3, FeatureRank.Of(eye(3, 9).repeat(5, 1)), 3);
        Assert.Equal(3, FeatureRank.Of(eye(3, 50).repeat(5, 1)), 3); // more dimensions than features
    }

    [Fact]
    public void NothingIsLeftBehind() => LiveTensors.AssertUnchangedBy(() =>
    {
        using Tensor tokens = ones(2, 5), patches = ones(2, 36, 5);
        DenseQuality.Of(tokens, patches, 6, 6);
        FeatureRank.Of(tokens);
    });

    // A bump around its own place for every patch: the similarity of two patches depends on their distance alone. [1, P, P]
    private static Tensor Bumps(int side, double width)
    {
        Tensor place = arange(side, dtype: ScalarType.Float64), line = (-(place.unsqueeze(0) - place.unsqueeze(1)).square() / (2 * width * width)).exp(); // [h, h]
        return kron(line, line).unsqueeze(0); // [1, P, P]
    }
}
