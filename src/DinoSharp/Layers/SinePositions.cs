using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Fixed position embeddings made of sines and cosines of geometrically growing wavelength (Vaswani et al. 2017; Carion et al. 2020 for maps).</summary>
internal static class SinePositions
{
    private const double Temperature = 10000;

    /// <summary>Embeddings of a map without padding, rows and columns counted from 1 and scaled to 2π.</summary>
    /// <param name="h">Rows.</param>
    /// <param name="w">Columns.</param>
    /// <param name="width">Channels D of the result, a multiple of 4; the first half encodes the row.</param>
    /// <param name="device">Where to put it.</param>
    /// <returns>[1, D, h, w]</returns>
    public static Tensor Grid(long h, long w, int width, Device? device = null)
    {
        using Tensor valid = ones([1, h, w], dtype: ScalarType.Bool, device: device);
        return Map(valid, width, offset: 0, normalize: true);
    }

    /// <summary>Embeddings of a padded batch: only valid rows and columns count, and positions lie at the centres of the cells.</summary>
    /// <param name="valid">False where a cell is padding [B, h, w].</param>
    /// <param name="width">Channels D of the result, a multiple of 4; the first half encodes the row.</param>
    /// <param name="normalize">Scale each image to 2π; otherwise a cell is 2π.</param>
    /// <returns>[B, D, h, w]; padded cells hold arbitrary values</returns>
    public static Tensor Padded(Tensor valid, int width, bool normalize = true) => Map(valid, width, offset: 0.5, normalize);

    /// <summary>Sine and cosine of each number at growing wavelengths, interleaved.</summary>
    /// <param name="values">[...]</param>
    /// <param name="width">Channels N of the result.</param>
    /// <returns>[..., N]</returns>
    public static Tensor Encode(Tensor values, int width)
    {
        using var scope = NewDisposeScope();
        Tensor exponent = arange(Num(0), Num(width), Num(1), dtype: ScalarType.Float32, device: values.device).div(Num(2)).floor() * Num(2) / Num(width); // [N]
        Tensor angles = values.unsqueeze(-1) / full_like(exponent, Num(Temperature)).pow(exponent); // [..., N]
        Tensor even = angles.slice(-1, 0, width, 2).sin(), odd = angles.slice(-1, 1, width, 2).cos(); // [..., N/2]
        return stack([even, odd], -1).flatten(-2, -1).MoveToOuterDisposeScope(); // [..., N]
    }

    private static Tensor Map(Tensor valid, int width, double offset, bool normalize)
    {
        using var scope = NewDisposeScope();
        Tensor y = Axis(valid, 1, offset, normalize), x = Axis(valid, 2, offset, normalize); // [B, h, w]
        Tensor embedding = cat([Encode(y, width / 2), Encode(x, width / 2)], -1); // [B, h, w, D]
        return embedding.permute(0, 3, 1, 2).contiguous().MoveToOuterDisposeScope(); // [B, D, h, w]
    }

    private static Tensor Axis(Tensor valid, int axis, double offset, bool normalize)
    {
        Tensor count = valid.cumsum(axis, type: ScalarType.Float32); // [B, h, w]
        Tensor position = count - Num(offset);
        if (normalize) position = position / count.narrow(axis, count.shape[axis] - 1, 1).Plus(Num(1e-6));
        return position * Num(2 * Math.PI);
    }
}
