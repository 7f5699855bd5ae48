namespace DinoSharp.Evaluation;

/// <summary>A measured value with the range in which it would fall on other samples of the same kind of data.</summary>
/// <param name="Value">The value on the data at hand.</param>
/// <param name="Low">Lower bound; not a number if there are fewer than two items or groups to draw from, which say nothing about other samples.</param>
/// <param name="High">Upper bound.</param>
/// <param name="Level">Share of resamples between the bounds, for example 0.95.</param>
public readonly record struct ConfidenceInterval(double Value, double Low, double High, double Level)
{
    /// <inheritdoc/>
    public override string ToString() => double.IsNaN(Low) ? FormattableString.Invariant($"{Value:0.####} (no interval)") : FormattableString.Invariant($"{Value:0.####} [{Low:0.####}, {High:0.####}]");
}

/// <summary>Percentile bootstrap (Efron 1979): resample the items with replacement, score each resample, take percentiles of the scores.</summary>
public static class Bootstrap
{
    /// <summary>Interval of any score.</summary>
    /// <param name="count">Number of items n.</param>
    /// <param name="score">The score of the items with these indices; an index may come several times. Scores that are not a number are left out.</param>
    /// <param name="groups">Group of each item, if items of one group (patient, event, video) belong together: then whole groups are drawn. Null: each item alone.</param>
    /// <param name="resamples">How many resamples.</param>
    /// <param name="level">Share of resamples between the bounds.</param>
    /// <param name="seed">Equal seeds give equal bounds.</param>
    public static ConfidenceInterval Interval(
        int count, Func<IReadOnlyList<int>, double> score, IReadOnlyList<string>? groups = null, int resamples = 1000, double level = 0.95, int seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(resamples, 1);
        if (level is not (> 0 and < 1)) throw new DinoSharpException($"the level of a confidence interval lies between 0 and 1, found {level}");
        if (groups is not null && groups.Count != count) throw new DinoSharpException($"{groups.Count} groups are given for {count} items");
        int[] everything = [.. Enumerable.Range(0, count)];
        int[][] units = groups is null ? [] : [.. everything.GroupBy(i => groups[i]).Select(g => g.ToArray())];
        if ((groups is null ? count : units.Length) < 2) return new ConfidenceInterval(score(everything), double.NaN, double.NaN, level);
        var random = new Random(seed);
        var drawn = new List<int>(count);
        var scores = new List<double>(resamples);
        for (int r = 0; r < resamples; r++)
        {
            drawn.Clear();
            for (int i = 0; i < (groups is null ? count : units.Length); i++)
            {
                if (groups is null) drawn.Add(random.Next(count));
                else drawn.AddRange(units[random.Next(units.Length)]);
            }

            double value = score(drawn);
            if (!double.IsNaN(value)) scores.Add(value);
        }

        scores.Sort();
        return new ConfidenceInterval(score(everything), Percentile(scores, (1 - level) / 2), Percentile(scores, (1 + level) / 2), level);
    }

    /// <summary>Interval of the mean of one value per item.</summary>
    /// <param name="values">One value per item, for example 1 for a hit and 0 for a miss. For a paired comparison of two models, the differences.</param>
    /// <param name="groups">Group of each item, as in <see cref="Interval"/>.</param>
    /// <param name="resamples">How many resamples.</param>
    /// <param name="level">Share of resamples between the bounds.</param>
    /// <param name="seed">Equal seeds give equal bounds.</param>
    public static ConfidenceInterval Mean(IReadOnlyList<double> values, IReadOnlyList<string>? groups = null, int resamples = 1000, double level = 0.95, int seed = 0)
    {
        return Interval(values.Count, Average, groups, resamples, level, seed);
        double Average(IReadOnlyList<int> items)
        {
            double sum = 0;
            for (int i = 0; i < items.Count; i++) sum += values[items[i]];
            return sum / items.Count;
        }
    }

    // Linear interpolation between order statistics.
    private static double Percentile(List<double> sorted, double share)
    {
        if (sorted.Count == 0) return double.NaN;
        double position = share * (sorted.Count - 1);
        int below = (int)position;
        int above = Math.Min(below + 1, sorted.Count - 1);
        return sorted[below] + ((position - below) * (sorted[above] - sorted[below]));
    }
}
