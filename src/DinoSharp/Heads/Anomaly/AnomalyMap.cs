using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Heads.Anomaly;

/// <summary>How unusual a picture is, and where. Plain memory.</summary>
public sealed class AnomalyMap
{
    private readonly float[] _scores;

    internal AnomalyMap(int width, int height, float[] scores, double score, double threshold) =>
        (Width, Height, _scores, Score, Threshold) = (width, height, scores, score, threshold);

    /// <summary>Width in pixels.</summary>
    public int Width { get; }

    /// <summary>Height in pixels.</summary>
    public int Height { get; }

    /// <summary>Mean distance of the most unusual hundredth of the patches, one at least: 0 (seen before) to 2.</summary>
    public double Score { get; }

    /// <summary>Score above which a picture counts as unusual, set on normal pictures that were held out.</summary>
    public double Threshold { get; }

    /// <summary>Whether the picture is unusual.</summary>
    public bool IsAnomalous => Score > Threshold;

    /// <summary>Cosine distance to the most similar normal patch at each pixel, 0 to 2. [H, W]</summary>
    public ReadOnlySpan<float> Scores => _scores;

    /// <summary>The picture with the unusual places in colours, from dark (nothing) to yellow (twice the threshold).</summary>
    /// <param name="picture">8-bit RGB of the same size.</param>
    public ImageBuffer Overlay(ImageBuffer picture)
    {
        if (picture.Width != Width || picture.Height != Height) throw new ArgumentException($"the picture must be {Width}x{Height} pixels, found {picture.Width}x{picture.Height}", nameof(picture));
        byte[] pixels = new byte[_scores.Length * 3];
        for (int i = 0; i < _scores.Length; i++) ColorScale.Viridis(Math.Clamp(_scores[i] / (2 * Math.Max(1e-6, Threshold)), 0, 1), pixels.AsSpan(i * 3, 3));
        return PictureSheet.Overlay(picture, ImageBuffer.FromSamples<byte>(Width, Height, 3, pixels));
    }
}
