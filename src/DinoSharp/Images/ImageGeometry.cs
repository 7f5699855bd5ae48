namespace DinoSharp.Images;

/// <summary>
/// How the picture a model sees lies on the original, upright picture. Coordinates are continuous: the first pixel reaches from 0 to 1, its centre is ½.
/// original = offset + scale × input.
/// </summary>
/// <param name="OriginalWidth">Width of the original in pixels, after its EXIF orientation was applied.</param>
/// <param name="OriginalHeight">Height of the original in pixels.</param>
/// <param name="Width">Width of the model's input in pixels.</param>
/// <param name="Height">Height of the model's input in pixels.</param>
/// <param name="ScaleX">Original pixels for each input pixel, along x.</param>
/// <param name="ScaleY">Original pixels for each input pixel, along y.</param>
/// <param name="OffsetX">Where the left edge of the input lies in the original; negative where it was padded.</param>
/// <param name="OffsetY">Where the top edge of the input lies in the original; negative where it was padded.</param>
public sealed record ImageGeometry(
    int OriginalWidth, int OriginalHeight, int Width, int Height, double ScaleX, double ScaleY, double OffsetX, double OffsetY)
{
    /// <summary>A point of the input in the original.</summary>
    /// <param name="x">0 … <see cref="Width"/>.</param>
    /// <param name="y">0 … <see cref="Height"/>.</param>
    public (double X, double Y) ToOriginal(double x, double y) => (OffsetX + ScaleX * x, OffsetY + ScaleY * y);

    /// <summary>A point of the original in the input; outside of 0 … size if it was cut off.</summary>
    /// <param name="x">0 … <see cref="OriginalWidth"/>.</param>
    /// <param name="y">0 … <see cref="OriginalHeight"/>.</param>
    public (double X, double Y) ToInput(double x, double y) => ((x - OffsetX) / ScaleX, (y - OffsetY) / ScaleY);
}
