using DinoSharp.Features;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features;

public class PcaTests
{
    [Theory]
    [InlineData(60, 20)] // more samples than dimensions: covariance
    [InlineData(12, 40)] // fewer: Gram matrix
    [InlineData(20, 20)]
    public void EqualsTheSingularValueDecomposition(int samples, int dim)
    {
        using var scope = NewDisposeScope();
        Tensor x = Samples(samples, dim, seed: 1);
        Pca pca = Pca.Fit(x, 3);
        Tensor centred = x.to_type(ScalarType.Float64) - x.to_type(ScalarType.Float64).mean([0]);
        (_, Tensor s, Tensor vt) = linalg.svd(centred, fullMatrices: false);
        for (int k = 0; k < 3; k++)
        {
            double expected = Math.Pow(s[k].item<double>(), 2) / (samples - 1);
            Assert.Equal(expected, pca.ExplainedVariance[k], expected * 1e-10);
            double alignment = (tensor(pca.Component(k).ToArray()) * vt[k]).sum().item<double>();
            Assert.Equal(1, Math.Abs(alignment), 1e-10);
        }
    }

    [Fact]
    public void WhitenedCoordinatesHaveMeanZeroAndUnitVarianceAndNoCorrelation()
    {
        using var scope = NewDisposeScope();
        Tensor x = Samples(200, 8, seed: 2);
        Tensor z = Pca.Fit(x, 3).Project(x).to_type(ScalarType.Float64);
        Tensor covariance = z.t().mm(z) / 199;
        Assert.True(z.mean([0]).abs().max().item<double>() < 1e-6);
        Assert.True((covariance - eye(3, dtype: ScalarType.Float64)).abs().max().item<double>() < 1e-5);
    }

    [Fact]
    public void SignsDoNotDependOnTheOrderOfTheSamples()
    {
        using var scope = NewDisposeScope();
        Tensor x = Samples(50, 10, seed: 3);
        Pca forward = Pca.Fit(x), backward = Pca.Fit(x.flip(0));
        for (int k = 0; k < 3; k++)
        {
            Assert.True(forward.Component(k).ToArray().MaxBy(Math.Abs) > 0);
            for (int d = 0; d < 10; d++) Assert.Equal(forward.Component(k)[d], backward.Component(k)[d], 1e-9);
        }
    }

    [Fact]
    public void EqualFeaturesGiveTheMiddleOfEveryColour()
    {
        float[] values = new float[6 * 7 * 5];
        Array.Fill(values, 0.1f);
        PcaMap pca = new PatchMap(6, 7, 5, values, PatchGeometry.Whole(70, 60)).Pca();
        Assert.All(pca.Map.Values.ToArray(), value => Assert.Equal(0, value));
        Assert.All(pca.ToImage().Bytes.ToArray(), level => Assert.Equal(128, level));
    }

    [Fact]
    public void JointComponentsGiveEqualPatchesEqualCoordinates()
    {
        float[] values = Random(4 * 6 * 8, seed: 4);
        var left = new PatchMap(4, 6, 8, values, PatchGeometry.Whole(60, 40));
        var right = new PatchMap(6, 4, 8, [.. values], PatchGeometry.Whole(40, 60));
        Pca pca = Pca.Fit([left, right]);
        Assert.Equal(pca.Project(left).Map.Values.ToArray(), pca.Project(right).Map.Values.ToArray());
    }

    [Fact]
    public void OnlyForegroundPatchesAreFitted()
    {
        float[] values = Random(5 * 5 * 4, seed: 5);
        bool[] mask = [.. Enumerable.Range(0, 25).Select(i => i < 15)];
        var map = new PatchMap(5, 5, 4, values, PatchGeometry.Whole(50, 50));
        Pca masked = Pca.Fit([map], 2, [new PatchMask(5, 5, mask)]);
        Pca expected = Pca.Fit([new PatchMap(3, 5, 4, values[..60], PatchGeometry.Whole(50, 30))], 2);
        Assert.Equal(expected.Mean.ToArray(), masked.Mean.ToArray());
        Assert.Equal(expected.Component(1).ToArray(), masked.Component(1).ToArray());
    }

    [Fact]
    public void WhatCannotBeFittedIsAClearError()
    {
        var map = new PatchMap(1, 3, 4, Random(12, seed: 6), PatchGeometry.Whole(48, 16));
        Assert.Contains("at least 4 patches", Assert.Throws<DinoSharpException>(() => map.Pca(3)).Message);
        var broken = new PatchMap(2, 4, 4, [.. Random(31, seed: 7), float.NaN], PatchGeometry.Whole(64, 32));
        Assert.Contains("not finite", Assert.Throws<DinoSharpException>(() => broken.Pca(3)).Message);
    }

    [Fact]
    public void LeaksNothing()
    {
        var map = new PatchMap(5, 6, 4, Random(120, seed: 8), PatchGeometry.Whole(96, 80));
        LiveTensors.AssertUnchangedBy(() => Pca.Fit([map, map]).Project(map));
        LiveTensors.AssertUnchangedBy(() => map.Pca(3, PatchMask.Guess([map])[0]));
    }

    private static float[] Random(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.5))];
    }

    private static Tensor Samples(int samples, int dim, int seed)
    {
        // Decreasing scales keep the leading components apart.
        Tensor scales = pow(0.7, arange(dim, dtype: ScalarType.Float32));
        return tensor(Random(samples * dim, seed), [samples, dim]) * scales + 3;
    }
}
