using DinoSharp.Features.HighResolution;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;

namespace DinoSharp.Heads;

/// <summary>In which windows a dense head looks at a picture, so that it stays below a ceiling of memory.</summary>
internal static class HeadMemory
{
    // What allocators round up and kernels copy, seen on large pictures.
    private const double Slack = 1.1;

    // A window must show enough of its surroundings, as a tile must.
    private const int SmallestWindow = 256;

    /// <summary>The windows for a prepared picture; null: it is seen whole.</summary>
    /// <param name="head">Looks at it.</param>
    /// <param name="height">Rows of the prepared picture.</param>
    /// <param name="width">Columns of the prepared picture.</param>
    /// <param name="image">The picture itself.</param>
    /// <param name="options">What was asked for.</param>
    /// <exception cref="DinoSharpException">No window is small enough for the ceiling.</exception>
    public static HeadWindows? WindowsOf<TAnswer>(DenseHead<TAnswer> head, int height, int width, ImageBuffer image, DenseOptions options)
        where TAnswer : class
    {
        HeadWindows? windows = options.Whole ? null : options.Windows ?? head.Input.Windows;
        if (windows is not null && (long)height * width <= windows.AbovePixels) windows = null;
        if (options.MaxMemoryBytes is not long most) return windows;
        int side = windows?.SizePixels ?? Math.Max(height, width), unit = head.Input.MultiplePixels;
        long peak = Peak(side);
        while (peak > most && side > SmallestWindow)
        {
            side = Math.Max(SmallestWindow / unit * unit, side * 3 / 4 / unit * unit);
            windows = new HeadWindows(side, side * 3 / 4);
            peak = Peak(side);
        }

        return peak <= most ? windows : throw new DinoSharpException(
            $"a picture of {width}x{height} pixels takes about {ExtractionPlan.Words(peak)} even in windows of {side} pixels, the limit is {ExtractionPlan.Words(most)}; use a smaller size or a higher limit");

        long Peak(int window)
        {
            (int h, int w) = (Math.Min(window, height), Math.Min(window, width));
            long channels = head.Channels * (long)sizeof(float), samples = (long)image.Width * image.Height * 3, full = channels * image.Width * image.Height, seen = channels * height * width;
            long mean = options.Scales.Count > 1 || options.Flip ? 2 * (full <= options.ScoreBytes ? full : seen) : 0; // scores are enlarged to the picture's size only if they are few
            long scores = (windows is null ? 0 : seen) + mean + Math.Min(full, LargestScore.BandBytes); // of all windows, of all passes, and what the answer is read off
            long part = NetworkMemory.Pass(head.Backbone, h, w, head.Input.Layers) + head.ScoringBytes((long)h * w) + (windows is null ? 0 : 3 * channels * h * w);
            return head.ResidentBytes + NetworkMemory.Reading(samples, head.Backbone.Config, height, width) + NetworkMemory.Input(head.Backbone.Config, height, width) + scores + (long)(Slack * part);
        }
    }
}
