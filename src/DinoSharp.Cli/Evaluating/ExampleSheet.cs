using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli.Evaluating;

/// <summary>Rows of pictures that show what an evaluation saw and gave, for a few of its items.</summary>
internal sealed class ExampleSheet
{
    private const int MostRows = 8, PanelWidth = 360;
    private readonly List<IReadOnlyList<PictureSheet.Panel>> _rows = [];

    /// <summary>Draws what was kept; null if nothing was.</summary>
    public Func<ImageBuffer>? Sheet => _rows.Count == 0 ? null : () => PictureSheet.Compose(_rows);

    /// <summary>Keeps a row, evenly over the data; the pictures are made only if it is one of those shown.</summary>
    /// <param name="index">Number of the item.</param>
    /// <param name="count">Number of items.</param>
    /// <param name="pictures">8-bit RGB, from the left.</param>
    public void Keep(int index, int count, Func<ImageBuffer[]> pictures)
    {
        if (index % Math.Max(1, count / MostRows) == 0 && _rows.Count < MostRows) _rows.Add([.. pictures().Select(p => new PictureSheet.Panel(Small(p)))]);
    }

    /// <summary>A picture at the width of a panel.</summary>
    /// <param name="picture">8-bit RGB.</param>
    /// <param name="width">Width of the result.</param>
    public static ImageBuffer Small(ImageBuffer picture, int width = PanelWidth)
    {
        int height = Math.Max(1, width * picture.Height / picture.Width);
        byte[] small = new byte[width * height * 3];
        Resize.UInt8(picture.Samples<byte>(), picture.Width, picture.Height, 3, new PixelWindow(0, 0, picture.Width, picture.Height), small, width, height, Interpolation.Bilinear, ResizeArithmetic.Pillow);
        return ImageBuffer.FromSamples<byte>(width, height, 3, small);
    }
}
