namespace DinoSharp.Evaluation;

/// <summary>Scores of ranked lists of search results.</summary>
public static class RetrievalMetrics
{
    /// <summary>Average precision of one ranked list: mean of the precision at each relevant result.</summary>
    /// <param name="ranked">Whether each result is relevant, best result first.</param>
    /// <param name="relevant">How many relevant items exist; those that were not returned count as misses. Null: all were returned.</param>
    /// <returns>Not-a-number if nothing is relevant.</returns>
    public static double AveragePrecision(ReadOnlySpan<bool> ranked, int? relevant = null)
    {
        (double sum, int found) = (0, 0);
        for (int i = 0; i < ranked.Length; i++)
        {
            if (ranked[i]) sum += (double)++found / (i + 1);
        }

        return sum / (relevant ?? found);
    }

    /// <summary>Average precision as Oxford and Paris define it: area under the precision-recall curve by trapezoids, with junk results taken out of the list.</summary>
    /// <param name="ranked">Item ids, best first.</param>
    /// <param name="positives">Ids that are right. Medium protocol: easy and hard ones. Hard protocol: hard ones only.</param>
    /// <param name="junk">Ids that count neither way. Medium: junk only. Hard: junk and easy ones.</param>
    /// <returns>Not-a-number if the query has no positive; such queries are left out of the mean (Radenović et al. 2018).</returns>
    public static double AveragePrecisionOxford(IReadOnlyList<int> ranked, IReadOnlySet<int> positives, IReadOnlySet<int> junk)
    {
        (double sum, int rank, int found) = (0, 0, 0);
        foreach (int item in ranked)
        {
            if (junk.Contains(item)) continue;
            if (positives.Contains(item))
            {
                double before = rank == 0 ? 1 : (double)found / rank, after = (found + 1.0) / (rank + 1);
                sum += (before + after) / 2;
                found++;
            }

            rank++;
        }

        return sum / positives.Count;
    }

    /// <summary>Share of queries with at least one relevant result among the k best.</summary>
    /// <param name="ranked">For each query whether its results are relevant, best first.</param>
    /// <param name="k">How many results are looked at.</param>
    public static double RecallAt(IReadOnlyCollection<bool[]> ranked, int k)
    {
        if (ranked.Count == 0) throw new DinoSharpException("there is no query to score");
        return ranked.Average(q => q.AsSpan(0, Math.Min(k, q.Length)).Contains(true) ? 1.0 : 0.0);
    }

    /// <summary>Global average precision (micro AP; Google Landmarks, Met): all predictions of all queries in one list by confidence.</summary>
    /// <param name="confidence">One confidence per query, of its best answer.</param>
    /// <param name="right">Whether that answer is right; false for a query that has no right answer.</param>
    /// <param name="answerable">How many queries have a right answer.</param>
    /// <remarks>GAP⁻ is the same over the answerable queries only.</remarks>
    public static double GlobalAveragePrecision(ReadOnlySpan<double> confidence, ReadOnlySpan<bool> right, int answerable)
    {
        if (confidence.Length != right.Length) throw new DinoSharpException($"{confidence.Length} confidences are given for {right.Length} answers");
        bool[] ranked = right.ToArray();
        int[] order = [.. Enumerable.Range(0, ranked.Length)];
        double[] keys = confidence.ToArray();
        Array.Sort(order, (a, b) => keys[b].CompareTo(keys[a]) is var c and not 0 ? c : a.CompareTo(b));
        return AveragePrecision([.. order.Select(i => ranked[i])], answerable);
    }
}
