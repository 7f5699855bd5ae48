using DinoSharp.Probes;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Probes;

public sealed class LogisticRegressionSweepTests
{
    private static (Tensor Features, int[] Labels) Samples(int count, int seed)
    {
        using var random = new Generator((ulong)seed);
        int[] labels = [.. Enumerable.Range(0, count).Select(i => i % 3)];
        Tensor centers = tensor(new float[,] { { 2, 0, 0, 0 }, { 0, 2, 0, 0 }, { 0, 0, 2, 0 } });
        return (centers.index_select(0, tensor(Array.ConvertAll(labels, l => (long)l))) + randn(count, 4, generator: random), labels);
    }

    [Fact]
    public void TheGridIsThePublishedOne()
    {
        Assert.Equal(45, LogisticRegressionSweep.PublishedGrid.Count);
        Assert.Equal(1e-6, LogisticRegressionSweep.PublishedGrid[0], 12);
        Assert.Equal(0.1, LogisticRegressionSweep.PublishedGrid[20], 6);
        Assert.Equal(1e5, LogisticRegressionSweep.PublishedGrid[44], 1);
    }

    [Fact]
    public void TheBestValueIsTakenAndFittedOnEverything()
    {
        using var scope = NewDisposeScope();
        (Tensor features, int[] labels) = Samples(90, 1);
        (Tensor more, int[] moreLabels) = Samples(60, 2);
        using LogisticRegressionSweepResult sweep = LogisticRegressionSweep.Run(features, labels, (more, moreLabels), [1e-6, 0.01, 1]);
        Assert.Equal([1e-6, 0.01, 1], sweep.Table.Select(row => row.C));
        Assert.Equal(sweep.Table.Where(row => row.Accuracy == sweep.Table.Max(r => r.Accuracy)).Min(row => row.C), sweep.C);
        using LogisticRegression direct = LogisticRegression.Fit(cat([features, more]), [.. labels, .. moreLabels], new() { C = sweep.C });
        Assert.True(sweep.Classifier.Weight.allclose(direct.Weight, 1e-5, 1e-7));
    }

    [Fact]
    public void WithoutValidationATenthOfEachClassIsHeldOut()
    {
        using var scope = NewDisposeScope();
        (Tensor features, int[] labels) = Samples(90, 3);
        using LogisticRegressionSweepResult sweep = LogisticRegressionSweep.Run(features, labels, grid: [1]);
        Assert.Equal(0, sweep.Table[0].Accuracy * 9 % 1, 9); // 3 of each class
        LiveTensors.AssertUnchangedBy(() => LogisticRegressionSweep.Run(features, labels, grid: [0.1, 1]).Dispose());
    }

    [Fact]
    public void HoldingOutTakesTheShareOfEachClassAndNoneOfASingleSample()
    {
        int[] labels = [.. Enumerable.Repeat(0, 25), .. Enumerable.Repeat(1, 3), 2];
        (int[] train, int[] held) = Subsets.HoldOut(labels);
        Assert.Equal([2, 1], held.GroupBy(i => labels[i]).OrderBy(g => g.Key).Select(g => g.Count()));
        Assert.Equal(Enumerable.Range(0, 29), train.Concat(held).Order());
        Assert.Equal(held, Subsets.HoldOut(labels).Validation);
        Assert.NotEqual(held, Subsets.HoldOut(labels, seed: 1).Validation);
    }

    [Fact]
    public void FewShotTakesAsManyOfEachClass()
    {
        int[] labels = [.. Enumerable.Range(0, 100).Select(i => i % 4)];
        int[] five = Subsets.FewShot(labels, 5);
        Assert.Equal([5, 5, 5, 5], five.GroupBy(i => labels[i]).Select(g => g.Count()));
        Assert.Equal(five.Order(), five);
        Assert.NotEqual(five, Subsets.FewShot(labels, 5, attempt: 1));
        Assert.Equal(4 * 2, Subsets.FewShot(labels, 0.1).Length); // trunc(0.1 · 25) = 2
        Assert.Equal(100, Subsets.FewShot(labels, 1000).Length);
    }

    [Fact]
    public void TheFirstDrawIsThatOfTorch()
    {
        // torch.randperm(10, generator=torch.Generator().manual_seed(0)) of PyTorch 2.
        Assert.Equal([4, 1, 7, 5, 3], FirstOf(10, 5));
        static int[] FirstOf(int count, int take)
        {
            using var random = new Generator(0);
            using Tensor permutation = randperm(count, ScalarType.Int64, generator: random);
            return [.. permutation.data<long>().Take(take).Select(i => (int)i)];
        }
    }
}
