using DinoSharp.Features;
using DinoSharp.Features.Clustering;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features.Clustering;

public sealed class KMeansTests
{
    // 60, 30 and 10 vectors around three directions.
    private static Tensor Samples(out int[] truth)
    {
        truth = [.. Enumerable.Range(0, 100).Select(i => i < 60 ? 0 : i < 90 ? 1 : 2)];
        manual_seed(0);
        Tensor directions = randn(3, 20);
        return (directions.index_select(0, tensor(truth.Select(t => (long)t).ToArray())) + (0.2 * randn(100, 20))) * (rand(100, 1) + 0.1);
    }

    [Fact]
    public void SeparateGroupsAreFoundAndOrderedBySize()
    {
        using var scope = NewDisposeScope();
        Tensor samples = Samples(out int[] truth);
        KMeans clusters = KMeans.Fit(samples, 3);
        PatchMap similarities = clusters.Similarities(new PatchMap(10, 10, 20, samples.data<float>().ToArray(), PatchGeometry.Whole(10, 10)));
        Assert.Equal(truth, Enumerable.Range(0, 100).Select(i => (int)PatchClasses.Largest(similarities[i / 10, i % 10])));
        Assert.InRange(clusters.MeanSimilarity, 0.95, 1);
    }

    [Fact]
    public void EqualSeedsGiveEqualClusters()
    {
        using var scope = NewDisposeScope();
        manual_seed(1);
        Tensor noise = randn(200, 8);
        Assert.Equal(KMeans.Fit(noise, 5, new() { Seed = 3 }).Center(2).ToArray(), KMeans.Fit(noise, 5, new() { Seed = 3 }).Center(2).ToArray());
    }

    [Fact]
    public void MoreClustersThanDifferentVectorsStillWork()
    {
        using var scope = NewDisposeScope();
        KMeans clusters = KMeans.Fit(ones(6, 4), 3); // all alike
        Assert.Equal(3, clusters.Count);
        Assert.Equal(1, clusters.MeanSimilarity, 5);
        Assert.Contains("at least as many", Assert.Throws<DinoSharpException>(() => KMeans.Fit(ones(2, 4), 3)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => KMeans.Fit(ones(4, 4), 2, new() { MaxIterations = 0 }));
        Assert.Contains("not finite", Assert.Throws<DinoSharpException>(() => KMeans.Fit(full(4, 4, double.NaN), 2)).Message);
    }

    [Fact]
    public void NothingLeaks()
    {
        using var scope = NewDisposeScope();
        Tensor samples = Samples(out _);
        LiveTensors.AssertUnchangedBy(() => KMeans.Fit(samples, 4));
    }
}
