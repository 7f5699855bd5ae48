using DinoSharp.Evaluation;
using DinoSharp.Images;

namespace DinoSharp.Training.Protocols;

/// <summary>What an evaluation measured on one data set.</summary>
public sealed record EvaluationResult
{
    /// <summary>Which protocol, for example <c>knn</c>.</summary>
    public required string Task { get; init; }

    /// <summary>What gave the features: the name of a model or of a baseline.</summary>
    public required string Model { get; init; }

    /// <summary>Where the data came from, for example <c>train</c> and <c>val</c>.</summary>
    public required IReadOnlyDictionary<string, string> Data { get; init; }

    /// <summary>Everything else that decides the numbers.</summary>
    public required IReadOnlyDictionary<string, string> Settings { get; init; }

    /// <summary>The numbers. Shares are fractions of 1.</summary>
    public required IReadOnlyDictionary<string, double> Metrics { get; init; }

    /// <summary>The metric that the protocol is known for; a key of <see cref="Metrics"/>.</summary>
    public required string Headline { get; init; }

    /// <summary>Whether a larger headline is better.</summary>
    public bool HigherIsBetter { get; init; } = true;

    /// <summary>Unit of the headline: % for a share, else for example m.</summary>
    public string Unit { get; init; } = "%";

    /// <summary>The items that were scored: pictures, pairs, queries or videos.</summary>
    public required IReadOnlyList<string> Items { get; init; }

    /// <summary>Which items belong together (objects of a video): intervals draw whole groups. Null: each item alone.</summary>
    public IReadOnlyList<string>? Groups { get; init; }

    /// <summary>Pictures that could not be read and were left out.</summary>
    public IReadOnlyList<ImageException> Skipped { get; init; } = [];

    /// <summary>Names of the classes of <see cref="Confusion"/>; empty where there is none.</summary>
    public IReadOnlyList<string> Classes { get; init; } = [];

    /// <summary>True classes against predicted ones, where every item has one of each; null elsewhere.</summary>
    public ConfusionMatrix? Confusion { get; init; }

    /// <summary>The headline of a choice of the items, by index; an index may come several times. Intervals and paired comparisons resample with it.</summary>
    public required Func<IReadOnlyList<int>, double> Score { get; init; }

    /// <summary>The headline with its 95 % bootstrap interval over the items.</summary>
    public ConfidenceInterval Interval => Bootstrap.Interval(Items.Count, Score, Groups);

    /// <summary>A number of this evaluation for a person: a share in percent, other units as they are.</summary>
    /// <param name="value">In the unit of the metrics.</param>
    internal string Show(double value) => Unit == "%" ? FormattableString.Invariant($"{100 * value:0.0}") : FormattableString.Invariant($"{value:0.000} {Unit}");

    /// <summary>A score that is the mean of one value per item.</summary>
    /// <param name="values">One value per item.</param>
    internal static Func<IReadOnlyList<int>, double> MeanOf(IReadOnlyList<double> values) => items =>
    {
        double sum = 0;
        for (int i = 0; i < items.Count; i++) sum += values[items[i]];
        return sum / items.Count;
    };
}
