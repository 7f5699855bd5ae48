using CsCheck;
using DinoSharp.Evaluation;
using Xunit;

namespace DinoSharp.Tests.Evaluation;

public sealed class SegmentationScoresTests
{
    // Truth 0 0 1 1 1 255, prediction 0 1 1 1 2 2: class 0 has 1 of 2, class 1 has 2 of 4, class 2 none of 1; the last pixel does not count.
    private static readonly SegmentationAreas Small = SegmentationAreas.Measure<byte, byte>([0, 1, 1, 1, 2, 2], [0, 0, 1, 1, 1, 255], 4);

    [Fact]
    public void AreasAndScoresOfASmallCase()
    {
        Assert.Equal([1, 2, 0, 0], Small.Intersection);
        Assert.Equal([2, 4, 1, 0], Small.Union);
        Assert.Equal([1, 3, 1, 0], Small.Predicted);
        Assert.Equal([2, 3, 0, 0], Small.Label);
        SegmentationScores s = Small.Score();
        Assert.Equal([0.5, 0.5, 0, double.NaN], s.Iou);
        Assert.Equal(1.0 / 3, s.MeanIou, 12);
        Assert.Equal(0.6, s.PixelAccuracy, 12);
        Assert.Equal([1, 2.0 / 3, 0, double.NaN], s.Precision);
        Assert.Equal([0.5, 2.0 / 3, double.NaN, double.NaN], s.Recall);
        Assert.Equal([2.0 / 3, 2.0 / 3, 0, double.NaN], s.Dice);
        Assert.Equal([2.0 / 3, 2.0 / 3, double.NaN, double.NaN], s.FScore);
    }

    [Fact]
    public void ZeroLabelIsMovedToTheIgnoredOne()
    {
        var reduced = SegmentationAreas.Measure<byte, byte>([0, 0, 1], [0, 1, 2], 2, 255, reduceZeroLabel: true);
        Assert.Equal([1, 1], reduced.Intersection);
        Assert.Equal([1, 1], reduced.Label);
        var other = SegmentationAreas.Measure<byte, byte>([0, 0, 1, 1], [0, 1, 2, 255], 2, ignoreIndex: 1, reduceZeroLabel: true);
        Assert.Equal([1, 0], other.Label); // 0 and 255 are no class, 2 became 1 and is left out
        Assert.Equal([2, 1], other.Predicted); // but only what is left out is not scored
    }

    [Fact]
    public void MapsOfDifferentSizeAreRefused()
    {
        var e = Assert.Throws<DinoSharpException>(() => SegmentationAreas.Measure<byte, byte>([0, 0], [0], 2));
        Assert.Contains("2 pixels", e.Message);
    }

    [Fact]
    public void PerfectAllWrongAndEmptyPredictions()
    {
        byte[] label = [0, 1, 2, 2];
        Assert.Equal(1, SegmentationAreas.Measure<byte, byte>(label, label, 3).Score().MeanIou);
        Assert.Equal(0, SegmentationAreas.Measure<byte, byte>([1, 2, 0, 0], label, 3).Score().MeanIou);
        SegmentationScores nothing = SegmentationAreas.Measure<byte, byte>([9, 9, 9, 9], label, 3).Score(); // 9 is no class
        Assert.Equal([0, 0, 0], nothing.Iou);
        Assert.True(double.IsNaN(SegmentationAreas.Measure<byte, byte>(label, [255, 255, 255, 255], 3).Score().PixelAccuracy));
    }

    [Fact]
    public void ScoresDoNotDependOnHowThePixelsAreSplitIntoImages() =>
        Gen.Select(Gen.Byte[0, 5].Array[1, 60], Gen.Int[0, 1000]).Sample((label, seed) =>
        {
            var random = new Random(seed);
            byte[] predicted = [.. label.Select(_ => (byte)random.Next(6))];
            int cut = random.Next(label.Length + 1);
            SegmentationScores whole = SegmentationAreas.Measure<byte, byte>(predicted, label, 5).Score();
            SegmentationScores parts = SegmentationAreas.Sum(
            [
                SegmentationAreas.Measure<byte, byte>(predicted.AsSpan(0, cut), label.AsSpan(0, cut), 5),
                SegmentationAreas.Measure<byte, byte>(predicted.AsSpan(cut), label.AsSpan(cut), 5),
            ]).Score();
            return whole.Iou.SequenceEqual(parts.Iou) && whole.MeanRecall.Equals(parts.MeanRecall) && whole.PixelAccuracy.Equals(parts.PixelAccuracy);
        });

    [Fact]
    public void DiceFollowsFromIou() =>
        Gen.Select(Gen.Byte[0, 3].Array[1, 60], Gen.Int[0, 1000]).Sample((label, seed) =>
        {
            var random = new Random(seed);
            SegmentationScores s = SegmentationAreas.Measure<byte, byte>([.. label.Select(_ => (byte)random.Next(4))], label, 4).Score();
            return s.Iou.Zip(s.Dice).All(c => double.IsNaN(c.First) || Math.Abs((2 * c.First / (1 + c.First)) - c.Second) < 1e-12);
        });
}
