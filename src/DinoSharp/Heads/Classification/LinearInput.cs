using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Classification;

/// <summary>The vector that linear classifiers read: class tokens of the last layers side by side, then the mean patch of the last one.</summary>
internal static class LinearInput
{
    /// <param name="features">The last layers of the backbone, in network order, normalised.</param>
    /// <param name="meanPatch">Append the mean of the last layer's patch tokens (registers never count).</param>
    /// <returns>[B, D·layers] or [B, D·(layers + 1)]</returns>
    public static Tensor Gather(IReadOnlyList<LayerFeatures> features, bool meanPatch = true)
    {
        using var scope = NewDisposeScope();
        List<Tensor> parts = [.. features.Select(f => f.ClassToken)];
        if (meanPatch) parts.Add(features[^1].Patches.mean([1]));
        return cat(parts, -1).to(ScalarType.Float32).MoveToOuterDisposeScope(); // [B, D·parts]
    }
}
