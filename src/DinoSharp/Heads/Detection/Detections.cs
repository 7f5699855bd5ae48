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

    /// <summary>The picture with a frame around each object, in a colour for each class.</summary>
    /// <param name="picture">8-bit RGB.</param>
    /// <param name="score">Smallest score to show.</param>
    public ImageBuffer Draw(ImageBuffer picture, double score = 0.5)
    {
        if (picture.Channels != 3 || picture.SampleType != SampleType.UInt8) throw new ArgumentException("the picture must be 8-bit RGB; use ToRgb8()", nameof(picture));
        byte[] pixels = picture.Samples<byte>().ToArray();
        int line = Math.Max(2, Math.Min(picture.Width, picture.Height) / 250);
        foreach (Detection detection in Above(score).Reverse()) Frame(pixels, picture, detection, line);
        return ImageBuffer.FromSamples<byte>(picture.Width, picture.Height, 3, pixels);
    }

    private static void Frame(byte[] pixels, ImageBuffer picture, Detection detection, int line)
    {
        (byte r, byte g, byte b) = LabelMap.Color((byte)(1 + (detection.Label % byte.MaxValue)));
        int left = (int)Math.Max(0, detection.Box.X), top = (int)Math.Max(0, detection.Box.Y);
        int right = (int)Math.Min(picture.Width, detection.Box.X + detection.Box.Width), bottom = (int)Math.Min(picture.Height, detection.Box.Y + detection.Box.Height);
        for (int y = top; y < bottom; y++)
        {
            bool whole = y < top + line || y >= bottom - line;
            for (int x = left; x < right; x++)
            {
                if (!whole && x >= left + line && x < right - line) x = right - line;
                int i = ((y * picture.Width) + x) * 3;
                (pixels[i], pixels[i + 1], pixels[i + 2]) = (r, g, b);
            }
        }
    }
}
