using DinoSharp.Backbones;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>What a head computes from: the pixels that the backbone saw, and the layers that the head reads. Belongs to the current dispose scope.</summary>
/// <param name="Images">Normalised and fitted [B, C, H', W'].</param>
/// <param name="Layers">In network order.</param>
/// <param name="Height">Rows H before fitting.</param>
/// <param name="Width">Columns W before fitting.</param>
/// <param name="Fit">How the picture was made to fit.</param>
internal sealed record HeadFeatures(Tensor Images, IReadOnlyList<LayerFeatures> Layers, long Height, long Width, ImageFit Fit)
{
    /// <summary>One pass of the backbone for a head, or for several whose inputs are alike.</summary>
    /// <param name="backbone">The frozen backbone.</param>
    /// <param name="pixels">Normalised images [B, C, H, W].</param>
    /// <param name="input">How to fit them.</param>
    /// <param name="layers">The layers to keep, rising.</param>
    public static HeadFeatures Compute(Backbone backbone, Tensor pixels, HeadInput input, IReadOnlyList<int> layers)
    {
        Tensor images = input.Fit.Apply(pixels.to(backbone.parameters().First().device), input.MultiplePixels); // [B, C, H', W']
        return new HeadFeatures(images, backbone.GetLayers(images, LayerSelection.Create([.. layers])), pixels.shape[2], pixels.shape[3], input.Fit);
    }

    /// <summary>The same pass, reduced to some of its layers.</summary>
    public HeadFeatures Select(IReadOnlyList<int> layers) => this with { Layers = [.. Layers.Where(l => layers.Contains(l.Layer))] };

    /// <summary>Scores of the fitted images brought back to the images themselves, at their size. [B, C, H, W]</summary>
    /// <param name="scores">At any resolution [B, C, h, w].</param>
    public Tensor Unfit(Tensor scores)
    {
        if (Fit != ImageFit.CenterPadding) return MapResize.Bilinear(scores, Height, Width); // [B, C, H, W]
        Tensor fitted = MapResize.Bilinear(scores, Images.shape[2], Images.shape[3]); // [B, C, H', W']
        return fitted.narrow(2, (fitted.shape[2] - Height) / 2, Height).narrow(3, (fitted.shape[3] - Width) / 2, Width); // [B, C, H, W]
    }
}
