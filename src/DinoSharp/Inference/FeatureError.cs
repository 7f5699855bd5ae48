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
    public static FeatureError Measure(Backbone network, InferenceEngine engine, Tensor images)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        int last = network.Config.LayerCount - 1;
        return Between(network.NormalizeTokens(network.RunLayers(images, [last])[0]), network.NormalizeTokens(engine.Forward(images, [last])[0]));
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
