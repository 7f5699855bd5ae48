using System.Globalization;
using System.Net;
using System.Text;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Training.Runs.Reports;

/// <summary>Lines and words that can be put on a page (SVG) or into a picture, alike.</summary>
/// <param name="width">Width in pixels.</param>
/// <param name="height">Height in pixels.</param>
internal sealed class Drawing(int width, int height)
{
    private const int TextScale = 2;
    private readonly List<(IReadOnlyList<(double X, double Y)> Points, (byte R, byte G, byte B) Color, double Thickness)> _lines = [];
    private readonly List<(double X, double Y, string Text, double Anchor)> _texts = [];

    /// <summary>Straight lines from point to point.</summary>
    public void Line(IReadOnlyList<(double X, double Y)> points, (byte R, byte G, byte B) color, double thickness) => _lines.Add((points, color, thickness));

    /// <summary>A few words, with their vertical middle at a height.</summary>
    /// <param name="x">The place.</param>
    /// <param name="y">The height.</param>
    /// <param name="text">The words.</param>
    /// <param name="anchor">Share of the width that lies to the left of the place: 0 begins there, 1 ends there.</param>
    public void Text(double x, double y, string text, double anchor = 0) => _texts.Add((x, y, text, anchor));

    /// <summary>As a part of a page.</summary>
    public string ToSvg()
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" font-size=\"13\" font-family=\"sans-serif\">");
        foreach (var (points, color, thickness) in _lines)
        {
            string path = string.Join(' ', points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.X:0.##},{p.Y:0.##}")));
            svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"#{color.R:x2}{color.G:x2}{color.B:x2}\" stroke-width=\"{thickness:0.##}\" points=\"{path}\"/>");
        }

        foreach (var (x, y, text, anchor) in _texts)
        {
            string word = anchor switch { 0 => "start", 1 => "end", _ => "middle" };
            svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.##}\" y=\"{y:0.##}\" dominant-baseline=\"central\" text-anchor=\"{word}\">{WebUtility.HtmlEncode(text)}</text>");
        }

        return svg.Append("</svg>").ToString();
    }

    /// <summary>As pixels.</summary>
    public ImageBuffer ToPicture()
    {
        var canvas = new Canvas(width, height);
        foreach (var (points, color, thickness) in _lines)
        {
            if (points.Count == 1) canvas.Line(points[0], points[0], thickness, color);
            for (int i = 1; i < points.Count; i++) canvas.Line(points[i - 1], points[i], thickness, color);
        }

        foreach (var (x, y, text, anchor) in _texts)
        {
            int left = (int)Math.Round(x - (anchor * Canvas.TextWidth(text, TextScale))), top = (int)Math.Round(y - (Canvas.TextHeight(TextScale) / 2.0));
            canvas.Text(text, Math.Max(0, left), Math.Max(0, top), TextScale);
        }

        return canvas.ToPicture();
    }
}
