using DinoSharp.Images;
using TorchSharp;

namespace DinoSharp;

/// <summary>How <see cref="DinoModel.Load"/> loads a model.</summary>
public sealed record DinoModelOptions
{
    /// <summary>Where the weights live and the computation runs; null: CPU.</summary>
    public torch.Device? Device { get; init; }

    /// <summary>The precision of the large matrix products. Float32 unless asked otherwise, so that numbers are those of the golden tests and of other tools.</summary>
    public ComputeType Compute { get; init; }

    /// <summary>A folder to look for published weights in, instead of the usual one (<c>DINOSHARP_CACHE</c>, else <c>dinosharp</c> in the user's cache folder).</summary>
    public string? WeightsFolder { get; init; }

    /// <summary>
    /// Mean and standard deviation of the pixels, for weights that say nothing about them. Normally null: they come with the weights, and other ones give wrong
    /// features without any error.
    /// </summary>
    public Normalization? Normalization { get; init; }
}
