namespace DinoSharp.Evaluation;

/// <summary>Scores of an ordering: how well do high scores mark the relevant items? Equal scores count as one threshold.</summary>
public static class RankingMetrics
{
    /// <summary>Area under the ROC curve: the chance that a relevant item scores higher than another one; ties count half. Not-a-number if one kind is missing.</summary>
    /// <param name="scores">Score of each item.</param>
    /// <param name="relevant">Whether the item is relevant.</param>
    public static double Auroc(ReadOnlySpan<double> scores, ReadOnlySpan<bool> relevant)
    {
        double area = 0;
        long positives = 0, negatives = 0;
        foreach ((int hits, int misses) in Thresholds(scores, relevant))
        {
            area += misses * (positives + (hits / 2.0));
            positives += hits;
            negatives += misses;
        }

        return area / ((double)positives * negatives);
    }

    /// <summary>Average precision Σ (Rₙ − Rₙ₋₁)·Pₙ over the thresholds. Not-a-number if nothing is relevant.</summary>
    /// <param name="scores">Score of each item.</param>
    /// <param name="relevant">Whether the item is relevant.</param>
    public static double AveragePrecision(ReadOnlySpan<double> scores, ReadOnlySpan<bool> relevant)
    {
        double sum = 0;
        long found = 0, seen = 0;
        foreach ((int hits, int misses) in Thresholds(scores, relevant))
        {
            found += hits;
            seen += hits + misses;
            sum += hits * ((double)found / seen);
        }

        return sum / found;
    }

    /// <summary>Mean over recall 0, 0.1 … 1 of the highest precision at that recall or more (Pascal VOC 2007). Not-a-number if nothing is relevant.</summary>
    /// <param name="scores">Score of each item.</param>
    /// <param name="relevant">Whether the item is relevant.</param>
    public static double AveragePrecisionVoc2007(ReadOnlySpan<double> scores, ReadOnlySpan<bool> relevant)
    {
        var curve = new List<(long Found, long Seen)>();
        (long found, long seen) = (0, 0);
        foreach ((int hits, int misses) in Thresholds(scores, relevant))
        {
            found += hits;
            seen += hits + misses;
            curve.Add((found, seen));
        }

        if (found == 0) return double.NaN;
        return Enumerable.Range(0, 11).Average(tenth => curve.Where(p => 10 * p.Found >= tenth * found).Max(p => (double)p.Found / p.Seen));
    }

    // Relevant and other items at each distinct score, best first.
    private static List<(int Hits, int Misses)> Thresholds(ReadOnlySpan<double> scores, ReadOnlySpan<bool> relevant)
    {
        if (scores.Length != relevant.Length) throw new DinoSharpException($"{scores.Length} scores are given for {relevant.Length} items");
        double[] keys = scores.ToArray();
        bool[] marks = relevant.ToArray();
        Array.Sort(keys, marks);
        var thresholds = new List<(int, int)>();
        for (int i = keys.Length - 1; i >= 0;)
        {
            (int hits, int misses) = (0, 0);
            double threshold = keys[i];
            for (; i >= 0 && keys[i].Equals(threshold); i--)
            {
                if (marks[i]) hits++;
                else misses++;
            }

            thresholds.Add((hits, misses));
        }

        return thresholds;
    }
}
