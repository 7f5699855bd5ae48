using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>The average precision of each class as bars, the best first.</summary>
internal static class PrecisionBars
{
    private const int Longest = 400, Height = 18, Gap = 8, Margin = 12, TextScale = 2, Most = 40;
    private const string Key = "ap ";

    public static ImageBuffer Draw(EvaluationResult result)
    {
        (string Name, double Value)[] bars = [.. result.Metrics.Where(m => m.Key.StartsWith(Key, StringComparison.Ordinal)).Select(m => (m.Key[Key.Length..], m.Value)).OrderByDescending(b => b.Value)];
        if (bars.Length > Most) bars = [.. bars.Take(Most / 2), .. bars.TakeLast(Most / 2)]; // both ends say most
        int left = Margin + bars.Max(b => Canvas.TextWidth(b.Name, TextScale)) + Gap;
        var canvas = new Canvas(left + Longest + Gap + Canvas.TextWidth("100.0", TextScale) + Margin, (bars.Length * (Height + Gap)) + (2 * Margin));
        for (int i = 0; i < bars.Length; i++)
        {
            (int top, int text) = (Margin + (i * (Height + Gap)), (Height - Canvas.TextHeight(TextScale)) / 2);
            int length = (int)(Longest * bars[i].Value);
            canvas.Text(bars[i].Name, Margin, top + text, TextScale);
            canvas.Fill(left, top, Longest, Height, (235, 235, 235));
            canvas.Fill(left, top, length, Height, NeighborSheet.Right);
            canvas.Text(FormattableString.Invariant($"{100 * bars[i].Value:0.0}"), left + Longest + Gap, top + text, TextScale);
        }

        return canvas.ToPicture();
    }
}
