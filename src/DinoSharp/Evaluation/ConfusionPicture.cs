using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Evaluation;

/// <summary>A confusion matrix as a picture.</summary>
internal static class ConfusionPicture
{
    private const int Gap = 12;
    private const int LongestName = 24;

    /// <summary>Rows are true classes, columns predictions; the shade of a cell is its share of the row, and the counts stand in the cells where they fit.</summary>
    public static ImageBuffer Draw(ConfusionMatrix matrix, IReadOnlyList<string> classes)
    {
        int count = matrix.Classes;
        int cell = count <= 12 ? 52 : count <= 24 ? 36 : count <= 48 ? 24 : Math.Max(4, 1200 / count);
        int scale = cell >= 24 ? 2 : 1;
        bool named = cell >= Canvas.TextHeight(1) + 2;
        string[] names = [.. classes.Select(Short)];
        int margin = named ? Gap + names.Max(name => Canvas.TextWidth(name, scale)) : Gap;
        int title = Canvas.TextHeight(2) + Gap;
        int left = margin + Gap, top = title + margin + Gap;
        var canvas = new Canvas(Math.Max(left + (count * cell) + Gap, Gap + Canvas.TextWidth(Title, 2)), top + (count * cell) + Gap);
        canvas.Text(Title, Gap, Gap, 2);
        for (int row = 0; row < count; row++)
        {
            long total = Enumerable.Range(0, count).Sum(column => matrix[row, column]);
            int middle = (cell - Canvas.TextHeight(scale)) / 2;
            if (named)
            {
                canvas.Text(names[row], left - Gap - Canvas.TextWidth(names[row], scale) + scale, top + (row * cell) + middle, scale);
                canvas.Text(names[row], left + (row * cell) + middle, top - Gap - Canvas.TextWidth(names[row], scale), scale, upwards: true);
            }

            for (int column = 0; column < count; column++)
            {
                long number = matrix[row, column];
                canvas.Fill(left + (column * cell), top + (row * cell), cell - 1, cell - 1, Shade(total == 0 ? 0 : (double)number / total, row == column));
                string text = number.ToString(CultureInfo.InvariantCulture);
                if (number == 0 || Canvas.TextWidth(text, 1) > cell - 2 || cell < 14) continue;
                int size = Canvas.TextWidth(text, scale) <= cell - 4 ? scale : 1;
                canvas.Text(text, left + (column * cell) + ((cell - Canvas.TextWidth(text, size) + size) / 2), top + (row * cell) + ((cell - Canvas.TextHeight(size)) / 2), size);
            }
        }

        return canvas.ToPicture();
    }

    private const string Title = "rows: truth, columns: prediction";

    private static string Short(string name) => name.Length <= LongestName ? name : name[..(LongestName - 2)] + "..";

    // Right answers in blue, wrong ones in red, both light enough for black digits.
    private static (byte Red, byte Green, byte Blue) Shade(double share, bool right)
    {
        (double r, double g, double b) = right ? (90, 160, 240) : (245, 110, 90);
        double depth = share == 0 ? 0 : 0.12 + (0.88 * share);
        return (Mix(r), Mix(g), Mix(b));

        byte Mix(double full) => (byte)(244 + ((full - 244) * depth));
    }
}
