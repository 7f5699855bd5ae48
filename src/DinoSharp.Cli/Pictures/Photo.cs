using DinoSharp.Backbones;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>A picture that was named on the command line, decoded.</summary>
/// <param name="Path">Its file.</param>
/// <param name="Pixels">Upright 8-bit RGB.</param>
internal sealed record Photo(string Path, ImageBuffer Pixels)
{
    // Larger panels make sheets that viewers and chats scale down again; smaller ones hide what there is to see.
    private const int LongestPanelSide = 768;
    private const int ShortestPanelSide = 512;

    private const long Working = 32 << 20; // what is found, and the sheet

    /// <summary>Reads the files.</summary>
    public static Photo[] Read(IEnumerable<string> paths) => [.. paths.Select(path => new Photo(path, ImageFile.Read(path).ToRgb8()))];

    /// <summary>The picture as it is put on a sheet: in its own size, unless its longer side is out of a useful range.</summary>
    /// <param name="longest">The upper end of that range.</param>
    public ImageBuffer Panel(int longest = LongestPanelSide) => Panel(Pixels, ShortestPanelSide, longest);

    /// <summary>A picture with its longer side brought into a range.</summary>
    /// <param name="pixels">8-bit RGB.</param>
    /// <param name="shortest">Least length of the longer side.</param>
    /// <param name="longest">Most length of the longer side.</param>
    public static ImageBuffer Panel(ImageBuffer pixels, int shortest = 1, int longest = LongestPanelSide)
    {
        int longer = Math.Max(pixels.Width, pixels.Height);
        if (longer >= shortest && longer <= longest) return pixels;
        double scale = Math.Clamp(longer, shortest, longest) / (double)longer;
        (int width, int height) = (Math.Max(1, (int)Math.Round(pixels.Width * scale)), Math.Max(1, (int)Math.Round(pixels.Height * scale)));
        byte[] panel = new byte[width * height * 3];
        Resize.UInt8(pixels.Samples<byte>(), pixels.Width, pixels.Height, 3, new PixelWindow(0, 0, pixels.Width, pixels.Height), panel, width, height, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        return ImageBuffer.FromSamples<byte>(width, height, 3, panel);
    }

    /// <summary>The patch features of several pictures in one layer.</summary>
    /// <param name="model">What computes them.</param>
    /// <param name="photos">The pictures.</param>
    /// <param name="options">Size, tiles and memory.</param>
    /// <param name="layer">Index of the layer, negative from the end.</param>
    /// <param name="output">Shows the progress.</param>
    /// <param name="cancel">Stops between pictures.</param>
    /// <param name="work">Bytes that the verb's own work on so many patches takes; null: little.</param>
    /// <returns>One map per picture, the layer counted from 0, and what was said about memory.</returns>
    public static async Task<(PatchMap[] Maps, int Layer, MemoryNotes Memory)> ExtractAsync(
        DinoModel model, IReadOnlyList<Photo> photos, ExtractOptions options, int layer, Output output, CancellationToken cancel, Func<int, long>? work = null)
    {
        LayerSelection wanted = [layer];
        int index = wanted.Resolve(model.Backbone.Config.LayerCount)[0];
        options = options with { Layers = wanted };

        // The maps of all pictures are held to the end, so each picture has what the others leave.
        long[] maps = [.. photos.Select(photo => MapBytes(model, photo, options))];
        var memory = new MemoryNotes(output);
        ExtractOptions[] shares = [.. maps.Select(own => options with { ReservedBytes = maps.Sum() - own })];

        // Whoever looks at all of them makes a tensor of each map and unit vectors of that, and something of his own.
        long working = model.ResidentBytes + (3 * maps.Sum()) + Working + (work?.Invoke((int)(maps.Max() / sizeof(float) / model.Backbone.Config.EmbedDim)) ?? 0);
        for (int i = 0; i < photos.Count; i++) memory.Announce(model.PlanFor(photos[i].Path, photos[i].Pixels.Width, photos[i].Pixels.Height, shares[i]), options, working);

        PatchMap[] result = await output.WithProgressAsync("extracting", photos.Count, progress => Task.Run(
            () => photos.Select((photo, i) =>
            {
                using ImageFeatures features = model.Extract(photo.Pixels, shares[i], cancel);
                progress.Report(i + 1);
                return features.PatchMap(index);
            }).ToArray(), CancellationToken.None));
        return (result, index, memory);
    }

    private static long MapBytes(DinoModel model, Photo photo, ExtractOptions options)
    {
        ExtractionPlan plan = model.PlanFor(photo.Path, photo.Pixels.Width, photo.Pixels.Height, options with { TileSizePixels = null, MaxMemoryBytes = null });
        return NetworkMemory.Results(model.Backbone.Config, plan.InputHeight, plan.InputWidth, options.Layers.Resolve(model.Backbone.Config.LayerCount));
    }
}
