using DinoSharp.Backbones;
using DinoSharp.Heads.Anomaly;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>Builds the head that a file holds, official or our own, on the backbone that it belongs to.</summary>
internal sealed class HeadLoader
{
    private readonly HeadWeights _weights;
    private readonly Backbone _backbone;
    private readonly HeadDescription? _description;
    private readonly HeadOptions _options;
    private readonly Normalization? _normalization;
    private readonly Device _device;

    private HeadLoader(HeadWeights weights, Backbone backbone, HeadDescription? description, HeadOptions options, Normalization? normalization)
    {
        (_weights, _backbone, _description, _options, _normalization) = (weights, backbone, description, options, normalization);
        _device = backbone.parameters().First().device;
    }

    private int LayerCount => _backbone.Config.LayerCount;

    private int Width => _backbone.Config.EmbedDim;

    public static Head Load(Backbone backbone, string backboneName, string path, HeadOptions? options = null, Normalization? normalization = null, CancellationToken cancel = default)
    {
        using HeadWeights weights = HeadWeights.Open(path, options?.Classifier);
        HeadDescription? description = HeadDescription.Read(weights.File);
        if (description is not null) RequireSameBackbone(path, description.Backbone, BackboneFingerprint.Of(backbone, backboneName));
        Head head = new HeadLoader(weights, backbone, description, options ?? new HeadOptions(), normalization).Build();
        try
        {
            weights.LoadInto(head.Network, cancel);
            head.BackboneName = backboneName;
            if (description is not null) head.Metrics = description.Metrics;
            return head;
        }
        catch
        {
            head.Dispose();
            throw;
        }
    }

    private static void RequireSameBackbone(string path, BackboneFingerprint wanted, BackboneFingerprint here)
    {
        if (wanted.Matches(here)) return;
        throw new DinoSharpException(
            $"{path}: this head belongs to the backbone '{wanted.Name}' ({wanted.Architecture}), not to '{here.Name}' ({here.Architecture}); load '{wanted.Name}', or fit the head again on '{here.Name}'");
    }

    // A DPT decoder of classes and one of depth have the same tensors; only the description tells them apart.
    private Head Build() => (_description is { Kind: HeadKind.DptSegmentation } && _weights.Kind == HeadKind.DptDepth ? HeadKind.DptSegmentation : _weights.Kind) switch
    {
        HeadKind.LinearClassifier => Classifier(),
        HeadKind.NearestNeighbors => Neighbors(),
        HeadKind.LinearSegmentation => LinearSegmentation(),
        HeadKind.LinearDepth => LinearDepth(),
        HeadKind.DptDepth => DptDepth(),
        HeadKind.DptSegmentation => DptSegmentation(),
        HeadKind.CenterDetection => Centers(),
        HeadKind.PatchMemory => Anomalies(),
        HeadKind.Mask2Former => Masks(),
        HeadKind.Detr => Detection(),
        _ => throw new DinoSharpException($"{_weights.File.Path}: holds dino.txt, which answers to texts: load it with DinoText.Load"),
    };

    private ImageClassifier Classifier()
    {
        int classes = _weights.Axis("weight", 0), width = _weights.Axis("weight", 1);
        int[] last = [.. Enumerable.Range(0, LayerCount).TakeLast(Math.Max(1, (width / Width) - 1))];
        HeadInput input = Input(ImageClassifier.PublishedInput(LayerCount) with { Layers = last });
        int read = input.Layers.Sum(_backbone.Config.LayerWidth);
        bool meanPatch = _description?.MeanPatch ?? width > read;
        RequireWidth(width, read + (meanPatch ? _backbone.Config.LayerWidth(input.Layers[^1]) : 0));
        return new ImageClassifier(_backbone, input, new Linear(width, classes, _weights.Has("bias"), _device), Names(classes, 1000, ClassNames.ImageNet), meanPatch);
    }

    private ImageClassifier Neighbors()
    {
        if (_description is not { Neighbors: { } rule, Classes: { } classes }) throw new TensorFileException(_weights.File.Path, "holds vectors of labelled pictures without saying what their classes are; fit the head again");
        int samples = _weights.Axis("neighbor_features", 0), width = _weights.Axis("neighbor_features", 1);
        int read = _description.Input.Layers.Sum(_backbone.Config.LayerWidth);
        RequireWidth(width, read + (_description.MeanPatch ? _backbone.Config.LayerWidth(_description.Input.Layers[^1]) : 0));
        return new ImageClassifier(_backbone, _description.Input, new NeighborHead(samples, width, classes.Count, rule, _device), Names(classes.Count, 0, ClassNames.Numbered(0)), _description.MeanPatch);
    }

    private Segmentor LinearSegmentation()
    {
        int classes = _weights.Axis("conv.weight", 0), channels = _weights.Axis("conv.weight", 1);
        HeadInput input = Input(Segmentor.LinearInput(LayerCount) with { Layers = LayersOf(channels) });
        (int[] widths, bool classToken) = Widths(input, channels);
        var network = new LinearSegmentationHead(widths, classes, _weights.Has("batchnorm_layer.weight"), classToken, device: _device);
        return new Segmentor(_backbone, input, network, Names(classes, 150, ClassNames.Ade20K));
    }

    private DepthEstimator LinearDepth()
    {
        int bins = _weights.Axis("conv_depth.weight", 0), channels = _weights.Axis("conv_depth.weight", 1);
        HeadInput input = Input(DepthEstimator.LinearInput(LayerCount) with { Layers = LayersOf(channels) });
        (int[] widths, bool classToken) = Widths(input, channels);
        var network = new LinearDepthHead(widths, bins, _weights.Has("batchnorm_layer.weight"), classToken, _device);
        return new DepthEstimator(_backbone, input, network, _options.Bins ?? _description?.Bins ?? DepthBins.Nyu);
    }

    private DepthEstimator DptDepth()
    {
        DptConfig config = InferredConfig.Dpt(_weights, _description?.Readout);
        (HeadInput? published, DepthBins? bins) = PublishedDpt(config);
        HeadInput input = Input(published ?? DepthEstimator.SynthMixInput(LayerCount), ownNormalization: bins?.Spacing == BinSpacing.MixLog);
        bins = _options.Bins ?? _description?.Bins ?? bins;
        if ((published is null && _options.Input is null && _description is null) || bins is null)
        {
            throw new DinoSharpException(
                $"{_weights.File.Path}: this DPT decoder is neither of the published ones (SYNTHMIX depth: batch norm, no class token; CHMv2 canopy height: 128, 256, 512 and 1024 channels, class token projected), "
                + $"and nothing in the file says which layers it reads and what its bins mean; put the config.json of its Hugging Face model beside it, or give {nameof(HeadOptions)}.{nameof(HeadOptions.Input)} and .{nameof(HeadOptions.Bins)}");
        }

        for (int i = 0; i < Math.Min(4, input.Layers.Count); i++) RequireWidth(config.InputChannels[i], _backbone.Config.LayerWidth(input.Layers[i]));
        return new DepthEstimator(_backbone, input, new DptHead(config, _device), bins);
    }

    // The published decoders are known by their shape; a Hugging Face folder says what it is.
    private (HeadInput? Input, DepthBins? Bins) PublishedDpt(DptConfig config)
    {
        if (_description is null && CanopyConfigFile.ReadBeside(_weights.File.Path) is { } canopy) return (DepthEstimator.CanopyInput with { Layers = canopy.Layers ?? DepthEstimator.CanopyInput.Layers }, canopy.Bins);
        if (config.IsCanopy) return (DepthEstimator.CanopyInput, DepthBins.Canopy);
        return config.IsSynthMix ? (DepthEstimator.SynthMixInput(LayerCount), DepthBins.SynthMix) : (null, null);
    }

    private Segmentor DptSegmentation()
    {
        DptConfig config = InferredConfig.Dpt(_weights, _description!.Readout);
        HeadInput input = Input(Segmentor.LinearInput(LayerCount));
        for (int i = 0; i < 4; i++) RequireWidth(config.InputChannels[i], i < input.Layers.Count ? _backbone.Config.LayerWidth(input.Layers[i]) : 0);
        return new Segmentor(_backbone, input, new DptHead(config, _device), Names(config.Outputs, 150, ClassNames.Ade20K));
    }

    private Detector Centers()
    {
        HeadInput input = _description?.Input ?? throw new TensorFileException(_weights.File.Path, "holds a detector without saying what it wants to see; fit the head again");
        int channels = _weights.Axis("norm.weight", 0), width = _weights.Axis("reduce.weight", 0), classes = _weights.Axis("heat_output.weight", 0);
        RequireWidth(channels, input.Layers.Sum(_backbone.Config.LayerWidth));
        return new Detector(_backbone, input, new CenterHead(channels, width, classes, _device), Names(classes, 91, ClassNames.Coco));
    }

    private AnomalyDetector Anomalies()
    {
        if (_description is not { Threshold: { } threshold }) throw new TensorFileException(_weights.File.Path, "holds patches of normal pictures without a threshold; fit the head again");
        int count = _weights.Axis("memory_patches", 0), width = _weights.Axis("memory_patches", 1);
        RequireWidth(width, _description.Input.Layers.Sum(_backbone.Config.LayerWidth));
        return new AnomalyDetector(_backbone, _description.Input, new PatchMemory(count, width, _device), threshold);
    }

    private Segmentor Masks()
    {
        Mask2FormerConfig config = InferredConfig.Mask2Former(_weights);
        RequireWidth(config.BackboneWidth, Width);
        return new Segmentor(_backbone, Input(Segmentor.Mask2FormerInput(LayerCount)), new Mask2FormerHead(config, _device), Names(config.Classes, 150, ClassNames.Ade20K));
    }

    private Detector Detection()
    {
        DetrConfig config = InferredConfig.Detr(_weights, _backbone.Config);
        return new Detector(_backbone, Input(Detector.PublishedInput(config.Layers)), new DetrHead(config, _device), config, Names(config.Classes, 91, ClassNames.Coco));
    }

    // Published inputs are for patches of 16 pixels; a ConvNeXt needs multiples of its own.
    private HeadInput Input(HeadInput published, bool ownNormalization = false)
    {
        int patch = _backbone.Config.PatchSizePixels;
        if (_normalization is not null && !ownNormalization) published = published with { Preprocessing = published.Preprocessing with { Normalization = _normalization } };
        return _options.Input ?? _description?.Input ?? (published.MultiplePixels % patch == 0 ? published : published with { MultiplePixels = patch });
    }

    private ClassNames Names(int count, int publishedCount, ClassNames published)
    {
        ClassNames? given = _options.Classes ?? (_description?.Classes is { } names ? new ClassNames(names) : null);
        if (given is null) return count == publishedCount ? published : ClassNames.Numbered(count);
        return given.Count == count ? given : throw new DinoSharpException($"{_weights.File.Path}: {given.Count} class names were given, the head has {count} classes");
    }

    // The official linear heads read the last layer, or four.
    private int[] LayersOf(int channels)
    {
        if (channels == 4 * Width || channels == 8 * Width) return HeadLayers.FourEvenIntervals(LayerCount).Resolve(LayerCount);
        return [LayerCount - 1];
    }

    private (int[] Widths, bool ClassToken) Widths(HeadInput input, int channels)
    {
        int[] widths = [.. input.Layers.Select(_backbone.Config.LayerWidth)];
        bool classToken = channels == 2 * widths.Sum();
        RequireWidth(channels, (classToken ? 2 : 1) * widths.Sum());
        return (widths, classToken);
    }

    private void RequireWidth(int wanted, int offered)
    {
        if (wanted == offered) return;
        throw new DinoSharpException(
            $"{_weights.File.Path}: this {_weights.Kind} head reads features of width {wanted}, the backbone (width {Width}, {LayerCount} layers) offers {offered}; load the backbone that it was made for");
    }
}
