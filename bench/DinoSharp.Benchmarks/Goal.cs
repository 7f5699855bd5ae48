using System.Globalization;

namespace DinoSharp.Benchmarks;

/// <summary>What one row of a report reached of a goal.</summary>
/// <param name="Row">Its name.</param>
/// <param name="Best">By the best times.</param>
/// <param name="Median">By the medians.</param>
/// <param name="Fault">Why the row does not count whatever it reached, such as numbers that are too inexact; null if nothing is wrong.</param>
internal sealed record Reached(string Row, double Best, double Median, string? Fault = null);

/// <summary>A limit that a benchmark decides.</summary>
/// <param name="Work">What is measured.</param>
/// <param name="Of">Of what the figure is: "to libtorch", "of peak".</param>
/// <param name="Limit">The least that each row must reach; with <see cref="IsMost"/> the most that it may.</param>
/// <param name="Rows">The rows that it speaks of.</param>
internal sealed record Goal(string Work, string Of, double Limit, IReadOnlyList<Reached> Rows)
{
    /// <summary>The header of <see cref="Cells"/>.</summary>
    public static readonly string[] Header = ["work", "processors", "goal", "worst by the medians", "worst by the best times", "rows", "reached"];

    /// <summary>Classes of processors that it speaks of, such as AVX2; none: any.</summary>
    public IReadOnlyList<string> Classes { get; init; } = [];

    /// <summary>Less is better.</summary>
    public bool IsMost { get; init; }

    /// <summary>The figure is a share of a whole, given in percent.</summary>
    public bool IsShare { get; init; }

    /// <summary>How many rows there would be if other benchmarks did not have some of them; null: those that are here.</summary>
    public int? AllRows { get; init; }

    /// <summary>The row of the table on a machine of some class.</summary>
    public string[] Cells(string machine)
    {
        string[] known = [Work, Classes.Count == 0 ? "any" : string.Join(", ", Classes), $"{Of} {(IsMost ? "≤" : "≥")} {Text(Limit)}"];
        if (Classes.Count > 0 && !Classes.Contains(machine)) return [.. known, "", "", "", "not this machine"];
        if (Rows.Count == 0) return [.. known, "", "", "", "not measured: no such route here"];
        Reached byMedian = Worst(row => row.Median), byBest = Worst(row => row.Best);
        return
        [
            .. known, $"{Text(byMedian.Median)} ({byMedian.Row})", $"{Text(byBest.Best)} ({byBest.Row})",
            string.Create(CultureInfo.InvariantCulture, $"{Rows.Count}{(AllRows is { } all && all != Rows.Count ? $" of {all}" : "")}"), Verdict(byMedian.Median, byBest.Best),
        ];
    }

    private string Verdict(double median, double best)
    {
        if (Rows.FirstOrDefault(row => row.Fault is not null) is { } faulty) return $"missed: {faulty.Row} has {faulty.Fault}";
        return (Meets(median), Meets(best)) switch
        {
            (true, true) => "met",
            (true, false) => "met (by the best times alone it would be missed)",
            (false, true) => "missed (by the best times alone it would be met)",
            _ => "missed",
        };
    }

    private Reached Worst(Func<Reached, double> figure) => IsMost ? Rows.MaxBy(figure)! : Rows.MinBy(figure)!;

    private bool Meets(double figure) => IsMost ? figure <= Limit : figure >= Limit;

    private string Text(double figure) => figure.ToString(IsShare ? "0.# %" : "0.00#", CultureInfo.InvariantCulture);
}
