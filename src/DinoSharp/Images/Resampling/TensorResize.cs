using static TorchSharp.torch;

namespace DinoSharp.Images;

/// <summary>Resizing of tensors by libtorch's own kernels, for batches that are tensors already.</summary>
public static class TensorResize
{
    /// <summary>Resizes a batch. uint8 stays uint8, by libtorch's exact integer kernel; float is not clipped.</summary>
    /// <param name="images">[B, C, H, W] or [C, H, W], uint8 or float.</param>
    /// <param name="height">New height.</param>
    /// <param name="width">New width.</param>
    /// <param name="interpolation">How.</param>
    /// <param name="antialias">Whether to widen the kernel when scaling down; without, bicubic has a = −¾ and only the nearest pixels count.</param>
    /// <returns>[B, C, height, width] or [C, height, width] of the same type; the input itself, as a new handle, if the size is right already.</returns>
    public static Tensor Resize(Tensor images, int height, int width, Interpolation interpolation, bool antialias = true)
    {
        ArgumentNullException.ThrowIfNull(images);
        if (images.dim() is not (3 or 4)) throw new ArgumentException($"expected [B, C, H, W] or [C, H, W], found {images.dim()} dimensions", nameof(images));
        if (images.shape[^2] == height && images.shape[^1] == width) return images.alias();
        using var scope = NewDisposeScope();
        Tensor batch = images.dim() == 3 ? images.unsqueeze(0) : images; // [B, C, H, W]
        Tensor resized;
        if (interpolation is Interpolation.Nearest or Interpolation.NearestExact)
        {
            // libtorch's binding has no silent nearest-exact, and picking indices is all there is to do.
            Tensor rows = tensor(NearestResize.Sources((int)batch.shape[2], height, interpolation)).to(batch.device);
            Tensor columns = tensor(NearestResize.Sources((int)batch.shape[3], width, interpolation)).to(batch.device);
            resized = batch.index_select(2, rows).index_select(3, columns); // [B, C, h, w]
        }
        else
        {
            InterpolationMode mode = interpolation == Interpolation.Bilinear ? InterpolationMode.Bilinear : InterpolationMode.Bicubic;
            resized = nn.functional.interpolate(batch, [height, width], mode: mode, align_corners: false, antialias: antialias); // [B, C, h, w]
        }

        return (images.dim() == 3 ? resized.squeeze(0) : resized).MoveToOuterDisposeScope(); // as the input
    }
}
