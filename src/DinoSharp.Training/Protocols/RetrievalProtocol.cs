using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Instance retrieval by cosine similarity (paper, appendix D.8): every query ranks the whole database; what has its class is relevant.</summary>
public static class RetrievalProtocol
{
    private static readonly int[] Depths = [1, 5, 10];

    /// <summary>Runs the protocol.</summary>
    /// <param name="queries">Vectors of the queries. A query whose class has no picture in the database is left out of the mean.</param>
    /// <param name="database">Vectors to search; the same object as <paramref name="queries"/>: each picture searches all the others.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <exception cref="DinoSharpException">No query has anything to find.</exception>
    public static EvaluationResult Run(VectorSet queries, VectorSet database, string model)
    {
        bool itself = ReferenceEquals(queries, database);
        if (database.Labels.Length < (itself ? 2 : 1)) throw new DinoSharpException("a database of one picture cannot be searched for others");
        if (!queries.Classes.Intersect(database.Classes).Any()) throw new DinoSharpException("queries and database have no class in common, so nothing is relevant to any query");
        using var scope = NewDisposeScope();
        Tensor q = nn.functional.normalize(queries.Vectors, dim: 1), d = nn.functional.normalize(database.Vectors, dim: 1); // [Q, D], [N, D]
        (_, Tensor indices) = NearestNeighbors.Find(q, d, database.Labels.Length); // [Q, N]
        long[] order = indices.contiguous().data<long>().ToArray();
        int n = database.Labels.Length;
        var ranked = new List<bool[]>();
        var paths = new List<string>();
        for (int i = 0; i < queries.Labels.Length; i++)
        {
            string wanted = queries.Classes[queries.Labels[i]];
            bool[] relevant = [.. Enumerable.Range(0, n).Select(r => (int)order[((long)i * n) + r]).Where(j => !itself || j != i).Select(j => database.Classes[database.Labels[j]] == wanted)];
            if (!relevant.Contains(true)) continue;
            ranked.Add(relevant);
            paths.Add(queries.Paths[i]);
        }

        if (ranked.Count == 0) throw new DinoSharpException("no query has a picture of its class in the database");
        double[] precisions = [.. ranked.Select(r => RetrievalMetrics.AveragePrecision(r))];
        var metrics = new Dictionary<string, double> { ["map"] = precisions.Average() };
        foreach (int depth in Depths) metrics[FormattableString.Invariant($"recallAt{depth}")] = RetrievalMetrics.RecallAt(ranked, depth);
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
}
