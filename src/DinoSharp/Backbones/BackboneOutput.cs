using static TorchSharp.torch;

namespace DinoSharp.Backbones;

/// <summary>All tokens after the last layer. Owns its tensors.</summary>
/// <param name="ClassToken">Normalised class token (ConvNeXt: normalised mean of the map). [B, D]</param>
/// <param name="Registers">Normalised register tokens; R is 0 for a ConvNeXt. [B, R, D]</param>
/// <param name="Patches">Normalised patch tokens, row-major. [B, P, D]</param>
/// <param name="PreNorm">Tokens before the final norm: ViT [B, 1 + R + P, D], ConvNeXt [B, P, D].</param>
public sealed record BackboneOutput(Tensor ClassToken, Tensor Registers, Tensor Patches, Tensor PreNorm) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        ClassToken.Dispose();
        Registers.Dispose();
        Patches.Dispose();
        PreNorm.Dispose();
    }

    internal BackboneOutput MoveToOuterDisposeScope()
    {
        ClassToken.MoveToOuterDisposeScope();
        Registers.MoveToOuterDisposeScope();
        Patches.MoveToOuterDisposeScope();
        PreNorm.MoveToOuterDisposeScope();
        return this;
    }
}

/// <summary>Tokens of one layer as a class token, registers and a patch grid. Owns its tensors.</summary>
/// <param name="Layer">Index of the layer, 0 is the first.</param>
/// <param name="ClassToken">Class token (ConvNeXt: mean of the map). [B, D]</param>
/// <param name="Registers">Register tokens; R is 0 for a ConvNeXt. [B, R, D]</param>
/// <param name="Patches">Patch tokens, row-major. [B, P, D]</param>
/// <param name="GridHeight">Patch rows h.</param>
/// <param name="GridWidth">Patch columns w; P = h·w.</param>
public sealed record LayerFeatures(int Layer, Tensor ClassToken, Tensor Registers, Tensor Patches, int GridHeight, int GridWidth) : IDisposable
{
    /// <summary>The patch tokens as a map; a new tensor that the caller owns. [B, D, h, w]</summary>
    public Tensor PatchMap()
    {
        using Tensor channelsFirst = Patches.transpose(1, 2); // [B, D, P]
        using Tensor map = channelsFirst.reshape(Patches.shape[0], Patches.shape[2], GridHeight, GridWidth); // [B, D, h, w]
        return map.contiguous();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        ClassToken.Dispose();
        Registers.Dispose();
        Patches.Dispose();
    }

    internal LayerFeatures MoveToOuterDisposeScope()
    {
        ClassToken.MoveToOuterDisposeScope();
        Registers.MoveToOuterDisposeScope();
        Patches.MoveToOuterDisposeScope();
        return this;
    }
}
