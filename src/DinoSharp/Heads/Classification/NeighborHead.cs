using DinoSharp.Features;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Classification;

/// <summary>How the neighbours of a picture decide.</summary>
/// <param name="Count">How many of them, k.</param>
/// <param name="Temperature">Of the softmax over their similarities, which are the weights of their votes.</param>
/// <param name="UnknownBelow">Similarity of the nearest one below which a picture shows nothing that was enrolled; null: there is nothing unknown.</param>
internal sealed record NeighborRule(int Count, double Temperature, double? UnknownBelow = null);

/// <summary>Remembers the vectors of labelled pictures; the most similar ones vote (Wu et al. 2018).</summary>
internal sealed class NeighborHead : nn.Module
{
    [ComponentName(Name = "neighbor_features")] private readonly Tensor _features;
    [ComponentName(Name = "neighbor_labels")] private readonly Tensor _labels;

    /// <param name="samples">Number N of pictures to remember.</param>
    /// <param name="width">Length D of their vectors.</param>
    /// <param name="classes">Number K of classes.</param>
    /// <param name="rule">How they decide.</param>
    /// <param name="device">Where the vectors live.</param>
    public NeighborHead(int samples, int width, int classes, NeighborRule rule, Device? device = null)
        : base(nameof(NeighborHead))
    {
        (Classes, Rule) = (classes, rule);
        _features = zeros(samples, width, device: device).DetachFromDisposeScope();
        _labels = zeros(samples, dtype: ScalarType.Int64, device: device).DetachFromDisposeScope();
        RegisterComponents();
    }

    public int Classes { get; }

    public NeighborRule Rule { get; }

    /// <summary>Takes over the vectors [N, D], brought to unit length, and their classes [N].</summary>
    public void Remember(Tensor features, Tensor labels)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        _features.copy_(nn.functional.normalize(features.to(ScalarType.Float32)));
        _labels.copy_(labels);
    }

    /// <param name="vectors">[B, D], of any length.</param>
    /// <returns>Share of the votes of each class [B, K], and cosine similarity of the nearest neighbour [B].</returns>
    public (Tensor Votes, Tensor Similarity) Vote(Tensor vectors)
    {
        using var scope = NewDisposeScope();
        Tensor queries = nn.functional.normalize(vectors.to(ScalarType.Float32)); // [B, D]
        (Tensor similarities, Tensor neighbors) = NearestNeighbors.Find(queries, _features, (int)Math.Min(Rule.Count, _features.shape[0])); // [B, k]
        return (Count(similarities, neighbors, _labels, Classes, Rule).MoveToOuterDisposeScope(), similarities.select(1, 0).clone().MoveToOuterDisposeScope());
    }

    /// <summary>How neighbours that were found vote.</summary>
    /// <param name="similarities">Of the k nearest [B, k].</param>
    /// <param name="neighbors">Which they are [B, k].</param>
    /// <param name="labels">Classes of all that are remembered [N].</param>
    /// <param name="classes">Number K of classes.</param>
    /// <param name="rule">How they decide.</param>
    /// <returns>Share of the votes of each class [B, K].</returns>
    public static Tensor Count(Tensor similarities, Tensor neighbors, Tensor labels, int classes, NeighborRule rule)
    {
        using var scope = NewDisposeScope();
        Tensor weights = (similarities / Num(rule.Temperature)).softmax(1); // [B, k]
        Tensor votes = zeros(weights.shape[0], classes, device: weights.device); // [B, K]
        return votes.scatter_add_(1, labels.index_select(0, neighbors.flatten()).view(neighbors.shape), weights).MoveToOuterDisposeScope();
    }
}
