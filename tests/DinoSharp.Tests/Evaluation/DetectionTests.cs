using DinoSharp.Evaluation;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Evaluation;

public sealed class DetectionTests
{
    private static readonly Box Square = new(0, 0, 100, 100);

    private static AnnotatedObject Object(Box box, int image = 1, int category = 1) => new(image, category, box);

    private static DetectedObject Found(Box box, double score, int image = 1, int category = 1) => new(image, category, box, score);

    [Fact]
    public void OverlapOfBoxes()
    {
        Assert.Equal(1, Square.Iou(Square));
        Assert.Equal(50.0 * 100 / 15000, Square.Iou(new Box(50, 0, 100, 100)), 12);
        Assert.Equal(0, Square.Iou(new Box(100, 0, 10, 10))); // touching edges share nothing
        Assert.Equal(0, new Box(0, 0, 0, 0).Iou(new Box(0, 0, 0, 0)));
    }

    [Fact]
    public void PerfectDetectionsScoreOne()
    {
        DetectionScores s = new DetectionEvaluation([Object(Square), Object(new(200, 0, 40, 40))], [Found(Square, 0.9), Found(new(200, 0, 40, 40), 0.8)]).Score();
        Assert.Equal(1, s.Ap, 12);
        Assert.Equal((1.0, 1.0), (s.ApLarge, s.ApMedium));
        Assert.True(double.IsNaN(s.ApSmall)); // there is no small object
        Assert.Equal((0.5, 1.0), (s.Ar1, s.Ar10)); // one detection can find one of the two
    }

    [Fact]
    public void NoDetectionScoresZeroAndNoObjectIsNotANumber()
    {
        Assert.Equal(0, new DetectionEvaluation([Object(Square)], []).Score().Ap);
        Assert.True(double.IsNaN(new DetectionEvaluation([], [Found(Square, 1)]).Score().Ap));
    }

    [Fact]
    public void OverlapDecidesAtWhichThresholdsADetectionCounts()
    {
        // IoU 80/100: right at 0.50 … 0.80, that is at 7 of 10 thresholds.
        DetectionScores s = new DetectionEvaluation([Object(Square)], [Found(new(0, 0, 80, 100), 0.9)]).Score();
        Assert.Equal(0.7, s.Ap, 12);
        Assert.Equal((1.0, 1.0), (s.Ap50, s.Ap75));
    }

    [Fact]
    public void AFalseDetectionBeforeARightOneHalvesThePrecision()
    {
        DetectionScores s = new DetectionEvaluation([Object(Square)], [Found(new(500, 0, 100, 100), 0.9), Found(Square, 0.8)]).Score();
        Assert.Equal(0.5, s.Ap, 12);
        Assert.Equal(1, s.Ar100, 12);
        Assert.Equal(0, s.Ar1, 12); // only the best detection counts there
    }

    [Fact]
    public void AFalseDetectionBetweenRightOnesLowersTheSecondHalfOfTheCurve()
    {
        // Precision 1 up to recall 0.5 (51 levels), then 2/3 (50 levels).
        Box second = new(300, 0, 100, 100);
        DetectionScores s = new DetectionEvaluation([Object(Square), Object(second)], [Found(Square, 0.9), Found(new(900, 0, 99, 99), 0.8), Found(second, 0.7)]).Score();
        Assert.Equal((51 + (50 * 2.0 / 3)) / 101, s.Ap, 12);
    }

    [Fact]
    public void AnObjectIsFoundOnlyOnce()
    {
        DetectionScores s = new DetectionEvaluation([Object(Square), Object(new(500, 0, 100, 100))], [Found(Square, 0.9), Found(new(0, 0, 99, 100), 0.8)]).Score();
        Assert.Equal(51.0 / 101, s.Ap, 12); // recall stays at 0.5
    }

    [Fact]
    public void DifficultObjectsCountNeitherWay()
    {
        // Found twice, once, or not at all, a difficult object changes nothing; what only touches it is wrong, as it would be on any other.
        AnnotatedObject[] objects = [Object(Square), new(1, 1, new(200, 0, 100, 100), Difficult: true)];
        Assert.Equal(1, new DetectionEvaluation(objects, [Found(Square, 0.5)]).Score().Ap50, 12);
        Assert.Equal(1, new DetectionEvaluation(objects, [Found(new(200, 0, 100, 100), 0.9), Found(new(200, 0, 100, 90), 0.8), Found(Square, 0.5)]).Score().Ap50, 12);
        Assert.Equal(0.5, new DetectionEvaluation(objects, [Found(new(200, 0, 30, 30), 0.9), Found(Square, 0.5)]).Score().Ap50, 12);
        // As a crowd it would have swallowed that.
        Assert.Equal(1, new DetectionEvaluation([objects[0], objects[1] with { Crowd = true }], [Found(new(200, 0, 30, 30), 0.9), Found(Square, 0.5)]).Score().Ap50, 12);
    }

    [Fact]
    public void DetectionsInACrowdCountNeitherWay()
    {
        AnnotatedObject[] objects = [Object(Square), new(1, 1, new(200, 0, 300, 300), Crowd: true)];
        DetectionScores s = new DetectionEvaluation(objects, [Found(new(210, 10, 50, 50), 0.95), Found(new(300, 10, 50, 50), 0.94), Found(Square, 0.5)]).Score();
        Assert.Equal(1, s.Ap, 12);
    }

    [Fact]
    public void ObjectsOfOtherSizesAreLeftOut()
    {
        Box small = new(300, 300, 20, 20);
        DetectionScores s = new DetectionEvaluation([Object(Square), Object(small)], [Found(Square, 0.9)]).Score();
        Assert.Equal(1, s.ApLarge, 12);
        Assert.Equal(0, s.ApSmall, 12);
        Assert.Equal(51.0 / 101, s.Ap, 12);
        // The area of the mask decides, not that of the box.
        Assert.True(double.IsNaN(new DetectionEvaluation([new(1, 1, Square, Area: 900)], [Found(Square, 0.9)]).Score().ApLarge));
    }

    [Fact]
    public void CategoriesAreAveraged()
    {
        DetectionScores s = new DetectionEvaluation([Object(Square), Object(Square, category: 7)], [Found(Square, 0.9), Found(Square, 0.9, category: 9)]).Score();
        Assert.Equal(0.5, s.Ap, 12); // category 9 has no object and does not count
        Assert.Equal(1, s.ApByCategory[1], 12);
        Assert.Equal(0, s.ApByCategory[7], 12);
    }

    [Fact]
    public void AResampleCanRepeatAnImage()
    {
        var evaluation = new DetectionEvaluation([Object(Square), Object(Square, image: 2)], [Found(Square, 0.9)]);
        Assert.Equal([1, 2], evaluation.Images);
        Assert.Equal(51.0 / 101, evaluation.Score().Ap, 12);
        Assert.Equal(1, evaluation.Score([0, 0]).Ap, 12);
        Assert.Equal(0, evaluation.Score([1, 1]).Ap, 12);
        Assert.Equal(evaluation.Score([0, 0, 1]).Ap, evaluation.AveragePrecision([0, 0, 1]), 12);
    }

    [Fact]
    public void MasksCanReplaceBoxes()
    {
        DetectionScores s = new DetectionEvaluation([Object(Square)], [Found(new(500, 500, 1, 1), 0.9)], iou: (_, _) => 0.6).Score();
        Assert.Equal(0.3, s.Ap, 12); // right at 0.50, 0.55 and 0.60
    }
}
