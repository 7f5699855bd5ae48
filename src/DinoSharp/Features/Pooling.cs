using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>How the tokens of a picture become one vector. All of them are taken after the final norm.</summary>
public enum Pooling
{
    /// <summary>The class token (ConvNeXt: the normalised mean of the map), as the official code does for classification and retrieval. D numbers.</summary>
    ClassToken,

    /// <summary>The mean of the patch tokens, without class token and registers, as timm does. D numbers.</summary>
    PatchMean,

    /// <summary>The class token followed by the mean of the patch tokens. 2·D numbers.</summary>
    ClassTokenAndPatchMean,

    /// <summary>Generalised mean of the patch tokens with p = 3 (Radenović et al. 2018), for instance retrieval: (mean of max(x, 1e-6)³)^⅓ for each dimension. D numbers.</summary>
    GeM,
}

/// <summary>The computations behind <see cref="Pooling"/>.</summary>
internal static class PoolingExtensions
{
    private const double GeMExponent = 3;
    private const double GeMFloor = 1e-6;

    /// <summary>Numbers of a pooled vector for tokens of width D.</summary>
    public static int Length(this Pooling pooling, int embedDim) => pooling == Pooling.ClassTokenAndPatchMean ? 2 * embedDim : embedDim;

    /// <summary>One vector for each image. [B, D] or [B, 2·D]</summary>
    /// <param name="pooling">Which tokens.</param>
    /// <param name="classToken">[B, D]</param>
    /// <param name="patches">[B, P, D]</param>
    /// <param name="unitLength">Divide each vector by its length; a vector of zeros stays.</param>
    public static Tensor Pool(this Pooling pooling, Tensor classToken, Tensor patches, bool unitLength)
    {
        using var scope = NewDisposeScope();
        Tensor pooled = pooling switch
        {
            Pooling.ClassToken => classToken.to_type(ScalarType.Float32), // [B, D]
            Pooling.PatchMean => Mean(patches), // [B, D]
            Pooling.ClassTokenAndPatchMean => cat([classToken.to_type(ScalarType.Float32), Mean(patches)], 1), // [B, 2·D]
            Pooling.GeM => Mean(patches.to_type(ScalarType.Float32).clamp(min: Num(GeMFloor)).pow(Num(GeMExponent))).pow(Num(1 / GeMExponent)), // [B, D]
            _ => throw new ArgumentOutOfRangeException(nameof(pooling), pooling, "no such pooling"),
        };
        return (unitLength ? nn.functional.normalize(pooled) : pooled.alias()).MoveToOuterDisposeScope();
    }

    private static Tensor Mean(Tensor patches) => patches.mean([1], type: ScalarType.Float32); // [B, D]
}
