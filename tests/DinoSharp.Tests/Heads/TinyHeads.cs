using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

/// <summary>Small heads with random weights on a small backbone, as the public classes wrap them.</summary>
internal static class TinyHeads
{
    public static readonly VisionTransformerConfig Config = new() { Width = 32, Depth = 4, Heads = 2, FeedForwardWidth = 64 };

    public static Backbone Backbone(ulong seed = 7, VisionTransformerConfig? config = null)
    {
        using var random = new Generator(seed);
        Backbone backbone = DinoSharp.Backbones.Backbone.Create(config ?? Config);
        backbone.Initialize(random);
        return backbone;
    }

    public static ImageBuffer Picture(int width = 90, int height = 70, int seed = 1)
    {
        var random = new Random(seed);
        byte[] pixels = new byte[width * height * 3];
        random.NextBytes(pixels);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++) pixels[((y * width) + x) * 3] = (byte)(x * 255 / width);
        }

        return ImageBuffer.FromSamples<byte>(width, height, 3, pixels);
    }

    public static HeadInput Input(params int[] layers) => new()
    {
        Layers = layers,
        Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(64), PatchSizePixels = 1 },
        Fit = ImageFit.CenterPadding,
    };

    public static ImageClassifier Classifier(Backbone backbone) => new(backbone, Input(3), Filled(new DinoSharp.Layers.Linear(64, 5, true)), new ClassNames(["ant", "bee", "cow", "dog", "elk"]));

    public static Segmentor LinearSegmentor(Backbone backbone, HeadInput? input = null) => new(backbone, input ?? Input(1, 3), Filled(new LinearSegmentationHead([32, 32], 4)), ClassNames.Numbered(4));

    public static DepthEstimator LinearDepth(Backbone backbone, HeadInput? input = null) => new(backbone, input ?? Input(3), Filled(new LinearDepthHead([32], 16)), DepthBins.Nyu);

    public static DepthEstimator DptDepth(Backbone backbone) => new(backbone, Input(0, 1, 2, 3), Filled(new DptHead(new DptConfig
    {
        InputChannels = [32, 32, 32, 32],
        LevelChannels = [4, 6, 8, 10],
        Channels = 8,
        Outputs = 12,
        Readout = DptReadout.Project,
        FusionBias = true,
        ProjectAfterFusion = false,
    })), DepthBins.Canopy);

    public static Segmentor Mask2Former(Backbone backbone) => new(backbone, Input(0, 1, 2, 3) with { MultiplePixels = 32 }, Filled(new Mask2FormerHead(new Mask2FormerConfig
    {
        BackboneWidth = 32,
        StemChannels = 8,
        AdapterHeads = 4,
        Width = 32,
        MaskWidth = 32,
        Heads = 4,
        FeedForwardWidth = 48,
        EncoderLayers = 1,
        DecoderLayers = 3,
        Queries = 6,
        Classes = 5,
    })), ClassNames.Numbered(5));

    public static Detector Detector(Backbone backbone)
    {
        var config = new DetrConfig
        {
            BackboneWidth = 32,
            Layers = [0, 1, 2, 3],
            WindowsPerSide = 2,
            Width = 32,
            Heads = 4,
            EncoderLayers = 1,
            DecoderLayers = 2,
            FeedForwardWidth = 48,
            Queries = 5,
            TrainingQueries = 5,
            Classes = 4,
            ProposalSizePixels = 20,
            BiasWidth = 16,
        };
        return new Detector(backbone, Input(0, 1, 2, 3), Filled(new DetrHead(config)), config, ClassNames.Numbered(4));
    }

    public static DinoText Text(Backbone backbone)
    {
        var config = new DinoTextConfig { EmbedDim = 64, VisionWidth = 32, VisionHeads = 2, ContextLength = 16, TextWidth = 64, TextHeads = 1, TextLayers = 2 };
        return new DinoText(backbone, Filled(new DinoTextHead(config)), config);
    }

    public static T Filled<T>(T module, ulong seed = 11)
        where T : nn.Module
    {
        using var random = new Generator(seed);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        foreach ((_, TorchSharp.Modules.Parameter parameter) in module.named_parameters()) parameter.normal_(0, 0.2, random);
        return module;
    }
}
