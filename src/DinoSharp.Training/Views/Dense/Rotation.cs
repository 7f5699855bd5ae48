using static TorchSharp.torch;

namespace DinoSharp.Training.Views.Dense;

/// <summary>Rotation of [C, H, W] about the middle, same size, outside 0. Positive angles turn counter-clockwise.</summary>
internal static class Rotation
{
    /// <summary>Bilinear; pixels beyond the border count as 0.</summary>
    public static Tensor Bilinear(Tensor image, double degrees)
    {
        using var scope = NewDisposeScope();
        (Tensor x, Tensor y) = Sources(image, degrees); // [H, W]
        Tensor left = x.floor(), top = y.floor(), along = x - left, down = y - top;
        Tensor result = zeros_like(image);
        for (int dy = 0; dy < 2; dy++)
        {
            for (int dx = 0; dx < 2; dx++)
            {
                Tensor weight = (dx == 0 ? (-along).Plus(Num(1)) : along) * (dy == 0 ? (-down).Plus(Num(1)) : down); // [H, W]
                result = result.Plus(Pick(image, left.Plus(Num(dx)), top.Plus(Num(dy))) * weight.to(image.dtype));
            }
        }

        return result.MoveToOuterDisposeScope();
    }

    /// <summary>The nearest pixel.</summary>
    public static Tensor Nearest(Tensor image, double degrees)
    {
        using var scope = NewDisposeScope();
        (Tensor x, Tensor y) = Sources(image, degrees); // [H, W]
        return Pick(image, x.round(), y.round()).MoveToOuterDisposeScope();
    }

    // Where each pixel comes from; pixel i has its middle at i.
    private static (Tensor X, Tensor Y) Sources(Tensor image, double degrees)
    {
        (long h, long w) = (image.shape[1], image.shape[2]);
        double angle = degrees * Math.PI / 180, cos = Math.Cos(angle), sin = Math.Sin(angle);
        Tensor x = arange(Num(0), Num(w), Num(1), dtype: ScalarType.Float64).Plus(Num(0.5 - (w / 2.0))).unsqueeze(0), y = arange(Num(0), Num(h), Num(1), dtype: ScalarType.Float64).Plus(Num(0.5 - (h / 2.0))).unsqueeze(1); // [1, W], [H, 1]
        return (((x * Num(cos)) - (y * Num(sin))).Plus(Num((w / 2.0) - 0.5)), (x * Num(sin)).Plus(y * Num(cos)).Plus(Num((h / 2.0) - 0.5))); // [H, W]
    }

    private static Tensor Pick(Tensor image, Tensor x, Tensor y)
    {
        (long h, long w) = (image.shape[1], image.shape[2]);
        Tensor inside = x.ge(Num(0)) & x.le(Num(w - 1)) & y.ge(Num(0)) & y.le(Num(h - 1)); // [H, W]
        Tensor index = (y.clamp(Num(0), Num(h - 1)) * Num(w)).Plus(x.clamp(Num(0), Num(w - 1))).to(ScalarType.Int64).flatten(); // [H·W]
        return image.flatten(1).index_select(1, index).view(image.shape) * inside.to(image.dtype); // [C, H, W]
    }
}
