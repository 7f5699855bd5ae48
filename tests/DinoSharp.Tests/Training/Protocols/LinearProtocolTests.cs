using DinoSharp.Training.Protocols;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

public class LinearProtocolTests
{
    private static VectorSet Set(float[,] vectors, params int[] labels) =>
        new(tensor(vectors).DetachFromDisposeScope(), labels, [.. labels.Select((_, i) => $"{i}.jpg")], ["a", "b", "c"], []);

    [Fact]
    public void ASeparableSetIsLearntAndTheFirstOfTheBestRatesIsTaken()
    {
        using VectorSet train = Set(KnnProtocolTests.Directions(0, 5, 120, 125, 240, 245), 0, 0, 1, 1, 2, 2), val = Set(KnnProtocolTests.Directions(10, 130, 250, 355), 0, 1, 2, 0);
        var options = new LinearProtocolOptions { Rates = [1e-9, 10, 20], Steps = 60, BatchSize = 4 };
        (EvaluationResult result, IReadOnlyList<(double Rate, double Accuracy)> grid) = LinearProtocol.Run(train, val, "by hand", options);
        Assert.Equal(1, result.Metrics["top1"]);
        Assert.Equal("10", result.Settings["rate"]);
        Assert.Equal([1e-9, 10, 20], grid.Select(g => g.Rate));
        Assert.True(grid[0].Accuracy < 1); // hardly moved from its random start
        (EvaluationResult again, _) = LinearProtocol.Run(train, val, "by hand", options);
        Assert.Equal(result.Metrics, again.Metrics);
    }

    [Fact]
    public void FreshViewsAreAskedForInEveryStepAndEveryImageComesOncePerRound()
    {
        using VectorSet train = Set(KnnProtocolTests.Directions(0, 90, 180, 270), 0, 1, 2, 1);
        var rounds = new List<int>();
        LinearProtocol.Run(train, train, "", new LinearProtocolOptions { Rates = [1], Steps = 4, BatchSize = 2 }, rows =>
        {
            rounds.AddRange(rows);
            return zeros(rows.Count, 2);
        });
        Assert.Equal([0, 1, 2, 3], rounds.Take(4).Order());
        Assert.Equal([0, 1, 2, 3], rounds.Skip(4).Order());
        Assert.Throws<DinoSharpException>(() => LinearProtocol.Run(train, train, "", new LinearProtocolOptions { Rates = [0] }));
        Assert.Throws<DinoSharpException>(() => LinearProtocol.Run(train, train, "", new LinearProtocolOptions { Steps = 0 }));
    }

    [Fact]
    public void LogisticRegressionChoosesCWithoutTheTestSet()
    {
        using VectorSet train = Set(KnnProtocolTests.Directions(0, 5, 120, 125, 240, 245), 0, 0, 1, 1, 2, 2), test = Set(KnnProtocolTests.Directions(10, 130, 250), 0, 1, 1);
        (EvaluationResult result, IReadOnlyList<(double C, double Accuracy)> sweep) = LogisticProtocol.Run(train, test, "by hand", [1, 100]);
        Assert.Equal(2.0 / 3, result.Metrics["top1"], 12); // the last label is wrong on purpose
        Assert.Equal([1.0, 100.0], sweep.Select(s => s.C));
        Assert.All(sweep, s => Assert.Equal(1, s.Accuracy)); // on images held out of the training set
        Assert.Equal("1", result.Settings["c"]); // the smallest of equals
    }

    [Fact]
    public void NoTensorIsLeftBehind()
    {
        using VectorSet train = Set(KnnProtocolTests.Directions(0, 5, 120, 125, 240, 245), 0, 0, 1, 1, 2, 2), val = Set(KnnProtocolTests.Directions(10), 0);
        LiveTensors.AssertUnchangedBy(() => LinearProtocol.Run(train, val, "", new LinearProtocolOptions { Steps = 3 }));
        LiveTensors.AssertUnchangedBy(() => LogisticProtocol.Run(train, val, "", [1]));
    }
}
