using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli.Evaluating;

/// <summary>Pictures with the captions that are nearest to them: green beside one of its own, red beside one of another picture.</summary>
/// <param name="count">Number of pictures, of which a few are shown, evenly over the data.</param>
internal sealed class CaptionSheet(int count)
{
    private const int MostRows = 8, PictureWidth = 200, Gap = 12, Mark = 14, TextScale = 2, Longest = 80;
    private readonly List<(string Path, IReadOnlyList<(string Caption, bool Own)> Nearest)> _kept = [];
    private int _seen;

    /// <summary>Is told of every picture.</summary>
    public void Keep(string path, IReadOnlyList<(string Caption, bool Own)> nearest)
    {
        if (_seen++ % Math.Max(1, count / MostRows) == 0 && _kept.Count < MostRows) _kept.Add((path, nearest));
    }

    /// <summary>Draws what was kept.</summary>
    public ImageBuffer Draw()
    {
        ImageBuffer[] pictures = [.. _kept.Select(k => ExampleSheet.Small(ImageFile.Read(k.Path).ToRgb8(), PictureWidth))];
        int left = PictureWidth + (2 * Gap), line = Canvas.TextHeight(TextScale) + Gap;
        int longest = _kept.SelectMany(k => k.Nearest).Max(n => Canvas.TextWidth(Short(n.Caption), TextScale));
        int[] heights = [.. _kept.Select((k, i) => Math.Max(pictures[i].Height, k.Nearest.Count * line) + Gap)];
        var canvas = new Canvas(left + Mark + Gap + longest + Gap, heights.Sum() + Gap);
        int top = Gap;
        for (int i = 0; i < _kept.Count; i++)
        {
            canvas.Draw(pictures[i], Gap, top);
            for (int n = 0; n < _kept[i].Nearest.Count; n++)
            {
                (string caption, bool own) = _kept[i].Nearest[n];
                canvas.Fill(left, top + (n * line), Mark, Canvas.TextHeight(TextScale), own ? NeighborSheet.Right : NeighborSheet.Wrong);
                canvas.Text(Short(caption), left + Mark + Gap, top + (n * line), TextScale);
            }

            top += heights[i];
        }

        return canvas.ToPicture();
    }

    private static string Short(string caption) => caption.Length <= Longest ? caption : caption[..(Longest - 2)] + "..";
}
