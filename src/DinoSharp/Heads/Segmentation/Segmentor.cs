using DinoSharp.Backbones;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>A class for each pixel: the published Mask2Former segmentor (ADE20K), a linear head or a DPT decoder.</summary>
/// <remarks>Mask2Former's product of classes and masks is computed in float32; the original rounds it to bfloat16 in windows.</remarks>
public sealed class Segmentor : DenseHead<SemanticSegmentation>
{
    internal Segmentor(Backbone backbone, HeadInput input, Mask2FormerHead network, ClassNames classes)
        : base(backbone, input, network, Check(classes)) => Kind = HeadKind.Mask2Former;

    internal Segmentor(Backbone backbone, HeadInput input, LinearSegmentationHead network, ClassNames classes)
        : base(backbone, input, network, Check(classes)) => Kind = HeadKind.LinearSegmentation;

    internal Segmentor(Backbone backbone, HeadInput input, DptHead network, ClassNames classes)
        : base(backbone, input, network, Check(classes)) => Kind = HeadKind.DptSegmentation;

    /// <summary>Loads a segmentor from its file, official or our own.</summary>
    /// <param name="model">The loaded backbone; it must live as long as the head.</param>
    /// <param name="path">A file or folder of head weights.</param>
    /// <param name="options">Class names or input in place of those of the file; null: none.</param>
    /// <param name="cancel">Stops the loading.</param>
    /// <exception cref="DinoSharpException">The head belongs to another backbone (named in the message), or the file holds something else.</exception>
    public static new Segmentor Load(DinoModel model, string path, HeadOptions? options = null, CancellationToken cancel = default) => Load<Segmentor>(model, path, options, cancel);

    /// <inheritdoc/>
    public override HeadKind Kind { get; }

    /// <summary>Input of the published segmentor: shorter side 896, windows of 896 every 596 pixels.</summary>
    internal static HeadInput Mask2FormerInput(int layerCount) => new()
    {
        Layers = HeadLayers.FourEvenIntervals(layerCount).Resolve(layerCount),
        Preprocessing = new Preprocessing { Order = ResizeOrder.PillowThenScale, Size = SizePolicy.ShorterSideRounded(896), PatchSizePixels = 1 },
        Fit = ImageFit.CenterPadding,
        MultiplePixels = 32,
        Windows = new HeadWindows(896, 596),
    };

    /// <summary>Input of the linear protocol: shorter side 512, windows of 512 every 341 pixels.</summary>
    internal static HeadInput LinearInput(int layerCount) => new()
    {
        Layers = [layerCount - 1],
        Preprocessing = new Preprocessing { Order = ResizeOrder.PillowThenScale, Size = SizePolicy.ShorterSideRounded(512), PatchSizePixels = 1 },
        Fit = ImageFit.CenterPadding,
        Windows = new HeadWindows(512, 341),
    };

    internal override int Channels => Classes!.Count;

    // Mask2Former: 21 tokens to 32 x 32 pixels in the adapter, masks of queries and of classes; not measured.
    internal override long ScoringBytes(long pixels) => Network switch
    {
        DptHead dpt => dpt.ScoringBytes(pixels, banded: false),
        LinearSegmentationHead => (long)(sizeof(float) * pixels * GatheredPerPixel),
        _ => (long)(sizeof(float) * pixels * ((12 * 21.0 / 1024 * Backbone.Config.EmbedDim) + 256 + Channels)),
    };

    internal override Tensor Score(HeadFeatures features)
    {
        if (Network is LinearSegmentationHead linear) return linear.Forward(features.Layers); // [B, C, h, w]
        if (Network is DptHead dpt) return dpt.Forward(features.Layers); // [B, C, 16h, 16w]
        using var scope = NewDisposeScope();
        MaskPredictions predictions = ((Mask2FormerHead)Network).Forward(features.Images, features.Layers)[^1];
        return Mask2FormerHead.Semantic(predictions, features.Images.shape[2], features.Images.shape[3]).MoveToOuterDisposeScope(); // [B, C, H', W']
    }

    internal override HeadDescription Describe(HeadDescription description) => description with { Readout = Network is DptHead dpt ? dpt.Readout : default };

    internal override Tensor Activate(Tensor scores, int passes) => passes == 1 ? scores : scores.softmax(1);

    internal override SemanticSegmentation Finish(Tensor scores, MapRegion region, int width, int height) => new(LargestScore.Of(scores, region, width, height), Classes!);

    private static ClassNames Check(ClassNames classes) =>
        classes.Count <= byte.MaxValue ? classes : throw new DinoSharpException($"label maps hold up to {byte.MaxValue} classes, the head has {classes.Count}");
}

/// <summary>The class with the largest score at each pixel, found band by band, so that scores of the full picture are never held at once.</summary>
internal static class LargestScore
{
    /// <summary>Most memory for the scores of a band.</summary>
    public const long BandBytes = BandElements * sizeof(float);

    private const long BandElements = 1 << 24;

    /// <param name="scores">[1, C, h, w]</param>
    /// <param name="region">Where the picture lies in them.</param>
    /// <param name="width">Columns of the picture.</param>
    /// <param name="height">Rows of the picture.</param>
    public static LabelMap Of(Tensor scores, MapRegion region, int width, int height)
    {
        byte[] labels = new byte[checked(width * height)];
        int rows = (int)Math.Clamp(BandElements / (scores.shape[1] * width), 1, height);
        for (int top = 0; top < height; top += rows)
        {
            using var scope = NewDisposeScope();
            int count = Math.Min(rows, height - top);
            Tensor band = MapResize.Band(scores, region, height, width, top, count); // [1, C, count, W]
            band.argmax(1).to(ScalarType.Byte).cpu().contiguous().data<byte>().CopyTo(labels, top * width);
        }

        return new LabelMap(width, height, labels);
    }
}
