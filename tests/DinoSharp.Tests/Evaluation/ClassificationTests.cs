using CsCheck;
using DinoSharp.Evaluation;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Evaluation;

public sealed class ClassificationTests
{
    private static readonly float[,] Scores = { { 0.7f, 0.2f, 0.1f }, { 0.2f, 0.3f, 0.5f }, { 0.4f, 0.5f, 0.1f }, { 0.1f, 0.8f, 0.1f } };

    [Fact]
    public void TopKCountsTheBestGuesses()
    {
        using Tensor scores = tensor(Scores);
        int[] labels = [0, 1, 0, 1];
        Assert.Equal([true, false, false, true], ClassificationMetrics.TopKHits(scores, labels));
        Assert.Equal(0.5, ClassificationMetrics.TopK(scores, labels));
        Assert.Equal(1, ClassificationMetrics.TopK(scores, labels, 2));
        Assert.Equal(1, ClassificationMetrics.TopK(scores, labels, 5)); // more guesses than classes
        Assert.Equal(0.5, ClassificationMetrics.MeanPerClass(scores, labels));
        Assert.Equal(((1.0 / 3) + 1) / 2, ClassificationMetrics.MeanPerClass(scores, [0, 2, 0, 0]), 12);
    }

    [Fact]
    public void AnyOfSeveralLabelsIsRight()
    {
        using Tensor scores = tensor(Scores);
        Assert.Equal(2.0 / 3, ClassificationMetrics.AnyMatch(scores, [[1, 0], [2], [], [0, 2]]), 12); // the third has no label
    }

    [Fact]
    public void ReciprocalRankCountsTiesAgainstTheLabel()
    {
        using Tensor scores = tensor(new float[,] { { 1, 1, 0 }, { 3, 2, 1 } });
        // Class 0: rank 2, because a tie counts as higher; class 1: rank 2; class 2 has no sample and counts 0.
        Assert.Equal(((0.5 / 1.000001) + (0.5 / 1.000001)) / 3, ClassificationMetrics.MacroReciprocalRank(scores, [0, 1]), 12);
    }

    [Fact]
    public void WrongLabelsAreNamed()
    {
        using Tensor scores = tensor(Scores);
        Assert.Contains("classes 0 to 2", Assert.Throws<DinoSharpException>(() => ClassificationMetrics.TopK(scores, [0, 1, 3, 0])).Message);
        Assert.Contains("4 samples", Assert.Throws<DinoSharpException>(() => ClassificationMetrics.TopK(scores, [0])).Message);
    }

    [Fact]
    public void ConfusionMatrixOfASmallCase()
    {
        var m = new ConfusionMatrix([0, 0, 1, 1, 1], [0, 1, 1, 1, 2], 4);
        Assert.Equal((1, 1, 2, 1), (m[0, 0], m[0, 1], m[1, 1], m[1, 2]));
        Assert.Equal(0.6, m.Accuracy, 12);
        Assert.Equal([0.5, 2.0 / 3, double.NaN, double.NaN], m.Recall);
        Assert.Equal([1, 2.0 / 3, 0, double.NaN], m.Precision);
        Assert.Equal([2.0 / 3, 2.0 / 3, 0, double.NaN], m.F1);
        Assert.Equal(7.0 / 12, m.MeanRecall, 12);
        Assert.Equal(4.0 / 9, m.MacroF1, 12);
        Assert.Throws<DinoSharpException>(() => new ConfusionMatrix([4], [0], 4));
    }

    [Fact]
    public void RankingScoresOfASmallCase()
    {
        // Best first: hit, miss, hit, miss. AP = (1/1 + 2/3) / 2; of the 4 pairs of a hit and a miss 3 are in order.
        double[] scores = [0.9, 0.8, 0.7, 0.1];
        bool[] relevant = [true, false, true, false];
        Assert.Equal(5.0 / 6, RankingMetrics.AveragePrecision(scores, relevant), 12);
        Assert.Equal(0.75, RankingMetrics.Auroc(scores, relevant), 12);
        Assert.Equal(((6 * 1) + (5 * 2.0 / 3)) / 11, RankingMetrics.AveragePrecisionVoc2007(scores, relevant), 12); // recall 0 to 0.5: 1; 0.6 to 1: 2/3
        Assert.Equal(0.5, RankingMetrics.Auroc([1, 1, 1], [true, false, true]), 12);
        Assert.Equal(2.0 / 3, RankingMetrics.AveragePrecision([1, 1, 1], [true, false, true]), 12);
        Assert.True(double.IsNaN(RankingMetrics.Auroc([1, 2], [true, true])));
        Assert.True(double.IsNaN(RankingMetrics.AveragePrecision([1, 2], [false, false])));
    }

    [Fact]
    public void AurocIsTheShareOfOrderedPairs() =>
        Gen.Select(Gen.Int[0, 9].Array[2, 30], Gen.Bool.Array[30]).Where((s, r) => r.Take(s.Length).Distinct().Count() == 2).Sample((s, r) =>
        {
            double[] scores = [.. s.Select(x => (double)x)];
            bool[] relevant = [.. r.Take(s.Length)];
            double pairs = (from i in Enumerable.Range(0, s.Length)
                            where relevant[i]
                            from j in Enumerable.Range(0, s.Length)
                            where !relevant[j]
                            select s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0).Average();
            return Math.Abs(RankingMetrics.Auroc(scores, relevant) - pairs) < 1e-12;
        });

    [Fact]
    public void MultiLabelScoresAverageOverClasses()
    {
        using Tensor scores = tensor(new float[,] { { 0.9f, 0.1f }, { 0.8f, 0.2f }, { 0.7f, 0.3f } }), targets = tensor(new long[,] { { 1, 0 }, { 0, 0 }, { 1, 1 } });
        Assert.Equal(((5.0 / 6) + 1) / 2, ClassificationMetrics.MeanAveragePrecision(scores, targets), 12);
        Assert.Equal((0.5 + 1) / 2, ClassificationMetrics.MeanAuroc(scores, targets), 12);
        using Tensor predicted = tensor(new long[,] { { 1, 0 }, { 1, 0 }, { 0, 1 } });
        (double micro, double macro) = ClassificationMetrics.MultiLabelF1(predicted, targets);
        Assert.Equal(4.0 / 6, micro, 12);
        Assert.Equal((0.5 + 1) / 2, macro, 12);
    }

    [Fact]
    public void CorruptionErrorIsRelativeToAlexNet()
    {
        double[] alexNet = [1 - 0.69528, 1 - 0.82542, 1 - 0.93554, 1 - 0.98138, 1 - 0.99452];
        Assert.Equal(1, ImageNetC.CorruptionError("gaussian_noise", alexNet), 12);
        Assert.Equal(0.5 / 0.886428, ImageNetC.CorruptionError("gaussian_noise", [0.5, 0.5, 0.5, 0.5, 0.5]), 12);
        Assert.Equal(19, ImageNetC.Corruptions.Count);
        Assert.Contains("'snow'", Assert.Throws<DinoSharpException>(() => ImageNetC.CorruptionError("snov", alexNet)).Message);
    }

    [Fact]
    public void NoSamplesAreNamed()
    {
        using var scope = NewDisposeScope();
        Assert.Contains("no labelled samples", Assert.Throws<DinoSharpException>(() => ClassificationMetrics.TopK(zeros(0, 3), [])).Message, StringComparison.Ordinal);
        Assert.Throws<DinoSharpException>(() => ClassificationMetrics.MeanPerClass(zeros(0, 3), []));
    }
}
