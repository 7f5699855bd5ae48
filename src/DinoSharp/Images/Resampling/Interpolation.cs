namespace DinoSharp.Images;

/// <summary>How a pixel of the new size is made from pixels of the old. Names and rules are those of PyTorch.</summary>
public enum Interpolation
{
    /// <summary>The source pixel ⌊o·n/m⌋ (n old, m new length).</summary>
    Nearest,

    /// <summary>The source pixel under the centre of the new one, ⌊(o+½)·n/m⌋; Pillow's nearest.</summary>
    NearestExact,

    /// <summary>Triangle over two pixels, widened when scaling down (antialias).</summary>
    Bilinear,

    /// <summary>Keys' cubic with a = −½ over four pixels, widened when scaling down (antialias).</summary>
    Bicubic,
}

/// <summary>The two forms of 8-bit arithmetic in the field. They differ by one level in some pixels.</summary>
public enum ResizeArithmetic
{
    /// <summary>Pillow's: weights with 22 fractional bits. Self-supervised training and the notebooks resize this way.</summary>
    Pillow,

    /// <summary>That of PyTorch's uint8 kernel: weights of 16 bits, as precise as the largest weight of the axis allows. Official evaluation resizes this way.</summary>
    Tensor,
}

/// <summary>A rectangle of pixels inside a picture.</summary>
/// <param name="Left">First column.</param>
/// <param name="Top">First row.</param>
/// <param name="Width">Columns.</param>
/// <param name="Height">Rows.</param>
public readonly record struct PixelWindow(int Left, int Top, int Width, int Height);
