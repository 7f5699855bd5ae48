using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>Boxes around objects: the published plain DETR detector (COCO), or a compact one of your own.</summary>
/// <remarks>The published one sees the picture in windows and once more whole, so it takes passes of the backbone of its own.</remarks>
public sealed class Detector : Head<Detections>
{
    private readonly DetrConfig? _config;

    internal Detector(Backbone backbone, HeadInput input, DetrHead network, DetrConfig config, ClassNames classes)
        : base(backbone, input, network, classes) => (Kind, _config) = (HeadKind.Detr, config);

    internal Detector(Backbone backbone, HeadInput input, CenterHead network, ClassNames classes)
        : base(backbone, input, network, classes) => Kind = HeadKind.CenterDetection;

    /// <summary>Loads a detector from its file, official or our own.</summary>
    /// <param name="model">The loaded backbone; it must live as long as the head.</param>
    /// <param name="path">A file or folder of head weights.</param>
    /// <param name="options">Class names or input in place of those of the file; null: none.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">The head belongs to another backbone (named in the message), or the file holds something else.</exception>
    public static new Detector Load(DinoModel model, string path, HeadOptions? options = null, CancellationToken cancel = default) => Load<Detector>(model, path, options, cancel);

    /// <inheritdoc/>
    public override HeadKind Kind { get; }

    internal DetrConfig Config => _config ?? throw new InvalidOperationException("this detector is no DETR");

    internal override bool SharesPass => Network is CenterHead;

    /// <summary>Input of the published detector: shorter side 1536 (the published figures are at 1536 and 2048).</summary>
    internal static HeadInput PublishedInput(IReadOnlyList<int> layers) => new()
    {
        Layers = layers,
        Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(1536), PatchSizePixels = 1 },
    };

    /// <inheritdoc/>
    public override Detections Predict(ImageBuffer image, CancellationToken cancel = default) => Predict(image, null, cancel);

    /// <summary>The objects of a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="size">Size the picture is brought to; null: as the head declares.</param>
    /// <param name="cancel">Checked before the passes of the backbone.</param>
    /// <exception cref="DinoSharpException">The picture is too small for the windows of the detector.</exception>
    public Detections Predict(ImageBuffer image, SizePolicy? size, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor prepared = Prepare(image, size is null ? Input.Preprocessing : Input.Preprocessing with { Size = size });
        cancel.ThrowIfCancellationRequested();
        if (Network is CenterHead) return Answer(HeadFeatures.Compute(Backbone, prepared.Tensor.unsqueeze(0), Input, Input.Layers), prepared.Geometry);
        DetrStage answer = ((DetrHead)Network).Forward(Backbone, [prepared.Tensor.to(Backbone.parameters().First().device)]).Layers[^1];
        (Tensor scores, Tensor labels, Tensor boxes) = DetrDetections.Rank(answer, 0, prepared.Tensor.shape[1], prepared.Tensor.shape[2], Config.Queries, Config.PixelBoxes);
        float[] score = [.. scores.cpu().data<float>()], box = [.. boxes.cpu().contiguous().data<float>()];
        long[] label = [.. labels.cpu().data<long>()];
        ImageGeometry geometry = prepared.Geometry;
        return new Detections([.. score.Select((s, i) => new Detection(Original(geometry, box.AsSpan(4 * i, 4)), s, (int)label[i], Classes![(int)label[i]]))]);
    }

    internal override Detections Answer(HeadFeatures features, ImageGeometry geometry)
    {
        if (Network is not CenterHead center) throw new NotSupportedException("the DETR detector takes passes of the backbone of its own");
        using var scope = NewDisposeScope();
        CenterMaps maps = center.Forward(features.Layers, (int)(features.Images.shape[3] / features.Layers[0].GridWidth));
        return CenterPeaks.Find(maps, features, geometry, Classes!);
    }

    private static Box Original(ImageGeometry geometry, ReadOnlySpan<float> corners)
    {
        (double left, double top) = geometry.ToOriginal(corners[0], corners[1]);
        (double right, double bottom) = geometry.ToOriginal(corners[2], corners[3]);
        return new Box(left, top, right - left, bottom - top);
    }
}
