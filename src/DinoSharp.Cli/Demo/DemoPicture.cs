using System.Diagnostics;
using DinoSharp.Backbones;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;

namespace DinoSharp.Cli.Demo;

/// <summary>What a model sees in one picture, and how long it took.</summary>
/// <param name="Photo">The picture.</param>
/// <param name="Embedding">One vector for it, of unit length.</param>
/// <param name="Map">Its patches.</param>
/// <param name="Attention">Where the class token of the last layer looks, the mean of the heads; null: the network has no attention, or it is computed in tiles.</param>
/// <param name="EmbedSeconds">Time for the vector.</param>
/// <param name="ExtractSeconds">Time for the patches.</param>
internal sealed record DemoPicture(Photo Photo, float[] Embedding, PatchMap Map, HeatMap? Attention, double EmbedSeconds, double ExtractSeconds)
{
    public static DemoPicture Look(DinoModel model, Photo photo, ExtractOptions options, CancellationToken cancel)
    {
        var clock = Stopwatch.StartNew();
        float[] embedding = model.Embed(photo.Pixels, cancel: cancel);
        double embedded = clock.Elapsed.TotalSeconds;
        clock.Restart();
        using ImageFeatures features = model.Extract(photo.Pixels, options, cancel);
        double extracted = clock.Elapsed.TotalSeconds;
        HeatMap? attention = model.Backbone is VisionTransformer && Fits() ? HeatMap.Mean(model.Attention(photo.Pixels, -1, options, cancel)) : null;
        return new DemoPicture(photo, embedding, features.PatchMap(), attention, embedded, extracted);

        // Attention knows no tiles.
        bool Fits() => options.TileSizePixels is null
            && model.PlanAttention(photo.Path, photo.Pixels.Width, photo.Pixels.Height, -1, options with { MaxMemoryBytes = null }).PeakBytes <= (options.MaxMemoryBytes ?? long.MaxValue);
    }
}
