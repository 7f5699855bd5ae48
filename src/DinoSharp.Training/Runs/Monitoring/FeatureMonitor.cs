using DinoSharp.Backbones;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Recipes;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Training.Runs.Monitoring;

/// <summary>What the features of a backbone were worth at one moment.</summary>
/// <param name="Dense">How well patches keep to their places.</param>
/// <param name="PatchRank">Effective rank of the patches of all probe images together.</param>
/// <param name="ClassRank">Effective rank of the class tokens of the labelled images, or of the probe images.</param>
/// <param name="KnnTop1">Share of labelled images named rightly by their neighbours, 0 … 1; null: no labelled images.</param>
/// <param name="GramDistance">Gram loss of the patches against those of the reference; null: no reference.</param>
/// <param name="Picture">Principal components and a similarity map of the first probe images.</param>
internal sealed record FeatureReading(DenseQuality Dense, double PatchRank, double ClassRank, double? KnnTop1, double? GramDistance, ImageBuffer Picture);

/// <summary>Looks at the features of a network in training: always at the same images, prepared in the same way, without random numbers.</summary>
internal sealed class FeatureMonitor : IDisposable
{
    private const int Shown = 4, Cell = 112;

    private readonly Tensor _probes; // [B, C, S, S]
    private readonly Device? _device;
    private readonly KnnMonitor? _knn;
    private Tensor? _reference; // [B, P, D]

    private FeatureMonitor(Tensor probes, ImageBuffer pictures, Device? device, KnnMonitor? knn) => (_probes, Pictures, _device, _knn) = (probes, pictures, device, knn);

    /// <summary>The first probe images as the network sees them, above the columns of <see cref="FeatureReading.Picture"/>.</summary>
    public ImageBuffer Pictures { get; }

    /// <summary>Reads the probe images.</summary>
    /// <param name="recipe">What to watch, with what.</param>
    /// <param name="data">The training data.</param>
    /// <param name="device">Where the network lives; null: CPU.</param>
    /// <exception cref="DinoSharpException">No probe image can be read, or the labelled images have no classes.</exception>
    public static FeatureMonitor Open(PretrainRecipe recipe, ImageDataset data, Device? device)
    {
        MonitorRecipe monitor = recipe.Monitor;
        BackboneConfig backbone = recipe.Backbone;
        Normalization normalization = recipe.Phases[^1].Views.Normalization;
        KnnMonitor? knn = KnnMonitor.Open(monitor, backbone, normalization, device);
        ImageDataset source = monitor.Probes is { } own ? ImageDataset.Open(own) : data;
        int size = monitor.ProbeSizeOf(backbone);
        var sample = new ImageSample(source, normalization, size);
        (ImageBuffer Picture, ImageTensor Input)[] read = [.. ImageSample.Spread(source, monitor.ProbeImages).Select(sample.Read).OfType<(ImageBuffer, ImageTensor)>()];
        if (read.Length == 0) read = [.. Enumerable.Range(0, source.Count).Select(sample.Read).OfType<(ImageBuffer, ImageTensor)>().Take(monitor.ProbeImages)];
        if (read.Length == 0) throw new DinoSharpException($"no image of {source.Name} can be read to watch the features by; name others with monitor.probes, or switch the monitor off with monitor.everySteps=null");
        ImageBuffer pictures = PictureSheet.Compose([[.. Chosen(read.Length).SelectMany(i => new PictureSheet.Panel[] { new(Middle(read[i].Picture)), new(Ringed(Middle(read[i].Picture), size / backbone.PatchSizePixels)) })]]);
        using Tensor probes = stack(read.Select(r => r.Input.Tensor)); // [B, C, S, S]
        foreach ((_, ImageTensor input) in read) input.Dispose();
        var opened = new FeatureMonitor(probes.DetachFromDisposeScope().alias().DetachFromDisposeScope(), pictures, device, knn);
        try
        {
            if (monitor.Reference is { } reference) opened.ReadReference(reference, size / backbone.PatchSizePixels);
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>Looks at a network. Its weights and the state of the run stay as they are.</summary>
    public FeatureReading Measure(Backbone backbone)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        (Tensor classTokens, Tensor patches, int rows, int columns) = FeaturesOfAll(backbone);
        double patchRank = FeatureRank.Of(patches.flatten(0, 1)); // [B·P, D]
        double? top1 = null;
        Tensor allTokens = classTokens;
        if (_knn is not null) (top1, allTokens) = _knn.Measure(backbone);
        double? distance = _reference is null ? null : GramLoss.Compute(patches, _reference, new GramLossOptions()).item<float>();
        return new FeatureReading(DenseQuality.Of(classTokens, patches, rows, columns), patchRank, FeatureRank.Of(allTokens), top1, distance, Draw(patches, rows, columns));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _probes.Dispose();
        _reference?.Dispose();
    }

    private void ReadReference(string path, int grid)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using BackboneWeights weights = BackboneWeights.Open(path);
        using Backbone backbone = weights.CreateBackbone(_device);
        backbone.eval();
        int theirs = (int)_probes.shape[3] / backbone.Config.PatchSizePixels;
        if (theirs != grid) throw new DinoSharpException($"monitor.reference: {path} sees {theirs}x{theirs} patches in a probe image and the student {grid}x{grid}; give weights of a backbone with patches of the same size");
        _reference = FeaturesOfAll(backbone).Patches.DetachFromDisposeScope();
    }

    // [B, D], [B, P, D]
    private (Tensor ClassTokens, Tensor Patches, int Rows, int Columns) FeaturesOfAll(Backbone backbone)
    {
        LayerFeatures[] parts = [.. _probes.split(4).Select(part => Features(backbone, part))];
        return (cat([.. parts.Select(p => p.ClassToken)]), cat([.. parts.Select(p => p.Patches)]), parts[0].GridHeight, parts[0].GridWidth);
    }

    private LayerFeatures Features(Backbone backbone, Tensor images)
    {
        using var scope = NewDisposeScope();
        LayerFeatures features = backbone.GetLayers(images.to(_device ?? CPU), LayerSelection.Final)[0];
        return (features with { ClassToken = features.ClassToken.cpu(), Registers = features.Registers.cpu(), Patches = features.Patches.cpu() }).MoveToOuterDisposeScope();
    }

    // Beside each other for each shown image: principal components as colours, and the similarity of all patches with the one in the middle.
    private static ImageBuffer Draw(Tensor patches, int rows, int columns)
    {
        var panels = new List<PictureSheet.Panel>();
        foreach (int i in Chosen((int)patches.shape[0]))
        {
            using Tensor own = patches[i].to(ScalarType.Float32).contiguous();
            var map = new PatchMap(rows, columns, (int)patches.shape[2], own.data<float>().ToArray(), PatchGeometry.Whole(Cell, Cell));
            panels.Add(new(rows * columns > 3 && map.Dim >= 3 ? map.Pca().ToImage() : Blank()));
            panels.Add(new(map.SimilarityTo(map[rows / 2, columns / 2]).ToImage(new ValueRange(0, 1))));
        }

        return PictureSheet.Compose([panels]);
    }

    private static IEnumerable<int> Chosen(int count) => Enumerable.Range(0, Math.Min(Shown, count)).Select(i => i * count / Math.Min(Shown, count));

    private static ImageBuffer Middle(ImageBuffer picture)
    {
        ImageBuffer rgb = picture.ToRgb8();
        int side = Math.Min(rgb.Width, rgb.Height);
        byte[] small = new byte[Cell * Cell * 3];
        Resize.UInt8(rgb.Bytes, rgb.Width, rgb.Height, 3, new PixelWindow((rgb.Width - side) / 2, (rgb.Height - side) / 2, side, side), small, Cell, Cell, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        return ImageBuffer.FromSamples<byte>(Cell, Cell, 3, small);
    }

    // The patch that the others are compared with.
    private static ImageBuffer Ringed(ImageBuffer picture, int grid)
    {
        var canvas = new Canvas(Cell, Cell);
        canvas.Draw(picture, 0, 0);
        double middle = ((grid / 2) + 0.5) / grid * Cell;
        canvas.Ring(middle, middle, 7, 2);
        return canvas.ToPicture();
    }

    private static ImageBuffer Blank()
    {
        byte[] white = new byte[Cell * Cell * 3];
        Array.Fill(white, byte.MaxValue);
        return ImageBuffer.FromSamples<byte>(Cell, Cell, 3, white);
    }
}
