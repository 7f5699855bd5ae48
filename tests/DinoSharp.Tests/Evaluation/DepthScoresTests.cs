using DinoSharp.Evaluation;
using Xunit;

namespace DinoSharp.Tests.Evaluation;

public sealed class DepthScoresTests
{
    [Fact]
    public void APerfectPredictionHasNoError()
    {
        DepthScores s = DepthScores.Measure([1, 2, 4], [1, 2, 4]);
        Assert.Equal((1.0, 1.0, 1.0), (s.Delta1, s.Delta2, s.Delta3));
        Assert.Equal((0.0, 0.0, 0.0, 0.0, 0.0), (s.Rmse, s.AbsoluteRelative, s.SiLog, s.Log10, s.MeanAbsolute));
    }

    [Fact]
    public void ScoresOfASmallCase()
    {
        // Errors 1 and −2; ratios 2 and 1.5; the pixel of depth 0 and the masked one do not count.
        DepthScores s = DepthScores.Measure([2, 4, 0, 9], [1, 6, 5, 1], [true, true, true, false]);
        Assert.Equal(2, s.Pixels);
        Assert.Equal(0, s.Delta1);
        Assert.Equal(0.5, s.Delta2); // 1.5 < 1.5625 < 2
        Assert.Equal(0.5, s.Delta3); // 1.953 < 2
        Assert.Equal(((1.0 / 2) + (2.0 / 4)) / 2, s.AbsoluteRelative, 12);
        Assert.Equal(((1.0 / 2) + (4.0 / 4)) / 2, s.SquaredRelative, 12);
        Assert.Equal(Math.Sqrt(2.5), s.Rmse, 12);
        Assert.Equal(1.5, s.MeanAbsolute, 12);
        Assert.Equal((Math.Log10(2) + Math.Log10(1.5)) / 2, s.Log10, 12);
    }

    [Fact]
    public void SiLogIgnoresScale()
    {
        DepthScores s = DepthScores.Measure([1, 2, 3, 8], [3, 6, 9, 24]);
        Assert.InRange(s.SiLog, 0, 1e-4);
        Assert.Equal(Math.Log(3), s.RmseLog, 6);
    }

    [Fact]
    public void LeastSquaresUndoesScaleAndShift()
    {
        float[] truth = [1, 2, 5, 7], predicted = [.. truth.Select(t => (t - 3) / 4)];
        DepthAlignment alignment = DepthAlignment.LeastSquares(truth, predicted);
        Assert.Equal(4, alignment.Scale, 5);
        Assert.Equal(3, alignment.Shift, 5);
        Assert.All(alignment.Apply(predicted).Zip(truth), p => Assert.Equal(p.Second, p.First, 4));
    }

    [Fact]
    public void AConstantPredictionIsAlignedToTheMean()
    {
        Assert.Equal(new DepthAlignment(0, 2), DepthAlignment.LeastSquares([1, 3], [5, 5]));
    }

    [Fact]
    public void NothingToScoreIsAnError()
    {
        Assert.Contains("no valid pixel", Assert.Throws<DinoSharpException>(() => DepthScores.Measure([0, 0], [1, 1])).Message);
        Assert.Contains("2 pixels", Assert.Throws<DinoSharpException>(() => DepthScores.Measure([1], [1, 1])).Message);
    }
}
