using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli.Evaluating;

/// <summary>A picture and those nearest to it.</summary>
/// <param name="Path">The picture.</param>
/// <param name="Right">Whether the answer for it is right.</param>
/// <param name="Nearest">The nearest pictures, nearest first, and whether each is of the same thing.</param>
internal sealed record NeighborRow(string Path, bool Right, IReadOnlyList<(string Path, bool Right)> Nearest);

/// <summary>Pictures on the left, the nearest ones beside them, framed green where they show the same and red where not. Wrong answers come first.</summary>
internal static class NeighborSheet
{
    /// <summary>The colour of a right answer.</summary>
    public static readonly (byte Red, byte Green, byte Blue) Right = (0, 158, 115);

    /// <summary>The colour of a wrong answer.</summary>
    public static readonly (byte Red, byte Green, byte Blue) Wrong = (213, 94, 0);

    private const int Rows = 10, Side = 128, Frame = 6;

    /// <summary>Draws the sheet when asked; null for images that are no files of their own, as those of tar shards.</summary>
    public static Func<ImageBuffer>? Of(IReadOnlyList<NeighborRow> rows) =>
        rows.Count > 0 && rows[0].Nearest.Count > 0 && File.Exists(rows[0].Path) && File.Exists(rows[0].Nearest[0].Path) ? () => Draw(rows) : null;

    private static ImageBuffer Draw(IReadOnlyList<NeighborRow> rows)
    {
        // Evenly spread over the data, so that not only the first class is seen.
        NeighborRow[] wrong = Spread([.. rows.Where(r => !r.Right)], Rows / 2);
        NeighborRow[] right = Spread([.. rows.Where(r => r.Right)], Rows - wrong.Length);
        return PictureSheet.Compose([.. wrong.Concat(right).Select(r => (IReadOnlyList<PictureSheet.Panel>)
        [
            new PictureSheet.Panel(Thumbnail(r.Path, (255, 255, 255))),
            .. r.Nearest.Select(n => new PictureSheet.Panel(Thumbnail(n.Path, n.Right ? Right : Wrong))),
        ])]);
    }

    private static NeighborRow[] Spread(NeighborRow[] all, int count) =>
        all.Length <= count ? all : [.. Enumerable.Range(0, count).Select(i => all[(int)((long)i * all.Length / count)])];

    private static ImageBuffer Thumbnail(string path, (byte Red, byte Green, byte Blue) frame)
    {
        ImageBuffer picture = ImageFile.Read(path).ToRgb8();
        int side = Math.Min(picture.Width, picture.Height);
        byte[] small = new byte[Side * Side * 3];
        Resize.UInt8(
            picture.Samples<byte>(), picture.Width, picture.Height, 3, new PixelWindow((picture.Width - side) / 2, (picture.Height - side) / 2, side, side),
            small, Side, Side, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        var framed = new Canvas(Side + (2 * Frame), Side + (2 * Frame));
        framed.Fill(0, 0, framed.Width, framed.Height, frame);
        framed.Draw(ImageBuffer.FromSamples<byte>(Side, Side, 3, small), Frame, Frame);
        return framed.ToPicture();
    }
}
