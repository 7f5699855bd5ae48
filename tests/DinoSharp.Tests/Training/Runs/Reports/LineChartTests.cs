using CsCheck;
using DinoSharp.Images;
using DinoSharp.Training.Runs.Reports;
using Xunit;

namespace DinoSharp.Tests.Training.Runs.Reports;

public sealed class LineChartTests
{
    [Fact]
    public void AnAxisHoldsItsValuesBetweenRoundMarks() => Gen.Select(Gen.Double[-1e6, 1e6], Gen.Double[1e-6, 1e6]).Sample((low, span) =>
    {
        (double from, double to, double step) = LineChart.Axis(low, low + span);
        Assert.True(from <= low + (1e-9 * step) && to >= low + span - (1e-9 * step));
        Assert.InRange((to - from) / step, 1, 8.01);
        Assert.Contains(Math.Round(step / Math.Pow(10, Math.Floor(Math.Log10(step * 1.0000001))), 6), new[] { 1.0, 2, 5 });
    });

    [Theory]
    [InlineData(0)]
    [InlineData(1e-5)]
    [InlineData(-3)]
    public void AFigureThatNeverChangesIsInTheMiddle(double value)
    {
        (double from, double to, _) = LineChart.Axis(value, value);
        Assert.True(from < value && value < to);
    }

    [Fact]
    public void TheCurveIsDrawnInBothForms()
    {
        Drawing drawing = LineChart.Draw("a <title>", [new Curve("curve", [(0, 1), (50, 3), (100, 2)])], [("first", 0), ("second", 50)]);
        string svg = drawing.ToSvg();
        Assert.Contains("a &lt;title&gt;", svg);
        Assert.Contains(">second</text>", svg);
        ImageBuffer picture = drawing.ToPicture();
        Assert.Equal((LineChart.Width, LineChart.Height), (picture.Width, picture.Height));
        int blue = 0;
        for (int i = 0; i < picture.Bytes.Length; i += 3) blue += picture.Bytes[i] == 0 && picture.Bytes[i + 1] == 114 && picture.Bytes[i + 2] == 178 ? 1 : 0;
        Assert.InRange(blue, 600, 4000); // a line of two pixels across the chart, and its place in the legend
    }

    [Fact]
    public void AThousandPointsAreThinnedToMeans()
    {
        Drawing drawing = LineChart.Draw("t", [new Curve("c", [.. Enumerable.Range(0, 4000).Select(i => ((double)i, (double)(i % 2)))])], [("only", 0)]);
        string curve = drawing.ToSvg().Split("<polyline").Single(part => part.Contains("#0072b2", StringComparison.Ordinal) && part.Split(',').Length > 50);
        Assert.Equal(400 + 1, curve.Split(',').Length);
    }
}
