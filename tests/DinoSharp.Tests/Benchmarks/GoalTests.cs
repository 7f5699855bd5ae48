using DinoSharp.Benchmarks;
using Xunit;

namespace DinoSharp.Tests.Benchmarks;

/// <summary>How the benchmarks judge what they measured.</summary>
public sealed class GoalTests
{
    private static readonly Reached Fast = new("fast", 1.9, 2.0), Slow = new("slow", 1.3, 1.1);

    [Theory]
    [InlineData(1.1, "met")]
    [InlineData(1.2, "missed (by the best times alone it would be met)")]
    [InlineData(1.4, "missed")]
    public void TheWorstMedianDecides(double limit, string verdict)
    {
        string[] cells = new Goal("work", "times", limit, [Fast, Slow]).Cells("AVX2");
        Assert.Equal(["1.10 (slow)", "1.30 (slow)", "2", verdict], cells[3..]);
        Assert.Equal(Goal.Header.Length, cells.Length);
    }

    [Fact]
    public void BestTimesThatMissAreTold() => Assert.Equal("met (by the best times alone it would be missed)", new Goal("work", "times", 1.95, [Fast]).Cells("AVX2")[^1]);

    [Theory]
    [InlineData(0.04, "missed")]
    [InlineData(0.2, "met")]
    public void LessIsBetterWhereItIsALimit(double limit, string verdict)
    {
        var goal = new Goal("work", "of the step", limit, [new("a", 0.1, 0.11), new("b", 0.15, 0.155)]) { IsMost = true, IsShare = true, AllRows = 3 };
        string[] cells = goal.Cells("AVX2");
        Assert.Equal(["15.5 % (b)", "15 % (b)", "2 of 3", verdict], cells[3..]);
    }

    [Fact]
    public void AFaultyRowIsNoSuccess() => Assert.Equal("missed: slow has an error of 2", new Goal("work", "times", 1, [Fast, Slow with { Fault = "an error of 2" }]).Cells("AVX2")[^1]);

    [Theory]
    [InlineData("AVX2", "not this machine")]
    [InlineData("AMX", "met")]
    public void OtherMachinesAreNotJudged(string machine, string verdict) => Assert.Equal(verdict, new Goal("work", "times", 1, [Fast]) { Classes = ["AMX"] }.Cells(machine)[^1]);

    [Fact]
    public void NoRowsAreNoSuccess() => Assert.Equal("not measured: no such route here", new Goal("work", "times", 1, []).Cells("AMX")[^1]);

    [Theory]
    [InlineData(new[] { 3.0, 1, 2 }, 2)]
    [InlineData(new[] { 4.0, 1, 2, 3 }, 2.5)]
    [InlineData(new[] { 7.0 }, 7)]
    public void TheMedianOfAnEvenNumberLiesBetween(double[] values, double median) => Assert.Equal(median, Measure.Median(values));
}
