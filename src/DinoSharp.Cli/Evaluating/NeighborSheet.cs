using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>A picture of what k-NN does: images on the left, their nearest training images beside them, framed green where the class is the same and red where not. Wrong votes come first.</summary>
internal static class NeighborSheet
{
    private const int Rows = 10, Side = 128, Frame = 6;

    /// <summary>Draws the sheet when asked; null for images that are no files of their own, as those of tar shards.</summary>
    public static Func<ImageBuffer>? Of(IReadOnlyList<KnnPrediction> predictions) =>
        File.Exists(predictions[0].Path) && File.Exists(predictions[0].Neighbors[0].Path) ? () => Draw(predictions) : null;

    private static ImageBuffer Draw(IReadOnlyList<KnnPrediction> predictions)
    {
        // Evenly spread over the data, so that not only the first class is seen.
        KnnPrediction[] wrong = Spread([.. predictions.Where(p => p.Class != p.Predicted)], Rows / 2);
        KnnPrediction[] right = Spread([.. predictions.Where(p => p.Class == p.Predicted)], Rows - wrong.Length);
        return PictureSheet.Compose([.. wrong.Concat(right).Select(p => (IReadOnlyList<PictureSheet.Panel>)
        [
            new PictureSheet.Panel(Thumbnail(p.Path, (255, 255, 255))),
            .. p.Neighbors.Select(n => new PictureSheet.Panel(Thumbnail(n.Path, n.Class == p.Class ? ((byte)0, (byte)158, (byte)115) : ((byte)213, (byte)94, (byte)0)))),
        ])]);
    }

    private static KnnPrediction[] Spread(KnnPrediction[] all, int count) =>
        all.Length <= count ? all : [.. Enumerable.Range(0, count).Select(i => all[(int)((long)i * all.Length / count)])];

    private static ImageBuffer Thumbnail(string path, (byte Red, byte Green, byte Blue) frame)
    {
        ImageBuffer picture = ImageFile.Read(path).ToRgb8();
        int side = Math.Min(picture.Width, picture.Height);
        byte[] small = new byte[Side * Side * 3];
        Resize.UInt8(
            picture.Samples<byte>(), picture.Width, picture.Height, 3, new PixelWindow((picture.Width - side) / 2, (picture.Height - side) / 2, side, side),
            small, Side, Side, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        const int Whole = Side + (2 * Frame);
        byte[] framed = new byte[Whole * Whole * 3];
        for (int i = 0; i < framed.Length; i += 3) (framed[i], framed[i + 1], framed[i + 2]) = frame;
        for (int y = 0; y < Side; y++) small.AsSpan(y * Side * 3, Side * 3).CopyTo(framed.AsSpan((((y + Frame) * Whole) + Frame) * 3));
        return ImageBuffer.FromSamples<byte>(Whole, Whole, 3, framed);
    }
}
