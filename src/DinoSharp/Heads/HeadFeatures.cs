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

    /// <summary>Where the images lie in the scores of the fitted images.</summary>
    /// <param name="patch">Patch size of the backbone in pixels.</param>
    public MapRegion Region(int patch)
    {
        long rows = Images.shape[2], columns = Images.shape[3];
        if (Fit == ImageFit.Crop) return new MapRegion(0, 0, (double)columns / (columns / patch * patch), (double)rows / (rows / patch * patch)); // scores end with the last whole patch
        if (Fit != ImageFit.CenterPadding) return MapRegion.Whole;
        double left = (columns - Width) / 2, top = (rows - Height) / 2;
        return new MapRegion(left / columns, top / rows, (left + Width) / columns, (top + Height) / rows);
    }
}
