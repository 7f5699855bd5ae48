using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Weights;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Anomaly;

/// <summary>Finds what normal pictures do not show: each patch is compared with the patches of normal pictures (Roth et al. 2022, PatchCore; Damm et al. 2025, AnomalyDINO).</summary>
public sealed class AnomalyDetector : Head<AnomalyMap>
{
    internal AnomalyDetector(Backbone backbone, HeadInput input, PatchMemory network, double threshold)
        : base(backbone, input, network, null) => Threshold = threshold;

    /// <summary>Loads a detector from its file.</summary>
    /// <param name="model">The loaded backbone; it must live as long as the head.</param>
    /// <param name="path">A file made by <c>dino fit anomaly</c>.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">The head belongs to another backbone (named in the message), or the file holds something else.</exception>
    public static AnomalyDetector Load(DinoModel model, string path, CancellationToken cancel = default) => Load<AnomalyDetector>(model, path, null, cancel);

    /// <inheritdoc/>
    public override HeadKind Kind => HeadKind.PatchMemory;

    /// <summary>Score above which a picture counts as unusual.</summary>
    public double Threshold { get; internal set; }

    /// <inheritdoc/>
    public override AnomalyMap Predict(ImageBuffer image, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor prepared = Prepare(image, Input.Preprocessing);
        cancel.ThrowIfCancellationRequested();
        return Answer(HeadFeatures.Compute(Backbone, prepared.Tensor.unsqueeze(0), Input, Input.Layers), prepared.Geometry);
    }

    internal override HeadDescription Describe(HeadDescription description) => description with { Threshold = Threshold };

    internal override AnomalyMap Answer(HeadFeatures features, ImageGeometry geometry)
    {
        using var scope = NewDisposeScope();
        Tensor distances = ((PatchMemory)Network).Distances(features.Layers); // [h, w]
        double score = PatchMemory.Score(distances);
        MapRegion region = features.Region(Backbone.Config.PatchSizePixels).Within(MapRegion.Of(geometry, Backbone.Config.PatchSizePixels));
        Tensor map = MapResize.Bilinear(distances.unsqueeze(0).unsqueeze(0), region, geometry.OriginalHeight, geometry.OriginalWidth); // [1, 1, H, W]
        return new AnomalyMap(geometry.OriginalWidth, geometry.OriginalHeight, [.. map.cpu().contiguous().data<float>()], score, Threshold);
    }
}

/// <summary>Patches of normal pictures.</summary>
internal sealed class PatchMemory : nn.Module
{
    private const int RowsAtOnce = 256;

    [ComponentName(Name = "memory_patches")] private readonly Tensor _patches;

    /// <param name="count">Number M of patches.</param>
    /// <param name="width">Length D of their vectors, of all layers together.</param>
    /// <param name="device">Where they live.</param>
    public PatchMemory(int count, int width, Device? device = null)
        : base(nameof(PatchMemory))
    {
        _patches = zeros(count, width, device: device).DetachFromDisposeScope();
        RegisterComponents();
    }

    /// <summary>Takes over patches [M, D] of unit length.</summary>
    public void Remember(Tensor patches)
    {
        using var quiet = no_grad();
        _patches.copy_(patches);
    }

    /// <summary>The vectors that are compared: each layer smoothed over the neighbouring patches and brought to unit length, then side by side, and of unit length again. [h·w, D]</summary>
    public static Tensor Vectors(IReadOnlyList<LayerFeatures> layers)
    {
        using var scope = NewDisposeScope();
        (int h, int w) = (layers[^1].GridHeight, layers[^1].GridWidth);
        Tensor[] maps = [.. layers.Select(l =>
        {
            Tensor map = MapResize.Bilinear(l.PatchMap(), h, w); // [1, D, h, w]
            return nn.functional.normalize(nn.functional.avg_pool2d(map, 3, 1, 1, count_include_pad: false)); // [1, D, h, w]
        })];
        Tensor all = nn.functional.normalize(cat(maps, 1)); // [1, D', h, w]
        return all.squeeze(0).flatten(1).t().contiguous().MoveToOuterDisposeScope(); // [h·w, D']
    }

    /// <summary>Cosine distance of each patch to the most similar one in memory. [h, w]</summary>
    public Tensor Distances(IReadOnlyList<LayerFeatures> layers)
    {
        using var scope = NewDisposeScope();
        Tensor vectors = Vectors(layers); // [h·w, D]
        var nearest = new List<Tensor>();
        for (long start = 0; start < vectors.shape[0]; start += RowsAtOnce) // a full table of similarities would need gigabytes
        {
            using var part = NewDisposeScope();
            Tensor rows = vectors.narrow(0, start, Math.Min(RowsAtOnce, vectors.shape[0] - start)); // [n, D]
            nearest.Add(rows.matmul(_patches.t()).max(1).values.MoveToOuterDisposeScope()); // [n]
        }

        return (-cat(nearest).view(layers[^1].GridHeight, layers[^1].GridWidth)).Plus(Num(1)).clamp_min(Num(0)).MoveToOuterDisposeScope(); // [h, w]
    }

    /// <summary>Mean of the largest hundredth of the distances, one at least.</summary>
    public static double Score(Tensor distances)
    {
        using var scope = NewDisposeScope();
        Tensor flat = distances.flatten(); // [h·w]
        return flat.topk((int)Math.Max(1, flat.shape[0] / 100), 0).values.mean().item<float>();
    }
}
