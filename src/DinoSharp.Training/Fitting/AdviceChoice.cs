using System.Globalization;
using DinoSharp.Evaluation;

namespace DinoSharp.Training.Fitting;

/// <summary>A way of looking that was tried, and its score on any of the pictures to judge by.</summary>
/// <param name="Size">Side of the input in pixels.</param>
/// <param name="Layers">Layers that were read.</param>
/// <param name="MeanPatch">Whether the mean patch was read as well; null where nothing is pooled.</param>
/// <param name="Decoder">What turned patches into the answer; null where there is no choice.</param>
/// <param name="Score">Of the pictures with these indices, which may repeat; higher is better.</param>
internal sealed record AdviceTrial(int Size, int[] Layers, bool? MeanPatch, DenseDecoder? Decoder, Func<IReadOnlyList<int>, double> Score);

/// <summary>Chooses among trials on one half of the pictures and judges the choice on the other: the best of many is always better on the pictures that chose it.</summary>
internal static class AdviceChoice
{
    private const int Resamples = 400;

    /// <param name="trials">All of them, judged by the same pictures.</param>
    /// <param name="standard">Index of what is used without advice.</param>
    /// <param name="count">Number of pictures to judge by.</param>
    /// <param name="groups">Group of each; null if every picture stands alone. A group lies in one half as a whole.</param>
    /// <param name="computed">Passes of pictures through the backbone.</param>
    public static Advice Choose(IReadOnlyList<AdviceTrial> trials, int standard, int count, IReadOnlyList<string>? groups, int computed)
    {
        AdviceTrial usual = trials[standard];
        int[] everything = [.. Enumerable.Range(0, count)];
        bool[] judges = Judges(count, groups);
        int[] choosing = [.. everything.Where(i => !judges[i])], judging = [.. everything.Where(i => judges[i])];
        AdvisedLook[] looks = [.. trials.Select(t => new AdvisedLook(t.Size, t.Layers, t.MeanPatch, t.Decoder, Interval(t.Score, everything), Interval(i => t.Score(i) - usual.Score(i), everything)))];
        int best = Enumerable.Range(0, trials.Count).MaxBy(i => (trials[i].Score(choosing), i == standard));
        ConfidenceInterval gain = Interval(i => trials[best].Score(i) - usual.Score(i), judging);
        return new Advice([.. looks.OrderByDescending(l => l.Score.Value)], looks[standard], looks[best], gain, count, computed);

        ConfidenceInterval Interval(Func<IReadOnlyList<int>, double> score, int[] pictures) =>
            Bootstrap.Interval(pictures.Length, items => score([.. items.Select(i => pictures[i])]), groups is null ? null : [.. pictures.Select(i => groups[i])], Resamples);
    }

    // Half of the pictures, drawn at random because neighbours in a folder are alike; of groups, whole ones.
    private static bool[] Judges(int count, IReadOnlyList<string>? groups)
    {
        string[] units = [.. Enumerable.Range(0, count).Select(i => groups?[i] ?? i.ToString(CultureInfo.InvariantCulture))];
        string[] distinct = [.. units.Distinct()];
        if (distinct.Length < 2) throw new DinoSharpException($"advice needs two {(groups is null ? "pictures" : "groups")} at least: one half chooses, the other judges");
        new Random(0).Shuffle(distinct);
        HashSet<string> judging = [.. distinct.Take(distinct.Length / 2)];
        return [.. units.Select(judging.Contains)];
    }
}
