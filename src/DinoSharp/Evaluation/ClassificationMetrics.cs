using static TorchSharp.torch;

namespace DinoSharp.Evaluation;

/// <summary>Scores of classifiers that give one number per class. All results are fractions; higher is better.</summary>
public static class ClassificationMetrics
{
    /// <summary>Which samples have their label among the k best classes. Among equal scores libtorch's <c>topk</c> chooses, as in the published evaluation.</summary>
    /// <param name="scores">One score per class, any scale. [N, K]</param>
    /// <param name="labels">True class of each sample. [N]</param>
    /// <param name="k">How many guesses are allowed.</param>
    public static bool[] TopKHits(Tensor scores, ReadOnlySpan<int> labels, int k = 1)
    {
        return AmongBest(scores, [.. labels.ToArray().Select(label => (int[])[label])], k);
    }

    /// <summary>Share of samples whose label is among the k best classes.</summary>
    /// <inheritdoc cref="TopKHits"/>
    /// <exception cref="DinoSharpException">There are no samples.</exception>
    public static double TopK(Tensor scores, ReadOnlySpan<int> labels, int k = 1)
    {
        RequireSamples(labels.Length);
        return TopKHits(scores, labels, k).Average(hit => hit ? 1.0 : 0.0);
    }

    /// <summary>Top-k accuracy of each class, averaged over the classes that have samples.</summary>
    /// <inheritdoc cref="TopKHits"/>
    /// <exception cref="DinoSharpException">There are no samples.</exception>
    public static double MeanPerClass(Tensor scores, ReadOnlySpan<int> labels, int k = 1)
    {
        RequireSamples(labels.Length);
        int[] classes = labels.ToArray();
        return TopKHits(scores, labels, k).Zip(classes).GroupBy(x => x.Second).Average(c => c.Average(x => x.First ? 1.0 : 0.0));
    }

    /// <summary>Share of samples that have one of several right labels among the k best classes (ImageNet-ReaL). Samples without any label are left out.</summary>
    /// <param name="scores">One score per class. [N, K]</param>
    /// <param name="labels">The right classes of each sample. [N]</param>
    /// <param name="k">How many guesses are allowed.</param>
    public static double AnyMatch(Tensor scores, IReadOnlyList<IReadOnlyList<int>> labels, int k = 1)
    {
        bool[] hits = AmongBest(scores, labels, k);
        return hits.Where((_, i) => labels[i].Count > 0).Select(hit => hit ? 1.0 : 0.0).DefaultIfEmpty(double.NaN).Average();
    }

    /// <summary>Mean over classes of the average precision interpolated at recall 0, 0.1 … 1 (Pascal VOC 2007).</summary>
    /// <param name="scores">One score per class. [N, K]</param>
    /// <param name="targets">Not 0 where a sample has the class. [N, K]</param>
    public static double MapVoc2007(Tensor scores, Tensor targets) => OverClasses(scores, targets, RankingMetrics.AveragePrecisionVoc2007);

    /// <summary>Mean over classes of the average precision Σ (Rₙ − Rₙ₋₁)·Pₙ.</summary>
    /// <param name="scores">One score per class. [N, K]</param>
    /// <param name="targets">Not 0 where a sample has the class. [N, K]</param>
    public static double MeanAveragePrecision(Tensor scores, Tensor targets) => OverClasses(scores, targets, RankingMetrics.AveragePrecision);

    /// <summary>Mean over classes of the area under the ROC curve. For two classes that exclude each other give <see cref="RankingMetrics.Auroc"/> the score of one.</summary>
    /// <param name="scores">One score per class. [N, K]</param>
    /// <param name="targets">Not 0 where a sample has the class. [N, K]</param>
    public static double MeanAuroc(Tensor scores, Tensor targets) => OverClasses(scores, targets, RankingMetrics.Auroc);

    /// <summary>F1 of predictions that may name several classes per sample.</summary>
    /// <param name="predicted">Not 0 where a class was predicted. [N, K]</param>
    /// <param name="targets">Not 0 where a sample has the class. [N, K]</param>
    /// <returns>Micro: over all decisions together. Macro: mean over the classes that occur.</returns>
    public static (double Micro, double Macro) MultiLabelF1(Tensor predicted, Tensor targets)
    {
        using var scope = NewDisposeScope();
        Tensor p = predicted.ne(Num(0)), t = targets.ne(Num(0));
        if (!p.shape.SequenceEqual(t.shape)) throw new DinoSharpException($"predictions are [{string.Join(", ", p.shape)}], targets [{string.Join(", ", t.shape)}]");
        Tensor both = (p & t).sum([0]).to(ScalarType.Float64), either = p.sum([0]).Plus(t.sum([0])).to(ScalarType.Float64); // [K]
        double macro = (Num(2) * both / either).data<double>().Where(f1 => !double.IsNaN(f1)).DefaultIfEmpty(double.NaN).Average();
        return ((Num(2) * both.sum() / either.sum()).item<double>(), macro);
    }

    /// <summary>Reciprocal rank 1 / (number of classes that score at least as high as the label), averaged in each class and then over all K classes;
    /// a class without samples counts 0.</summary>
    /// <param name="scores">One score per class. [N, K]</param>
    /// <param name="labels">True class of each sample. [N]</param>
    public static double MacroReciprocalRank(Tensor scores, ReadOnlySpan<int> labels)
    {
        var s = new ScoreTable(scores, labels.Length);
        (double[] sums, int[] counts) = (new double[s.Classes], new int[s.Classes]);
        for (int i = 0; i < s.Samples; i++)
        {
            double reciprocalRank = 1.0 / s.AtLeast(i, labels[i]);
            sums[labels[i]] += reciprocalRank;
            counts[labels[i]]++;
        }

        return sums.Zip(counts).Average(c => c.First / (c.Second + 1e-6)); // the small term is part of the published protocol
    }

    private static double OverClasses(Tensor scores, Tensor targets, RankingMetric metric)
    {
        var s = new ScoreTable(scores, (int)targets.shape[0]);
        var t = new ScoreTable(targets, s.Samples);
        if (t.Classes != s.Classes) throw new DinoSharpException($"scores are given for {s.Classes} classes, targets for {t.Classes}");
        return Enumerable.Range(0, s.Classes).Select(c => metric(s.Column(c), [.. t.Column(c).Select(x => x != 0)]))
            .Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();
    }

    private static void RequireSamples(int count)
    {
        if (count == 0) throw new DinoSharpException("there are no labelled samples to score; give at least one");
    }

    /// <summary>Which samples have one of their right classes among the k best.</summary>
    internal static bool[] AmongBest(Tensor scores, IReadOnlyList<IReadOnlyList<int>> labels, int k)
    {
        if (scores.dim() != 2) throw new DinoSharpException($"scores must be [N, K], found [{string.Join(", ", scores.shape)}]");
        if (scores.shape[0] != labels.Count) throw new DinoSharpException($"scores are given for {scores.shape[0]} samples, labels for {labels.Count}");
        (int classes, int guesses) = ((int)scores.shape[1], (int)Math.Min(k, scores.shape[1]));
        if (labels.SelectMany(l => l).Any(l => (uint)l >= (uint)classes)) throw new DinoSharpException($"the scores cover classes 0 to {classes - 1}, but there are labels from {labels.SelectMany(l => l).Min()} to {labels.SelectMany(l => l).Max()}");
        using var scope = NewDisposeScope();
        long[] best = scores.detach().topk(guesses, 1).indexes.cpu().contiguous().data<long>().ToArray(); // [N, k]
        return [.. labels.Select((right, i) => right.Any(label => best.AsSpan(i * guesses, guesses).Contains(label)))];
    }

    private delegate double RankingMetric(ReadOnlySpan<double> scores, ReadOnlySpan<bool> relevant);

    // Scores [N, K] read once into managed memory.
    private sealed class ScoreTable
    {
        private readonly double[] _values;

        public ScoreTable(Tensor scores, int samples)
        {
            if (scores.dim() != 2) throw new DinoSharpException($"scores must be [N, K], found [{string.Join(", ", scores.shape)}]");
            if (scores.shape[0] != samples) throw new DinoSharpException($"scores are given for {scores.shape[0]} samples, labels for {samples}");
            using var scope = NewDisposeScope();
            _values = scores.detach().to(ScalarType.Float64).cpu().contiguous().data<double>().ToArray();
            (Samples, Classes) = (samples, (int)scores.shape[1]);
        }

        public int Samples { get; }

        public int Classes { get; }

        public double[] Column(int c) => [.. Enumerable.Range(0, Samples).Select(i => _values[(i * Classes) + c])];

        public int AtLeast(int sample, int label)
        {
            ReadOnlySpan<double> row = Row(sample, label);
            int count = 0;
            foreach (double value in row) if (value >= row[label]) count++;
            return count;
        }

        private ReadOnlySpan<double> Row(int sample, int label)
        {
            if ((uint)label >= (uint)Classes) throw new DinoSharpException($"sample {sample} has label {label}, but the scores cover classes 0 to {Classes - 1}");
            return _values.AsSpan(sample * Classes, Classes);
        }
    }
}
