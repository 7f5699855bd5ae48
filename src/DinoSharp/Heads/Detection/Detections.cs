using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Heads.Detection;

/// <summary>An object that was found.</summary>
/// <param name="Box">Where, in pixels of the picture.</param>
/// <param name="Score">How sure the detector is, 0..1.</param>
/// <param name="Label">Class id (COCO: category id).</param>
/// <param name="Name">Name of the class.</param>
public sealed record Detection(Box Box, double Score, int Label, string Name);

/// <summary>The objects of a picture, surest first. Plain memory.</summary>
public sealed class Detections
{
    internal Detections(IReadOnlyList<Detection> all) => All = all;

    /// <summary>All query-class pairs, surest first: most of them are far below any useful score.</summary>
    public IReadOnlyList<Detection> All { get; }

    /// <summary>The objects of at least a score.</summary>
    /// <param name="score">0..1.</param>
    public IEnumerable<Detection> Above(double score) => All.TakeWhile(d => d.Score >= score);

    /// <summary>The picture with a frame around each object, in a colour for each class (<see cref="LabelMap.Overlay"/> has the same), and its name.</summary>
    /// <param name="picture">8-bit RGB.</param>
    /// <param name="score">Smallest score to show.</param>
    public ImageBuffer Draw(ImageBuffer picture, double score = 0.5)
    {
        if (picture.Channels != 3 || picture.SampleType != SampleType.UInt8) throw new ArgumentException("the picture must be 8-bit RGB; use ToRgb8()", nameof(picture));
        int shorter = Math.Min(picture.Width, picture.Height), line = Math.Max(2, shorter / 250), scale = Math.Max(1, shorter / 300);
        var canvas = new Canvas(picture.Width, picture.Height);
        canvas.Draw(picture, 0, 0);
        foreach (Detection detection in Above(score).Reverse()) Frame(canvas, detection, line, scale);
        return canvas.ToPicture();
    }

    /// <summary>The colour of a class on <see cref="Draw"/>.</summary>
    internal static (byte Red, byte Green, byte Blue) ColorOf(int label) => LabelMap.Bright((byte)(1 + (label % byte.MaxValue)));

    private static void Frame(Canvas canvas, Detection detection, int line, int scale)
    {
        (byte, byte, byte) color = ColorOf(detection.Label);
        int left = (int)Math.Max(0, detection.Box.X), top = (int)Math.Max(0, detection.Box.Y);
        int right = (int)Math.Min(canvas.Width, detection.Box.X + detection.Box.Width), bottom = (int)Math.Min(canvas.Height, detection.Box.Y + detection.Box.Height);
        if (right <= left || bottom <= top) return;
        canvas.Fill(left, top, right - left, line, color);
        canvas.Fill(left, bottom - line, right - left, line, color);
        canvas.Fill(left, top, line, bottom - top, color);
        canvas.Fill(right - line, top, line, bottom - top, color);
        int height = Canvas.TextHeight(scale) + (2 * scale), width = Canvas.TextWidth(detection.Name, scale) + scale;
        int above = top >= height ? top - height : top; // inside where there is no room above
        int from = Math.Clamp(left, 0, Math.Max(0, canvas.Width - width));
        canvas.Fill(from, above, width, height, color);
        canvas.Text(detection.Name, from + scale, above + scale, scale);
    }
}
