using static TorchSharp.torch;

namespace DinoSharp.Images;

/// <summary>
/// Colour operations on RGB tensors [..., 3, H, W], as evaluation-time and segmentation transforms apply them: uint8 (0 … 255, truncated after every
/// operation) or float (0 … 1). The results differ from Pillow's by design.
/// </summary>
public static class TensorColor
{
    /// <summary>v → k·v, clipped.</summary>
    /// <param name="images">Any number of channels.</param>
    /// <param name="factor">k ≥ 0.</param>
    public static Tensor Brightness(Tensor images, double factor)
    {
        using var scope = NewDisposeScope();
        return Finish(images.to(float32) * Num((float)factor), images).MoveToOuterDisposeScope();
    }

    /// <summary>Blends each picture with its mean gray.</summary>
    /// <param name="images">[..., 3, H, W].</param>
    /// <param name="factor">k ≥ 0.</param>
    public static Tensor Contrast(Tensor images, double factor)
    {
        using var scope = NewDisposeScope();
        Tensor mean = Gray(images).mean([-3, -2, -1], keepdim: true); // [..., 1, 1, 1]
        return Blend(images, mean, factor).MoveToOuterDisposeScope();
    }

    /// <summary>Blends each pixel with its own gray.</summary>
    /// <param name="images">[..., 3, H, W].</param>
    /// <param name="factor">k ≥ 0.</param>
    public static Tensor Saturation(Tensor images, double factor)
    {
        using var scope = NewDisposeScope();
        return Blend(images, Gray(images), factor).MoveToOuterDisposeScope();
    }

    /// <summary>Gray, in three equal channels.</summary>
    /// <param name="images">[..., 3, H, W].</param>
    public static Tensor Grayscale(Tensor images)
    {
        using var scope = NewDisposeScope();
        return Gray(images).to(images.dtype).expand(images.shape).contiguous().MoveToOuterDisposeScope(); // [..., 3, H, W]
    }

    /// <summary>Inverts every sample from a threshold on.</summary>
    /// <param name="images">Any number of channels.</param>
    /// <param name="threshold">In the units of the tensor.</param>
    public static Tensor Solarize(Tensor images, double threshold)
    {
        using var scope = NewDisposeScope();
        Tensor inverse = images.is_floating_point() ? (-images).Plus(Num(1)) : (-images).Plus(Num(255));
        return where(images >= Num(threshold), inverse, images).to(images.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>Turns the hue, in fp32 HSV without 8-bit steps.</summary>
    /// <param name="images">[..., 3, H, W].</param>
    /// <param name="turn">−½ … ½ of the colour circle.</param>
    public static Tensor Hue(Tensor images, double turn)
    {
        RequireRgb(images);
        using var scope = NewDisposeScope();
        Tensor rgb = images.is_floating_point() ? images.to(float32) : images.to(float32) / Num(255);
        Tensor r = rgb.select(-3, 0), g = rgb.select(-3, 1), b = rgb.select(-3, 2); // [..., H, W]
        Tensor max = rgb.amax([-3]), min = rgb.amin([-3]), range = max - min; // [..., H, W]
        Tensor gray = range == Num(0), divisor = where(gray, ones_like(max), range);
        Tensor saturation = range / where(max == Num(0), ones_like(max), max);
        Tensor rc = (max - r) / divisor, gc = (max - g) / divisor, bc = (max - b) / divisor;
        Tensor hue = where(r == max, bc - gc, where(g == max, rc.Plus(Num(2)) - bc, gc.Plus(Num(4)) - rc));
        hue = where(gray, zeros_like(hue), ((hue / Num(6)).Plus(Num(1)) % Num(1)).Plus(Num((float)turn)) % Num(1));
        hue = where(hue < Num(0), hue.Plus(Num(1)), hue); // the remainder keeps the sign of a negative turn

        Tensor sextant = (hue * Num(6)).floor(), fraction = hue * Num(6) - sextant;
        Tensor p = (max * (-saturation).Plus(Num(1))).clamp(Num(0), Num(1)), q = (max * (-(saturation * fraction)).Plus(Num(1))).clamp(Num(0), Num(1)), t = (max * (-(saturation * (-fraction).Plus(Num(1)))).Plus(Num(1))).clamp(Num(0), Num(1));
        sextant = sextant.to(int64) % Num(6);
        Tensor Choose(params Tensor[] bySextant) => stack(bySextant).gather(0, sextant.unsqueeze(0)).squeeze(0); // [..., H, W]
        Tensor turned = stack([Choose(max, q, p, p, t, max), Choose(t, max, max, q, p, p), Choose(p, p, t, max, max, q)], -3); // [..., 3, H, W]
        return (images.is_floating_point() ? turned.to(images.dtype) : (turned * Num(255.999f)).to(images.dtype)).MoveToOuterDisposeScope();
    }

    private static Tensor Gray(Tensor images)
    {
        RequireRgb(images);
        Tensor rgb = images.to(float32);
        Tensor gray = (rgb.narrow(-3, 0, 1) * Num(0.2989f)).Plus(rgb.narrow(-3, 1, 1) * Num(0.587f)).Plus(rgb.narrow(-3, 2, 1) * Num(0.114f)); // [..., 1, H, W]
        return images.is_floating_point() ? gray : gray.floor();
    }

    private static Tensor Blend(Tensor images, Tensor other, double factor) =>
        Finish((images.to(float32) * Num((float)factor)).Plus(other * Num((float)(1 - factor))), images);

    private static Tensor Finish(Tensor values, Tensor images) => values.clamp(Num(0), Num(images.is_floating_point() ? 1 : 255)).to(images.dtype);

    private static void RequireRgb(Tensor images)
    {
        if (images.dim() < 3 || images.shape[^3] != 3)
            throw new ArgumentException($"this colour operation needs RGB pictures [..., 3, H, W], not [{string.Join(", ", images.shape)}]", nameof(images));
    }
}
