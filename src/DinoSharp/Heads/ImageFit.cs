using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>How an image whose sides are no multiple of the patch size is made to fit, after normalisation.</summary>
public enum ImageFit
{
    /// <summary>As it is: the backbone ignores the pixels beyond the last whole patch.</summary>
    Crop,

    /// <summary>Zeros around it up to the next multiple; the odd pixel goes to the right or bottom. What the head says about the zeros is cut off again, so that its answer lies where the picture is.</summary>
    CenterPadding,

    /// <summary>Bilinear resize to the next multiple.</summary>
    Stretch,

    /// <summary>Bicubic resize to the next multiple (published open-vocabulary segmentation).</summary>
    BicubicStretch,

    /// <summary>The zeros of <see cref="CenterPadding"/>, but the answer for the padded picture is stretched over the picture: what the published depth models do, and their figures are measured with. It shifts the
    /// answer by up to half a patch where a side is no multiple; with sides that are multiples it is the same.</summary>
    CenterPaddingKept,
}

internal static class ImageFitting
{
    /// <param name="fit">The rule.</param>
    /// <param name="images">Normalised images [B, C, H, W].</param>
    /// <param name="multiple">Patch size in pixels (ViT 16, ConvNeXt 4 for the depth heads).</param>
    /// <returns>[B, C, H', W']; an alias of the input where nothing is to do</returns>
    public static Tensor Apply(this ImageFit fit, Tensor images, int multiple)
    {
        long height = RoundUp(images.shape[2], multiple), width = RoundUp(images.shape[3], multiple);
        if (fit == ImageFit.Crop) return images.alias();
        if (fit == ImageFit.Stretch) return MapResize.Bilinear(images, height, width); // [B, C, H', W']
        if (fit == ImageFit.BicubicStretch) return (images.shape[2], images.shape[3]) == (height, width) ? images.alias() : nn.functional.interpolate(images, [height, width], mode: InterpolationMode.Bicubic, align_corners: false); // [B, C, H', W']
        long rows = height - images.shape[2], columns = width - images.shape[3];
        return nn.functional.pad(images, [columns / 2, columns - columns / 2, rows / 2, rows - rows / 2]); // [B, C, H', W']
    }

    public static long RoundUp(long size, int multiple) => (size + multiple - 1) / multiple * multiple;
}
