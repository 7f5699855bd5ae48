using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>How far the normalised tokens of one way to compute are from those of float32.</summary>
/// <param name="Relative">Length of the difference of all tokens over their length.</param>
/// <param name="WorstCosine">Smallest cosine between a token and its counterpart.</param>
internal readonly record struct FeatureError(double Relative, double WorstCosine)
{
    /// <summary>The relative error that reduced precision may have.</summary>
    public const double RelativeLimit = 1.5e-2;

    /// <summary>The cosine that every token must keep.</summary>
    public const double CosineLimit = 0.9995;

    /// <summary>Whether both limits are kept; numbers that are not finite keep none.</summary>
    public bool IsWithinLimits => Relative <= RelativeLimit && WorstCosine >= CosineLimit;

    /// <summary>Compares an engine with the network it was made from.</summary>
    /// <param name="network">The network.</param>
    /// <param name="engine">Made from it.</param>
    /// <param name="images">[B, C, H, W]</param>
    /// <param name="expected">From <see cref="Expected"/>; null: computed.</param>
    public static FeatureError Measure(Backbone network, InferenceEngine engine, Tensor images, Tensor? expected = null)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        return Between(expected ?? Expected(network, images), network.NormalizeTokens(engine.Forward(images, [network.Config.LayerCount - 1])[0]));
    }

    /// <summary>The normalised tokens as the modules of a network compute them. [B, N, D]</summary>
    public static Tensor Expected(Backbone network, Tensor images)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        return network.NormalizeTokens(network.RunLayers(images, [network.Config.LayerCount - 1])[0]).MoveToOuterDisposeScope(); // [B, N, D]
    }

    /// <summary>Compares tokens [B, N, D].</summary>
    public static FeatureError Between(Tensor expected, Tensor actual)
    {
        using var scope = NewDisposeScope();
        double relative = (actual - expected).norm().item<float>() / expected.norm().item<float>();
        Tensor cosine = (actual * expected).sum(-1) / (actual.norm(-1) * expected.norm(-1)); // [B, N]
        return new(relative, cosine.min().item<float>());
    }
}
