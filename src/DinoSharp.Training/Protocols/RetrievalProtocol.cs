using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Training.Protocols.Benchmarks;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Instance retrieval by cosine similarity (paper, appendix D.8): every query ranks the whole database; what has its class is relevant. Queries of classes that the database lacks are
/// distractors: they count in the global average precision (GAP) of the first answers alone, which asks for low similarities there.</summary>
public static class RetrievalProtocol
{
    private const int ShownAnswers = 5;
    private static readonly int[] Depths = [1, 5, 10];

    /// <summary>Runs the protocol.</summary>
    /// <param name="queries">Vectors of the queries. A query whose class has no picture in the database is left out of the mean.</param>
    /// <param name="database">Vectors to search; the same object as <paramref name="queries"/>: each picture searches all the others.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="onQuery">Given every query that is scored (its place in <paramref name="queries"/>) with the nearest of the database, nearest first, and whether they are right.</param>
    /// <exception cref="DinoSharpException">No query has anything to find.</exception>
    public static EvaluationResult Run(VectorSet queries, VectorSet database, string model, Action<int, IReadOnlyList<(int Item, bool Right)>>? onQuery = null)
    {
        bool itself = ReferenceEquals(queries, database);
        if (database.Labels.Length < (itself ? 2 : 1)) throw new DinoSharpException("a database of one picture cannot be searched for others");
        if (!queries.Classes.Intersect(database.Classes).Any()) throw new DinoSharpException("queries and database have no class in common, so nothing is relevant to any query");
        using var scope = NewDisposeScope();
        Tensor q = nn.functional.normalize(queries.Vectors, dim: 1), d = nn.functional.normalize(database.Vectors, dim: 1); // [Q, D], [N, D]
        (Tensor similarities, Tensor indices) = NearestNeighbors.Find(q, d, database.Labels.Length); // [Q, N], best first
        float[] cosines = similarities.contiguous().data<float>().ToArray();
        long[] order = indices.contiguous().data<long>().ToArray();
        int n = database.Labels.Length;
        var ranked = new List<bool[]>();
        var paths = new List<string>();
        var answers = new List<(double Confidence, bool Right, bool Answerable)>();
        for (int i = 0; i < queries.Labels.Length; i++)
        {
            string wanted = queries.Classes[queries.Labels[i]];
            int[] answer = [.. Enumerable.Range(0, n).Select(r => (int)order[((long)i * n) + r]).Where(j => !itself || j != i)];
            bool[] relevant = [.. answer.Select(j => database.Classes[database.Labels[j]] == wanted)];
            int first = itself && order[(long)i * n] == i ? 1 : 0;
            answers.Add((cosines[((long)i * n) + first], relevant[0], relevant.Contains(true)));
            if (!relevant.Contains(true)) continue;
            ranked.Add(relevant);
            paths.Add(queries.Paths[i]);
            onQuery?.Invoke(i, [.. answer.Zip(relevant).Take(ShownAnswers)]);
        }

        if (ranked.Count == 0) throw new DinoSharpException("no query has a picture of its class in the database");
        double[] precisions = [.. ranked.Select(r => RetrievalMetrics.AveragePrecision(r))];
        var metrics = new Dictionary<string, double> { ["map"] = precisions.Average() };
        foreach (int depth in Depths) metrics[FormattableString.Invariant($"recallAt{depth}")] = RetrievalMetrics.RecallAt(ranked, depth);
        metrics["gap"] = GlobalPrecision(answers, ranked.Count);
        metrics["gapMinus"] = GlobalPrecision([.. answers.Where(a => a.Answerable)], ranked.Count);
        return new EvaluationResult
        {
            Task = "retrieve",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["database"] = n.ToString(CultureInfo.InvariantCulture),
                ["queriesWithoutAnswer"] = (queries.Labels.Length - ranked.Count).ToString(CultureInfo.InvariantCulture),
                ["itself"] = itself ? "each picture searches all the others" : "no",
            },
            Metrics = metrics,
            Headline = "map",
            Items = paths,
            Score = EvaluationResult.MeanOf(precisions),
        };
    }

    /// <summary>The revisited Oxford and Paris (Radenović et al. 2018): average precision by trapezoids, with what counts neither way taken out of the ranking.</summary>
    /// <param name="queries">Vectors of all queries, in order.</param>
    /// <param name="database">Vectors of all pictures to search, in order.</param>
    /// <param name="truth">What is right for each query.</param>
    /// <param name="protocol">The rule of the headline; the others are reported beside it.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="onQuery">Given every query that is scored with the nearest of the database that count, nearest first, and whether they are right.</param>
    /// <exception cref="DinoSharpException">Pictures are missing, so that indices mean others, or no query has anything to find.</exception>
    public static EvaluationResult Run(VectorSet queries, VectorSet database, IReadOnlyList<RevisitedQuery> truth, RevisitedProtocol protocol, string model, Action<int, IReadOnlyList<(int Item, bool Right)>>? onQuery = null)
    {
        if (queries.Skipped.Concat(database.Skipped).FirstOrDefault() is { } broken) throw new DinoSharpException($"{broken.Message}; without it the figures would not be those of the benchmark");
        if (queries.Labels.Length != truth.Count) throw new DinoSharpException($"{queries.Labels.Length} queries, but ground truth for {truth.Count}");
        using var scope = NewDisposeScope();
        int n = database.Labels.Length;
        (_, Tensor indices) = NearestNeighbors.Find(nn.functional.normalize(queries.Vectors, dim: 1), nn.functional.normalize(database.Vectors, dim: 1), n); // [Q, N]
        long[] order = indices.contiguous().data<long>().ToArray();
        Dictionary<RevisitedProtocol, double[]> precisions = Enum.GetValues<RevisitedProtocol>().ToDictionary(p => p, p => (double[])[.. truth.Select((t, i) =>
        {
            (IReadOnlySet<int> right, IReadOnlySet<int> junk) = t.Under(p);
            return RetrievalMetrics.AveragePrecisionOxford(Array.ConvertAll(order[(i * n)..((i + 1) * n)], j => (int)j), right, junk);
        })]);
        int[] scored = [.. Enumerable.Range(0, truth.Count).Where(i => !double.IsNaN(precisions[protocol][i]))];
        if (scored.Length == 0) throw new DinoSharpException($"no query has a picture to find under the rule {protocol}");
        foreach (int i in onQuery is null ? [] : scored)
        {
            (IReadOnlySet<int> right, IReadOnlySet<int> junk) = truth[i].Under(protocol);
            onQuery!(i, [.. order[(i * n)..((i + 1) * n)].Select(j => (int)j).Where(j => !junk.Contains(j)).Take(ShownAnswers).Select(j => (j, right.Contains(j)))]);
        }

        double[] headline = [.. scored.Select(i => precisions[protocol][i])];
        var metrics = new Dictionary<string, double> { ["map"] = headline.Average() };
        foreach ((RevisitedProtocol p, double[] all) in precisions) metrics["map" + p] = all.Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();
        return new EvaluationResult
        {
            Task = "retrieve",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["database"] = n.ToString(CultureInfo.InvariantCulture),
                ["protocol"] = protocol.ToString(),
                ["queriesWithoutAnswer"] = (truth.Count - scored.Length).ToString(CultureInfo.InvariantCulture),
            },
            Metrics = metrics,
            Headline = "map",
            Items = [.. scored.Select(i => queries.Paths[i])],
            Score = EvaluationResult.MeanOf(headline),
        };
    }

    private static double GlobalPrecision(IReadOnlyList<(double Confidence, bool Right, bool Answerable)> answers, int answerable) =>
        RetrievalMetrics.GlobalAveragePrecision([.. answers.Select(a => a.Confidence)], [.. answers.Select(a => a.Right)], answerable);
}
