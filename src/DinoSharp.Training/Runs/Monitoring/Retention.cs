using System.Globalization;
using System.Text.Json.Nodes;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>What all looks at the features so far say together.</summary>
/// <param name="BestStep">Steps before the look at the best weights.</param>
/// <param name="Worse">What the last look found worse than the start, in words; null: nothing.</param>
internal sealed record Retention(long BestStep, string? Worse)
{
    /// <summary>Judges the last of the looks.</summary>
    /// <param name="looks">The lines of figures of all looks, the one at the start first.</param>
    /// <param name="tolerance">Share of a measure that may be lost.</param>
    public static Retention Of(IReadOnlyList<JsonObject> looks, double tolerance)
    {
        JsonObject start = looks[0];
        bool labelled = Value(start, RunFigures.KnnTop1) is not null;
        string[] measures = labelled ? [RunFigures.KnnTop1] : [RunFigures.ClassRank, RunFigures.PatchRank, RunFigures.Locality];
        JsonObject best = start;
        foreach (JsonObject look in looks.Skip(1))
        {
            if (Lost(look) is null && (!labelled || Value(look, RunFigures.KnnTop1) >= Value(best, RunFigures.KnnTop1))) best = look;
        }

        return new Retention(RunFigures.StepOf(best), Lost(looks[^1]));

        // A measure that is no number any more is lost too.
        string? Lost(JsonObject look)
        {
            string? measure = measures.FirstOrDefault(m => Value(start, m) is double before && !(Value(look, m) >= before - (tolerance * Math.Abs(before))));
            return measure is null ? null : string.Create(CultureInfo.InvariantCulture, $"{measure} was {Value(start, measure):G4} at the start and is {Value(look, measure):G4}, more than {tolerance:P0} less");
        }
    }

    private static double? Value(JsonObject look, string measure) => (double?)look[measure];
}
