using DinoSharp.Features;
using DinoSharp.Probes;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Probes;

public sealed class KnnClassifierTests
{
    // Four directions in the plane; 0 and 1 are close, 2 and 3 are close.
    private static readonly float[,] Train = { { 1, 0 }, { 0.9f, 0.1f }, { 0, 1 }, { 0.1f, 0.9f } };

    [Fact]
    public void VotesAreASoftmaxOverTheLargestK()
    {
        using var scope = NewDisposeScope();
        using KnnClassifier classifier = KnnClassifier.Fit(tensor(Train), [0, 1, 2, 2]);
        IReadOnlyList<KnnVotes> votes = classifier.Vote(tensor(new float[,] { { 2, 0 } }), new() { Neighbors = [2, 1], Temperature = 0.5 });
        Assert.Equal([1, 2], votes.Select(v => v.Neighbors));
        double second = 0.9 / Math.Sqrt(0.82), first = 1 / (1 + Math.Exp((second - 1) / 0.5));
        Assert.Equal([(float)first, 0, 0], votes[0].Scores.data<float>().ToArray(), (a, b) => Math.Abs(a - b) < 1e-6);
        Assert.Equal([(float)first, (float)(1 - first), 0], votes[1].Scores.data<float>().ToArray(), (a, b) => Math.Abs(a - b) < 1e-6);
        Assert.Equal([0], votes[1].Predict());
    }

    [Fact]
    public void KIsCutToTheTrainingSetAndSkippingLeavesTheSampleOut()
    {
        using var scope = NewDisposeScope();
        using KnnClassifier classifier = KnnClassifier.Fit(tensor(Train), [0, 1, 2, 3]);
        Assert.Equal([4], classifier.Vote(tensor(Train)).Select(v => v.Neighbors));
        KnnVotes others = Assert.Single(classifier.Vote(tensor(Train), new() { Neighbors = [1], SkipFirstNeighbor = true }));
        Assert.Equal([1, 0, 3, 2], others.Predict()); // each is called by the name of its neighbour
    }

    [Fact]
    public void ResultsDoNotDependOnHowQueriesAndKeysAreCut()
    {
        using var scope = NewDisposeScope();
        manual_seed(0);
        Tensor keys = randn(70_000, 8), queries = randn(1_100, 8); // more than one piece of each
        (Tensor similarities, Tensor indices) = NearestNeighbors.Find(queries, keys, 5);
        (Tensor expected, Tensor expectedIndices) = queries.matmul(keys.t()).topk(5, 1);
        Assert.True(similarities.allclose(expected));
        Assert.True(indices.equal(expectedIndices).all().item<bool>());
    }

    [Fact]
    public void ManyLabelsGiveTheSameVotesAsOne()
    {
        using var scope = NewDisposeScope();
        manual_seed(1);
        Tensor features = randn(200, 6), queries = randn(30, 6), labels = randint(0, 5, 200, ScalarType.Int64);
        using KnnClassifier single = KnnClassifier.Fit(features, [.. labels.data<long>().Select(l => (int)l)], 5);
        using KnnClassifier several = KnnClassifier.FitMultiLabel(features, nn.functional.one_hot(labels, 5));
        foreach ((KnnVotes a, KnnVotes b) in single.Vote(queries).Zip(several.Vote(queries))) Assert.True(a.Scores.allclose(b.Scores));
    }

    [Fact]
    public void NothingLeaks()
    {
        using var scope = NewDisposeScope();
        Tensor features = randn(50, 4);
        long Live() => DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        long before = Live();
        using (KnnClassifier classifier = KnnClassifier.Fit(features, new int[50], 3))
        {
            foreach (KnnVotes votes in classifier.Vote(features)) votes.Dispose();
        }

        Assert.Equal(before, Live());
    }

    [Fact]
    public void BadInputIsNamed()
    {
        using var scope = NewDisposeScope();
        Assert.Contains("3 labels", Assert.Throws<DinoSharpException>(() => KnnClassifier.Fit(tensor(Train), [0, 1, 2])).Message);
        Assert.Contains("label -1", Assert.Throws<DinoSharpException>(() => KnnClassifier.Fit(tensor(Train), [0, -1, 2, 1])).Message);
        using KnnClassifier classifier = KnnClassifier.Fit(tensor(Train), [0, 1, 2, 3]);
        Assert.Contains("[M, 2]", Assert.Throws<DinoSharpException>(() => classifier.Vote(randn(3, 5))).Message);
        Assert.Contains("temperature", Assert.Throws<DinoSharpException>(() => classifier.Vote(randn(3, 2), new() { Temperature = 0 })).Message);
    }
}
