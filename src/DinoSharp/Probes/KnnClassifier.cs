using DinoSharp.Features;
using static TorchSharp.torch;

namespace DinoSharp.Probes;

/// <summary>How neighbours vote.</summary>
public sealed record KnnOptions
{
    /// <summary>Numbers of neighbours k to report. Values above the number of training samples are cut to it.</summary>
    public IReadOnlyList<int> Neighbors { get; init; } = [10, 20, 100, 200];

    /// <summary>Temperature of the softmax over similarities.</summary>
    public double Temperature { get; init; } = 0.07;

    /// <summary>Leave out each sample's nearest neighbour: the sample itself, when training samples are classified.</summary>
    public bool SkipFirstNeighbor { get; init; }
}

/// <summary>Votes of the k nearest training samples for one k. Owns its tensor.</summary>
/// <param name="Neighbors">k, at most the number of training samples.</param>
/// <param name="Scores">Sum of the voting weights of each class; less than 1 in total unless k is the largest. [N, K]</param>
public sealed record KnnVotes(int Neighbors, Tensor Scores) : IDisposable
{
    /// <summary>The class with the most votes for each sample. [N]</summary>
    public int[] Predict()
    {
        using Tensor best = Scores.argmax(1), ints = best.to(ScalarType.Int32); // [N]
        return ints.data<int>().ToArray();
    }

    /// <inheritdoc/>
    public void Dispose() => Scores.Dispose();
}

/// <summary>Weighted k-nearest-neighbour classification of frozen features by cosine similarity (Wu et al. 2018): the weights are a softmax over the
/// <em>largest</em> k that is asked for, whatever the k reported.</summary>
public sealed class KnnClassifier : IDisposable
{
    private readonly Tensor _features; // [N, D], unit length
    private readonly Tensor _targets; // one class each: [N]; several: [N, K]

    private KnnClassifier(Tensor features, Tensor targets, int classes)
    {
        if (features.dim() != 2 || features.shape[0] == 0) throw new DinoSharpException($"training features must be [N, D] with N above 0, found [{string.Join(", ", features.shape)}]");
        if (features.shape[0] != targets.shape[0]) throw new DinoSharpException($"{targets.shape[0]} labels are given for {features.shape[0]} training features");
        using var scope = NewDisposeScope();
        _features = nn.functional.normalize(features.detach().to(ScalarType.Float32), dim: 1).DetachFromDisposeScope();
        _targets = targets.detach().clone().DetachFromDisposeScope();
        Classes = classes;
    }

    /// <summary>Number of training samples.</summary>
    public int Count => (int)_features.shape[0];

    /// <summary>Number of classes K.</summary>
    public int Classes { get; }

    /// <summary>Remembers training samples of one class each.</summary>
    /// <param name="features">Features of any length; they are normalised here. [N, D]</param>
    /// <param name="labels">Class of each sample. [N]</param>
    /// <param name="classes">Number of classes K; null: the largest label + 1.</param>
    public static KnnClassifier Fit(Tensor features, ReadOnlySpan<int> labels, int? classes = null)
    {
        int count = classes ?? (labels.IsEmpty ? 0 : labels.ToArray().Max() + 1);
        foreach (int label in labels) if ((uint)label >= (uint)count) throw new DinoSharpException($"label {label} is outside 0 to {count - 1}");
        using var scope = NewDisposeScope();
        return new KnnClassifier(features, tensor(labels.ToArray(), dtype: ScalarType.Int64), count);
    }

    /// <summary>Remembers training samples that may have several classes.</summary>
    /// <param name="features">Features of any length; they are normalised here. [N, D]</param>
    /// <param name="targets">1 where a sample has the class, else 0. [N, K]</param>
    public static KnnClassifier FitMultiLabel(Tensor features, Tensor targets)
    {
        if (targets.dim() != 2) throw new DinoSharpException($"targets must be [N, K], found [{string.Join(", ", targets.shape)}]");
        using Tensor numbers = targets.to(ScalarType.Float32);
        return new KnnClassifier(features, numbers, (int)targets.shape[1]);
    }

    /// <summary>Votes on samples, for every k of the options in ascending order.</summary>
    /// <param name="features">Features of any length. [M, D]</param>
    /// <param name="options">How to vote; null: the published protocol.</param>
    public IReadOnlyList<KnnVotes> Vote(Tensor features, KnnOptions? options = null)
    {
        options ??= new KnnOptions();
        if (options.Temperature <= 0) throw new DinoSharpException($"the temperature must be above 0, found {options.Temperature}");
        int skip = options.SkipFirstNeighbor ? 1 : 0;
        if (Count - skip < 1) throw new DinoSharpException("one training sample alone has no neighbour to vote for it");
        if (options.Neighbors.Count == 0 || options.Neighbors.Min() < 1) throw new DinoSharpException("the numbers of neighbours must be 1 or more");
        if (features.dim() != 2 || features.shape[1] != _features.shape[1])
            throw new DinoSharpException($"features must be [M, {_features.shape[1]}] as those of the training, found [{string.Join(", ", features.shape)}]");
        int[] ks = [.. options.Neighbors.Select(k => Math.Min(k, Count - skip)).Distinct().Order()];
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor queries = nn.functional.normalize(features.detach().to(ScalarType.Float32), dim: 1); // [M, D]
        (Tensor similarities, Tensor neighbors) = NearestNeighbors.Find(queries, _features, ks[^1] + skip); // [M, k + skip]
        similarities = similarities.narrow(1, skip, ks[^1]); // [M, k]
        neighbors = neighbors.narrow(1, skip, ks[^1]); // [M, k]
        Tensor weights = (similarities / Num(options.Temperature)).softmax(1); // [M, k]
        var votes = new List<KnnVotes>();
        Tensor scores = zeros(queries.shape[0], Classes); // [M, K]
        int counted = 0;
        foreach (int k in ks) // each k adds its further neighbours to the votes of the k before
        {
            scores = scores.clone();
            AddVotes(scores, weights.narrow(1, counted, k - counted), neighbors.narrow(1, counted, k - counted));
            counted = k;
            votes.Add(new KnnVotes(k, scores.MoveToOuterDisposeScope()));
        }

        return votes;
    }

    // Adds the weights [M, k] of neighbours [M, k] to the scores [M, K].
    private void AddVotes(Tensor scores, Tensor weights, Tensor neighbors)
    {
        if (_targets.dim() == 1)
        {
            scores.scatter_add_(1, _targets.index_select(0, neighbors.flatten()).view(neighbors.shape), weights);
            return;
        }

        long rows = Math.Max(1, (1 << 24) / (neighbors.shape[1] * Classes)); // keeps the gathered targets at 64 MiB
        for (long start = 0; start < neighbors.shape[0]; start += rows)
        {
            using var piece = NewDisposeScope();
            long count = Math.Min(rows, neighbors.shape[0] - start);
            Tensor targets = _targets.index_select(0, neighbors.narrow(0, start, count).flatten()).view(count, -1, Classes); // [m, k, K]
            scores.narrow(0, start, count).add_(weights.narrow(0, start, count).unsqueeze(1).bmm(targets).squeeze(1), Num(1)); // [m, K]
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _features.Dispose();
        _targets.Dispose();
    }
}
