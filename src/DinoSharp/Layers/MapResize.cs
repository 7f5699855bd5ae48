using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Resizing of feature maps inside networks. Images are resized in <c>Images</c>, which follows other rules.</summary>
internal static class MapResize
{
    /// <summary>Bilinear with pixel centres at half integers, without antialiasing; an alias of the input if the size is right.</summary>
    /// <param name="x">[B, C, h, w]</param>
    /// <param name="height">Rows of the result.</param>
    /// <param name="width">Columns of the result.</param>
    public static Tensor Bilinear(Tensor x, long height, long width) => x.shape[2] == height && x.shape[3] == width
        ? x.alias()
        : nn.functional.interpolate(x, [height, width], mode: InterpolationMode.Bilinear, align_corners: false); // [B, C, height, width]

    /// <summary>The same for a region of the map, which becomes the whole result: one interpolation, also where padding is cut off.</summary>
    /// <param name="x">[B, C, h, w]</param>
    /// <param name="region">What of it is wanted.</param>
    /// <param name="height">Rows of the result.</param>
    /// <param name="width">Columns of the result.</param>
    public static Tensor Bilinear(Tensor x, MapRegion region, long height, long width) =>
        region.IsWhole ? Bilinear(x, height, width) : Band(x, region, height, width, 0, height); // [B, C, height, width]

    /// <summary>Some rows of what <see cref="Bilinear(Tensor, MapRegion, long, long)"/> gives, without computing the others.</summary>
    /// <param name="x">[B, C, h, w]</param>
    /// <param name="region">What of it becomes the result.</param>
    /// <param name="height">Rows of the whole result.</param>
    /// <param name="width">Columns of the result.</param>
    /// <param name="top">First row wanted.</param>
    /// <param name="count">Rows wanted.</param>
    /// <returns>[B, C, count, width]</returns>
    public static Tensor Band(Tensor x, MapRegion region, long height, long width, long top, long count)
    {
        if (region.IsWhole && x.shape[2] == height && x.shape[3] == width) return x.narrow(2, top, count); // [B, C, count, width]
        using var scope = NewDisposeScope();
        // Pixel centres of the result in the map, whose sides go from -1 to 1.
        Tensor rows = (arange(Num(top), Num(top + count), Num(1), dtype: ScalarType.Float32, device: x.device).Plus(Num(0.5)) * Num(2 * (region.Bottom - region.Top) / height)).Plus(Num((2 * region.Top) - 1)); // [count]
        Tensor columns = (arange(Num(0), Num(width), Num(1), dtype: ScalarType.Float32, device: x.device).Plus(Num(0.5)) * Num(2 * (region.Right - region.Left) / width)).Plus(Num((2 * region.Left) - 1)); // [width]
        Tensor grid = stack([columns.unsqueeze(0).expand(count, width), rows.unsqueeze(1).expand(count, width)], -1).unsqueeze(0).expand(x.shape[0], count, width, 2); // [B, count, width, 2]
        return nn.functional.grid_sample(x, grid, GridSampleMode.Bilinear, GridSamplePaddingMode.Border, align_corners: false).MoveToOuterDisposeScope(); // [B, C, count, width]
    }

    /// <summary>Bilinear doubling with the corner pixels of both grids aligned (the DPT decoder).</summary>
    /// <param name="x">[B, C, h, w]</param>
    public static Tensor DoubleAligned(Tensor x) =>
        nn.functional.interpolate(x, [2 * x.shape[2], 2 * x.shape[3]], mode: InterpolationMode.Bilinear, align_corners: true); // [B, C, 2h, 2w]

    /// <summary>Some rows of what <see cref="DoubleAligned(Tensor)"/> gives, without computing the others.</summary>
    /// <param name="x">[B, C, h, w]</param>
    /// <param name="top">First row wanted, 0 to 2h - 1.</param>
    /// <param name="count">Rows wanted.</param>
    /// <returns>[B, C, count, 2w]</returns>
    public static Tensor DoubleAligned(Tensor x, long top, long count)
    {
        using var scope = NewDisposeScope();
        long rows = x.shape[2];
        float step = (float)(rows - 1) / ((2 * rows) - 1); // in float32, as libtorch finds its rows
        float[] places = [.. Enumerable.Range(0, (int)count).Select(i => step * (top + i))];
        Tensor upper = tensor(places.Select(p => (long)p).ToArray(), device: x.device), lower = upper.Plus(Num(1)).clamp_max(Num(rows - 1)); // [count]
        Tensor share = tensor(places.Select(p => p - (long)p).ToArray(), device: x.device).to(x.dtype).view(-1, 1); // [count, 1]
        Tensor between = lerp(x.index_select(2, upper), x.index_select(2, lower), share); // [B, C, count, w]
        return nn.functional.interpolate(between, [count, 2 * x.shape[3]], mode: InterpolationMode.Bilinear, align_corners: true).MoveToOuterDisposeScope(); // [B, C, count, 2w]
    }
}
