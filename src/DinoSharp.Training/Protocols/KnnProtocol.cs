using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Probes;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Classification by the nearest training images (paper, appendix D.7; official defaults: k of 10, 20, 100 and 200, temperature 0.07).</summary>
public static class KnnProtocol
{
    private const int ShownNeighbors = 5;

    /// <summary>Runs the protocol.</summary>
    /// <param name="train">Vectors to vote.</param>
    /// <param name="val">Vectors to classify; classes are matched by name.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="options">Numbers of neighbours, of which the first gives the headline, and temperature; null: the published ones.</param>
    /// <param name="fitted">Given the classifier (vectors [N, D] to scores [N, K]) while it lives, to score further sets with it.</param>
    /// <exception cref="DinoSharpException">A class of the validation set is not in the training set.</exception>
    public static KnnReport Run(VectorSet train, VectorSet val, string model, KnnOptions? options = null, Action<Func<Tensor, Tensor>>? fitted = null)
    {
        options ??= new KnnOptions();
        val = val.WithClassesOf(train.Classes);
        using var scope = NewDisposeScope();
        using KnnClassifier classifier = KnnClassifier.Fit(train.Vectors, train.Labels, train.Classes.Count);
        IReadOnlyList<KnnVotes> votes = classifier.Vote(val.Vectors, options);
        var metrics = new Dictionary<string, double>();
        int headline = Math.Min(options.Neighbors[0], train.Labels.Length);
        KnnVotes chosen = votes.Single(v => v.Neighbors == headline);
        fitted?.Invoke(vectors =>
        {
            IReadOnlyList<KnnVotes> all = classifier.Vote(vectors, options);
            foreach (KnnVotes of in all.Where(v => v.Neighbors != headline)) of.Dispose();
            return all.Single(v => v.Neighbors == headline).Scores;
        });
        bool topFive = train.Classes.Count >= 5;
        bool[] hits = ClassificationMetrics.TopKHits(chosen.Scores, val.Labels);
        metrics["top1"] = hits.Average(hit => hit ? 1.0 : 0);
        if (topFive) metrics["top5"] = ClassificationMetrics.TopK(chosen.Scores, val.Labels, 5);
        metrics["meanPerClass"] = ClassificationMetrics.MeanPerClass(chosen.Scores, val.Labels);
        foreach (KnnVotes of in votes)
        {
            metrics[FormattableString.Invariant($"k{of.Neighbors}Top1")] = ClassificationMetrics.TopK(of.Scores, val.Labels);
            if (topFive) metrics[FormattableString.Invariant($"k{of.Neighbors}Top5")] = ClassificationMetrics.TopK(of.Scores, val.Labels, 5);
        }

        Tensor queries = nn.functional.normalize(val.Vectors, dim: 1), keys = nn.functional.normalize(train.Vectors, dim: 1);
        int shown = Math.Min(ShownNeighbors, train.Labels.Length);
        (Tensor similarities, Tensor indices) = NearestNeighbors.Find(queries, keys, shown); // [N, k]
        float[] cosines = similarities.contiguous().data<float>().ToArray();
        long[] neighbors = indices.contiguous().data<long>().ToArray();
        int[] predicted = chosen.Predict();
        foreach (KnnVotes of in votes) of.Dispose();
        var result = new EvaluationResult
        {
            Task = "knn",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string>
            {
                ["neighbors"] = string.Join(" ", options.Neighbors.Select(k => k.ToString(CultureInfo.InvariantCulture))),
                ["temperature"] = options.Temperature.ToString(CultureInfo.InvariantCulture),
                ["trainImages"] = train.Labels.Length.ToString(CultureInfo.InvariantCulture),
                ["classes"] = train.Classes.Count.ToString(CultureInfo.InvariantCulture),
            },
            Metrics = metrics,
            Headline = "top1",
            Items = val.Paths,
            Score = EvaluationResult.MeanOf([.. hits.Select(hit => hit ? 1.0 : 0)]),
        };
        return new KnnReport(result, [.. predicted.Select((p, i) => new KnnPrediction(
            val.Paths[i], train.Classes[val.Labels[i]], train.Classes[p],
            [.. Enumerable.Range(i * shown, shown).Select(n => (train.Paths[neighbors[n]], train.Classes[train.Labels[neighbors[n]]], cosines[n]))]))]);
    }
}

/// <summary>What k-NN made of each image.</summary>
/// <param name="Result">The numbers.</param>
/// <param name="Predictions">One for each validation image, in order.</param>
public sealed record KnnReport(EvaluationResult Result, IReadOnlyList<KnnPrediction> Predictions);

/// <summary>The vote on one image.</summary>
/// <param name="Path">The image.</param>
/// <param name="Class">Its true class.</param>
/// <param name="Predicted">The class of most votes.</param>
/// <param name="Neighbors">The five nearest training images, nearest first, each with its class and cosine similarity.</param>
public sealed record KnnPrediction(string Path, string Class, string Predicted, IReadOnlyList<(string Path, string Class, float Cosine)> Neighbors);
