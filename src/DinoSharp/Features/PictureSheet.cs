using System.Globalization;
using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>Pictures side by side on white, each with an optional short label above it.</summary>
internal static class PictureSheet
{
    private const int Gap = 12;
    private const int TextScale = 3;
    private static readonly (byte Red, byte Green, byte Blue) Untinted = (200, 200, 200);

    /// <summary>One picture of a sheet.</summary>
    /// <param name="Picture">8-bit RGB.</param>
    /// <param name="Label">A short text above it.</param>
    public sealed record Panel(ImageBuffer Picture, string? Label = null);

    /// <summary>What a colour on a sheet stands for.</summary>
    /// <param name="Name">For example a class.</param>
    /// <param name="Color">Its colour.</param>
    public sealed record Key(string Name, (byte Red, byte Green, byte Blue) Color);

    /// <summary>Rows from the top, panels from the left; below them, if there are any, the colours that need a word.</summary>
    public static ImageBuffer Compose(IReadOnlyList<IReadOnlyList<Panel>> rows, params IReadOnlyList<Key> keys)
    {
        int label = rows.Any(row => row.Any(panel => panel.Label is not null)) ? Canvas.TextHeight(TextScale) + (Gap / 2) : 0;
        int[] columns = [.. Enumerable.Range(0, rows.Max(row => row.Count)).Select(column => rows.Max(row => column < row.Count ? row[column].Picture.Width : 0))];
        int width = columns.Sum(column => column + Gap) + Gap;
        int height = rows.Sum(row => row.Max(panel => panel.Picture.Height) + label + Gap) + Gap;
        width = Math.Max(width, keys.Select(k => KeyWidth(k) + Gap).Append(0).Max());
        (int Left, int Top)[] places = [.. PlacesOfKeys(keys, width)];
        var canvas = new Canvas(width, height + (places.Length == 0 ? 0 : places[^1].Top + KeyHeight));
        foreach ((Key key, (int keyLeft, int keyTop)) in keys.Zip(places))
        {
            canvas.Fill(keyLeft, height + keyTop, Canvas.TextHeight(TextScale), Canvas.TextHeight(TextScale), key.Color);
            canvas.Text(key.Name, keyLeft + Canvas.TextHeight(TextScale) + (Gap / 2), height + keyTop, TextScale);
        }

        int top = Gap;
        foreach (IReadOnlyList<Panel> row in rows)
        {
            int left = Gap;
            foreach ((Panel panel, int column) in row.Zip(columns))
            {
                if (panel.Label is not null) canvas.Text(panel.Label, left, top, TextScale);
                canvas.Draw(panel.Picture, left, top + label);
                left += column + Gap;
            }

            top += row.Max(panel => panel.Picture.Height) + label + Gap;
        }

        return canvas.ToPicture();
    }

    private static int KeyHeight => Canvas.TextHeight(TextScale) + Gap;

    private static int KeyWidth(Key key) => Canvas.TextHeight(TextScale) + (Gap / 2) + Canvas.TextWidth(key.Name, TextScale) + Gap;

    // Side by side as long as they fit.
    private static IEnumerable<(int Left, int Top)> PlacesOfKeys(IReadOnlyList<Key> keys, int width)
    {
        (int left, int top) = (Gap, 0);
        foreach (Key key in keys)
        {
            if (left > Gap && left + KeyWidth(key) > width) (left, top) = (Gap, top + KeyHeight);
            yield return (left, top);
            left += KeyWidth(key);
        }
    }

    /// <summary>The colours of a heat map from high (top) to low, with the numbers at the ends.</summary>
    public static ImageBuffer Legend(ValueRange range, int height)
    {
        string high = Number(range.High), low = Number(range.Low);
        int bar = 24, text = Canvas.TextHeight(TextScale);
        int width = bar + (Gap / 2) + Math.Max(Canvas.TextWidth(high, TextScale), Canvas.TextWidth(low, TextScale));
        byte[] colours = new byte[bar * height * 3];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < bar; x++) ColorScale.Viridis(1 - ((y + 0.5) / height), colours.AsSpan(((y * bar) + x) * 3, 3));
        }

        var canvas = new Canvas(width, Math.Max(height, text));
        canvas.Draw(ImageBuffer.FromSamples<byte>(bar, height, 3, colours), 0, 0);
        canvas.Text(high, bar + (Gap / 2), 0, TextScale);
        canvas.Text(low, bar + (Gap / 2), Math.Max(0, height - text), TextScale);
        return canvas.ToPicture();
    }

    /// <summary>The colours that label maps lie over pictures with, one below the other with their names.</summary>
    /// <param name="names">Ids and what they stand for.</param>
    public static ImageBuffer Classes(IReadOnlyList<(byte Id, string Name)> names)
    {
        int side = Canvas.TextHeight(TextScale), line = side + Gap;
        var canvas = new Canvas(side + (Gap / 2) + names.Max(entry => Canvas.TextWidth(entry.Name, TextScale)), (names.Count * line) - Gap);
        for (int i = 0; i < names.Count; i++)
        {
            canvas.Fill(0, i * line, side, side, names[i].Id == 0 ? Untinted : LabelMap.Bright(names[i].Id)); // background is not tinted
            canvas.Text(names[i].Name, side + (Gap / 2), i * line, TextScale);
        }

        return canvas.ToPicture();
    }

    /// <summary>A heat map laid over its picture, which shows through in gray.</summary>
    /// <param name="picture">8-bit RGB.</param>
    /// <param name="heat">8-bit RGB of the same size.</param>
    public static ImageBuffer Overlay(ImageBuffer picture, ImageBuffer heat)
    {
        ReadOnlySpan<byte> below = picture.Samples<byte>(), above = heat.Samples<byte>();
        byte[] mixed = new byte[below.Length];
        for (int i = 0; i < mixed.Length; i += 3)
        {
            double gray = (0.299 * below[i]) + (0.587 * below[i + 1]) + (0.114 * below[i + 2]);
            for (int c = 0; c < 3; c++) mixed[i + c] = (byte)((0.4 * gray) + (0.6 * above[i + c]) + 0.5);
        }

        return ImageBuffer.FromSamples<byte>(picture.Width, picture.Height, 3, mixed);
    }

    private static string Number(double value) => value.ToString(Math.Abs(value) is < 0.01 and > 0 ? "0.00000" : "0.000", CultureInfo.InvariantCulture);
}
