using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>Where a patch grid lies on the picture it was computed from: the rectangle of the picture, in its own upright pixels, that the grid covers.</summary>
/// <param name="ImageWidth">Width of the picture in pixels.</param>
/// <param name="ImageHeight">Height of the picture in pixels.</param>
/// <param name="Left">Left edge of the covered rectangle; 0 is the left edge of the first pixel.</param>
/// <param name="Top">Top edge of the covered rectangle.</param>
/// <param name="Width">Width of the covered rectangle; beyond the picture if the picture was padded, short of it if it was cropped.</param>
/// <param name="Height">Height of the covered rectangle.</param>
public sealed record PatchGeometry(int ImageWidth, int ImageHeight, double Left, double Top, double Width, double Height)
{
    /// <summary>A grid that covers the whole picture.</summary>
    /// <param name="imageWidth">Width of the picture in pixels.</param>
    /// <param name="imageHeight">Height of the picture in pixels.</param>
    public static PatchGeometry Whole(int imageWidth, int imageHeight) => new(imageWidth, imageHeight, 0, 0, imageWidth, imageHeight);

    /// <summary>A grid that covers the whole input of a network.</summary>
    /// <param name="input">How the input lies on the picture.</param>
    internal static PatchGeometry Of(ImageGeometry input) =>
        new(input.OriginalWidth, input.OriginalHeight, input.OffsetX, input.OffsetY, input.ScaleX * input.Width, input.ScaleY * input.Height);

    /// <summary>Refuses a mask that would have to be stretched to lie on the picture. It may be smaller or larger.</summary>
    /// <param name="name">What to call it.</param>
    /// <param name="width">Its width in pixels.</param>
    /// <param name="height">Its height in pixels.</param>
    /// <exception cref="DinoSharpException">Its sides are in another proportion.</exception>
    internal void RequireShape(string name, int width, int height)
    {
        double stretch = (double)width / height * ImageHeight / ImageWidth;
        if (Math.Abs(stretch - 1) > Math.Max(0.02, 1.0 / Math.Min(width, height))) // a small mask has rounded sides
            throw new DinoSharpException($"{name}: a mask of {width}x{height} pixels does not fit a picture of {ImageWidth}x{ImageHeight}; it may be smaller or larger, but must have the same shape");
    }

    /// <summary>The patch that holds a pixel of the picture.</summary>
    /// <param name="x">Column of the pixel, 0 … width - 1.</param>
    /// <param name="y">Row of the pixel, 0 … height - 1.</param>
    /// <param name="gridHeight">Patch rows h.</param>
    /// <param name="gridWidth">Patch columns w.</param>
    /// <exception cref="DinoSharpException">The pixel is outside of the picture, or no patch covers it.</exception>
    public (int Row, int Column) PatchAt(int x, int y, int gridHeight, int gridWidth)
    {
        if (x < 0 || y < 0 || x >= ImageWidth || y >= ImageHeight)
            throw new DinoSharpException($"the pixel {x},{y} is outside of the picture, which has {ImageWidth}x{ImageHeight} pixels (0,0 to {ImageWidth - 1},{ImageHeight - 1})");
        double column = (x + 0.5 - Left) / Width * gridWidth, row = (y + 0.5 - Top) / Height * gridHeight;

        // Sizes that are no multiple of the patch leave a rim of less than one patch, which belongs to the nearest patch.
        if (column < -1 || row < -1 || column >= gridWidth + 1 || row >= gridHeight + 1)
            throw new DinoSharpException($"the pixel {x},{y} was cut off before the model saw it; the patches cover {Width:0} x {Height:0} pixels from {Left:0},{Top:0}");
        return (Math.Clamp((int)Math.Floor(row), 0, gridHeight - 1), Math.Clamp((int)Math.Floor(column), 0, gridWidth - 1));
    }

    /// <summary>The middle of a patch, in pixels of the picture.</summary>
    /// <param name="row">Patch row.</param>
    /// <param name="column">Patch column.</param>
    /// <param name="gridHeight">Patch rows h.</param>
    /// <param name="gridWidth">Patch columns w.</param>
    public (double X, double Y) CenterOf(int row, int column, int gridHeight, int gridWidth) =>
        (Left + (column + 0.5) * Width / gridWidth, Top + (row + 0.5) * Height / gridHeight);
}
