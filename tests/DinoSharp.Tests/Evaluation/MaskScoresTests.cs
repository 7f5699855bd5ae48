using DinoSharp.Evaluation;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Evaluation;

public sealed class MaskScoresTests
{
    // A filled rectangle of value 1.
    private static byte[] Rectangle(int width, int height, int x, int y, int w, int h)
    {
        byte[] map = new byte[width * height];
        for (int row = y; row < y + h; row++) map.AsSpan((row * width) + x, w).Fill(1);
        return map;
    }

    [Fact]
    public void RegionSimilarityIsIntersectionOverUnion()
    {
        byte[] a = Rectangle(10, 10, 0, 0, 4, 4), b = Rectangle(10, 10, 2, 0, 4, 4);
        Assert.Equal(8.0 / 24, MaskScores.RegionSimilarity(a, b, 1), 12);
        Assert.Equal(1, MaskScores.RegionSimilarity(a, a, 1));
        Assert.Equal(1, MaskScores.RegionSimilarity(a, b, 2)); // in neither map
        Assert.Equal(0, MaskScores.RegionSimilarity(a, new byte[100], 1));
    }

    [Fact]
    public void BoundariesWithinTheToleranceAreEqual()
    {
        // The diagonal of 100x100 gives a tolerance of ceil(1.13) = 2 pixels.
        byte[] truth = Rectangle(100, 100, 30, 30, 40, 40);
        Assert.Equal(1, MaskScores.BoundaryF(truth, truth, 100, 1));
        Assert.Equal(1, MaskScores.BoundaryF(Rectangle(100, 100, 31, 30, 40, 40), truth, 100, 1));
        Assert.Equal(1, MaskScores.BoundaryF(Rectangle(100, 100, 32, 30, 40, 40), truth, 100, 1));
        double shifted = MaskScores.BoundaryF(Rectangle(100, 100, 35, 30, 40, 40), truth, 100, 1);
        Assert.InRange(shifted, 0.4, 0.6); // the upright edges are off, the level ones overlap
        Assert.Equal(0, MaskScores.BoundaryF(Rectangle(100, 100, 1, 1, 8, 8), truth, 100, 1));
    }

    [Fact]
    public void EmptyMasksFollowTheProtocol()
    {
        byte[] truth = Rectangle(50, 50, 10, 10, 20, 20), empty = new byte[2500];
        Assert.Equal(1, MaskScores.BoundaryF(empty, empty, 50, 1));
        Assert.Equal(0, MaskScores.BoundaryF(empty, truth, 50, 1));
        Assert.Equal(0, MaskScores.BoundaryF(truth, empty, 50, 1));
    }

    [Fact]
    public void BoundaryMeasureIsSymmetricInItsArguments()
    {
        byte[] a = Rectangle(120, 80, 20, 10, 50, 30), b = Rectangle(120, 80, 24, 15, 50, 33);
        Assert.Equal(MaskScores.BoundaryF(a, b, 120, 1), MaskScores.BoundaryF(b, a, 120, 1), 12);
    }

    [Fact]
    public void TrackingLeavesOutTheFirstAndTheLastFrame()
    {
        byte[] truth = Rectangle(100, 100, 30, 30, 40, 40), empty = new byte[10000];
        TrackingScores s = TrackingScores.Measure([empty, truth, truth, empty], [truth, truth, truth, truth], 100);
        Assert.Equal((1.0, 1.0, 1.0), (s.J, s.F, s.JAndF));
        TrackingScores half = TrackingScores.Measure([truth, truth, empty, truth], [truth, truth, truth, truth], 100);
        Assert.Equal((0.5, 0.5), (half.J, half.F));
        Assert.Equal(1, Assert.Single(half.Objects).Id);
        Assert.Throws<DinoSharpException>(() => TrackingScores.Measure([truth, truth], [truth, truth], 100));
        Assert.Throws<DinoSharpException>(() => TrackingScores.Measure([empty, empty, empty], [empty, empty, empty], 100));
    }

    [Fact]
    public void PointsAndBoxes()
    {
        Assert.Equal(0.5, LocationMetrics.Pck([1, 5, 6, 9], 5));
        Assert.Equal(2.0 / 3, LocationMetrics.CorLoc(
            [new Box(0, 0, 10, 10), new Box(0, 0, 10, 10), null,],
            [[new Box(50, 50, 5, 5), new Box(0, 0, 10, 9)], [new Box(0, 0, 10, 6)], [new Box(0, 0, 1, 1)]]), 12);
        Assert.Equal(0, LocationMetrics.CorLoc([new Box(0, 0, 10, 10)], [[new Box(0, 0, 10, 5)]])); // exactly one half is not enough
    }

    [Fact]
    public void RankedLists()
    {
        Assert.Equal((1 + (2.0 / 3)) / 2, RetrievalMetrics.AveragePrecision([true, false, true]), 12);
        Assert.Equal((1 + (2.0 / 3)) / 4, RetrievalMetrics.AveragePrecision([true, false, true], relevant: 4), 12);
        Assert.Equal(0.5, RetrievalMetrics.RecallAt([[false, true], [false, false]], 2));
        Assert.Equal(0, RetrievalMetrics.RecallAt([[false, true], []], 1));
        // Oxford: item 9 is junk. Left are miss, hit, hit: (0/1 + 1/2)/2 and (1/2 + 2/3)/2, over 2 positives.
        Assert.Equal((0.25 + (7.0 / 12)) / 2, RetrievalMetrics.AveragePrecisionOxford([9, 1, 2, 3], new HashSet<int> { 2, 3 }, new HashSet<int> { 9 }), 12);
        Assert.Equal(1, RetrievalMetrics.AveragePrecisionOxford([2, 3, 1], new HashSet<int> { 2, 3 }, new HashSet<int>()), 12);
        // By confidence: right, wrong, right; of 4 answerable queries.
        Assert.Equal((1 + (2.0 / 3)) / 4, RetrievalMetrics.GlobalAveragePrecision([0.2, 0.9, 0.5], [true, true, false], 4), 12);
    }
}
