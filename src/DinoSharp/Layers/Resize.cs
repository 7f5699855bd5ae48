using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Resizing of feature maps inside networks. Images are resized in <c>Images</c>, which follows other rules.</summary>
internal static class Resize
{
    /// <summary>Bilinear with pixel centres at half integers, without antialiasing; the input itself if the size is right.</summary>
    /// <param name="x">[B, C, h, w]</param>
    /// <param name="height">Rows of the result.</param>
    /// <param name="width">Columns of the result.</param>
    public static Tensor Bilinear(Tensor x, long height, long width) => x.shape[2] == height && x.shape[3] == width
        ? x.alias()
        : nn.functional.interpolate(x, [height, width], mode: InterpolationMode.Bilinear, align_corners: false); // [B, C, height, width]

    /// <summary>Bilinear doubling with the corner pixels of both grids aligned (the DPT decoder).</summary>
    /// <param name="x">[B, C, h, w]</param>
    public static Tensor DoubleAligned(Tensor x) =>
        nn.functional.interpolate(x, [2 * x.shape[2], 2 * x.shape[3]], mode: InterpolationMode.Bilinear, align_corners: true); // [B, C, 2h, 2w]
}
