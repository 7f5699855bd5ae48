using DinoSharp.Backbones;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Layers;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

/// <summary>Every head module, tiny and with random weights: no tensor left behind, batch members independent, inference blind to the training flag.</summary>
public sealed class HeadModuleTests
{
    private static readonly VisionTransformerConfig Tiny = new() { Width = 32, Depth = 4, Heads = 2, FeedForwardWidth = 64 };

    private static readonly DetrConfig Detr = new()
    {
        BackboneWidth = 32,
        Layers = [1, 3],
        WindowsPerSide = 2,
        Width = 32,
        Heads = 4,
        EncoderLayers = 1,
        DecoderLayers = 2,
        FeedForwardWidth = 48,
        Queries = 5,
        TrainingQueries = 2,
        Classes = 4,
        ProposalSizePixels = 20,
        BiasWidth = 16,
    };

    private static readonly DetrConfig OtherDetr = Detr with
    {
        WindowsPerSide = 0,
        LayerNorms = true,
        EncoderLayers = 0,
        PreNorm = false,
        PixelBoxes = false,
        ProposalStrides = [16],
        Positions = DetrPositions.Learned,
        MixedSelection = false,
        BiasDistance = BoxDistance.Log,
    };

    private static readonly DetrConfig BoxBlindDetr = Detr with { WindowsPerSide = 1, PixelBoxes = false, BiasWidth = 0 };

    private static readonly Dictionary<string, HeadCase> Heads = new()
    {
        ["linear segmentation"] = HeadCase.OnFeatures(() => new LinearSegmentationHead([32, 32], 5), 2, (h, f) => h.Predict(f, 40, 50), results: 1),
        ["linear depth with class token"] = HeadCase.OnFeatures(() => new LinearDepthHead([32], 16, classToken: true), 1, (h, f) => DepthBins.Nyu.ToMeters(h.Forward(f)), results: 2),
        ["dpt with projected readout"] = HeadCase.OnFeatures(() => Dpt(DptReadout.Project, batchNorm: false), 4, (h, f) => DepthBins.Canopy.ToMeters(h.Forward(f)), results: 2),
        ["dpt with batch norm"] = HeadCase.OnFeatures(() => Dpt(DptReadout.Ignore, batchNorm: true), 4, (h, f) => h.Forward(f), results: 1),
        ["dpt with added readout"] = HeadCase.OnFeatures(() => Dpt(DptReadout.Add, batchNorm: false), 4, (h, f) => h.Forward(f), results: 1),
        ["linear classifier"] = HeadCase.OnFeatures(() => new DinoSharp.Layers.Linear(64, 3, true), 1, (h, f) => h.call(LinearInput.Gather(f)), results: 2),
        ["mask2former"] = HeadCase.OnImages(Mask2Former, (h, backbone, images) => Mask2FormerHead.Semantic(h.Forward(images, backbone.GetLayers(images, LayerSelection.All))[^1], 50, 70), results: 12 + 10 + 1),
        ["detr"] = HeadCase.OnImages(() => new DetrHead(Detr), Boxes, results: 2 + 3 * 4),
        ["detr with every other option"] = HeadCase.OnImages(() => new DetrHead(OtherDetr), Boxes, results: 2 + 3 * 4),
        ["detr without relative bias"] = HeadCase.OnImages(() => new DetrHead(BoxBlindDetr), Boxes, results: 2 + 3 * 4),
        ["dino.txt image"] = HeadCase.OnImages(Text, (h, backbone, images) => h.Vision.Forward(backbone.GetLayers(images, LayerSelection.Final)).Embedding, results: 3 + 3),
        ["dino.txt text"] = HeadCase.OnImages(Text, (h, _, images) => h.Text.Forward(images.flatten(1).narrow(1, 0, 8).abs().clamp_max(59).to(ScalarType.Int64)), results: 5 + 1),
    };

    public static TheoryData<string> Names() => [.. Heads.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void LeavesNoTensorBehind(string name) => LiveTensors.AssertUnchangedBy(() =>
    {
        using Backbone backbone = NewBackbone();
        using Tensor images = Images();
        using nn.Module head = Build(name);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Heads[name].Run(head, backbone, images);
        Assert.Equal(Heads[name].Results, scope.DisposablesCount); // a module leaves its results to the caller and nothing else
    });

    [Theory]
    [MemberData(nameof(Names))]
    public void AnImageDoesNotSeeItsBatchAndTheTrainingFlagChangesNothing(string name)
    {
        using Backbone backbone = NewBackbone();
        using Tensor images = Images();
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using nn.Module head = Build(name);
        Tensor together = Heads[name].Run(head, backbone, images);
        head.eval();
        Assert.True(together.isfinite().all().item<bool>());
        for (int i = 0; i < 2; i++)
        {
            Tensor alone = Heads[name].Run(head, backbone, images.narrow(0, i, 1));
            double error = (alone[0] - together[i]).abs().max().item<float>() / Math.Max(1, together.abs().max().item<float>());
            Assert.True(error < 1e-4, $"image {i} differs by {error:g3}");
        }
    }

    [Fact]
    public void TrainingLeavesNoTensorBehind() => LiveTensors.AssertUnchangedBy(() =>
    {
        using Backbone backbone = NewBackbone();
        using Tensor images = Images();
        using var random = new Generator(1);
        using var head = new LinearSegmentationHead([32], 5);
        head.Initialize(random);
        using var scope = NewDisposeScope();
        LayerFeatures[] features;
        using (no_grad()) features = backbone.GetLayers(images, LayerSelection.Final);
        head.ForwardTraining(features, random).sum().backward();
        head.zero_grad();
    });

    [Fact]
    public void ChannelDropoutDropsItsShareAndKeepsTheMean()
    {
        using var random = new Generator(5);
        using var head = new LinearSegmentationHead([2000], 1, batchNorm: false, dropout: 0.25);
        using (no_grad())
        {
            foreach ((_, TorchSharp.Modules.Parameter parameter) in head.named_parameters()) parameter.fill_(parameter.dim() == 1 ? 0 : 1);
        }

        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var features = new LayerFeatures(0, zeros(1, 2000), zeros(1, 0, 2000), ones(1, 1, 2000), 1, 1);
        double mean = head.ForwardTraining([features], random).item<float>() / 2000;
        Assert.InRange(mean, 0.93, 1.07);
        Assert.NotEqual(1, mean);
        Assert.Equal(2000, head.Forward([features]).item<float>(), 0.01);
    }

    private static Backbone NewBackbone()
    {
        using var random = new Generator(7);
        Backbone backbone = Backbone.Create(Tiny);
        backbone.Initialize(random);
        return backbone;
    }

    private static Tensor Images()
    {
        using var random = new Generator(3);
        return randn([2, 3, 64, 96], generator: random);
    }

    [Theory]
    [InlineData(16, 48)]
    [InlineData(32, 16)]
    public void ScoresThatAreLearntFromAreEveryFourthOfThoseThatAnswer(int height, int width)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var random = new Generator(3);
        using var output = new DptOutput(channels: 8, hidden: 5, outputs: 3, device: null);
        foreach ((_, TorchSharp.Modules.Parameter parameter) in output.named_parameters()) parameter.normal_(0, 0.3, random);
        Tensor x = randn([2, 8, height, width], generator: random), all = output.Forward(x, null), some = output.EveryFourth(x);
        TensorIndex fourth = TensorIndex.Slice(2, null, 4);
        Assert.Equal([2, 3, height / 2, width / 2], some.shape);
        Assert.True(some.allclose(all[TensorIndex.Ellipsis, fourth, fourth], rtol: 1e-5, atol: 1e-5));
    }

    private static nn.Module Build(string name)
    {
        nn.Module head = Heads[name].Build();
        using var random = new Generator(11);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        foreach ((_, TorchSharp.Modules.Parameter parameter) in head.named_parameters()) parameter.normal_(0, 0.1, random);
        head.train();
        return head;
    }

    private static Tensor Boxes(DetrHead head, Backbone backbone, Tensor images) => head.Forward(backbone, [.. images.unbind(0)]).Layers[^1].Boxes;

    private static DptHead Dpt(DptReadout readout, bool batchNorm) => new(new DptConfig
    {
        InputChannels = [32, 32, 32, 32],
        LevelChannels = [4, 6, 8, 10],
        Channels = 8,
        Outputs = 12,
        Readout = readout,
        BatchNorm = batchNorm,
        FusionBias = !batchNorm,
        ProjectAfterFusion = batchNorm,
    });

    private static Mask2FormerHead Mask2Former() => new(new Mask2FormerConfig
    {
        BackboneWidth = 32,
        StemChannels = 8,
        AdapterHeads = 4,
        Width = 32,
        MaskWidth = 16,
        Heads = 4,
        PixelHeads = 2,
        FeedForwardWidth = 48,
        PixelFeedForwardWidth = 40,
        EncoderLayers = 1,
        DecoderLayers = 4,
        Queries = 6,
        Classes = 5,
    });

    private static DinoTextHead Text() => new(new DinoTextConfig
    {
        EmbedDim = 64,
        VisionWidth = 32,
        VisionHeads = 2,
        ContextLength = 8,
        VocabularySize = 60,
        TextWidth = 24,
        TextHeads = 3,
        TextLayers = 2,
    });

    // Results: tensors that one run leaves in the current scope: features, results, and what the case itself makes of them.
    private sealed record HeadCase(Func<nn.Module> Build, Func<nn.Module, Backbone, Tensor, Tensor> Run, int Results)
    {
        public static HeadCase OnFeatures<T>(Func<T> build, int layers, Func<T, LayerFeatures[], Tensor> run, int results)
            where T : nn.Module => new(build, (head, backbone, images) => run((T)head, backbone.GetLayers(images, LayerSelection.Last(layers))), 3 * layers + results);

        public static HeadCase OnImages<T>(Func<T> build, Func<T, Backbone, Tensor, Tensor> run, int results)
            where T : nn.Module => new(build, (head, backbone, images) => run((T)head, backbone, images), results);
    }

    /// <summary>Bins of a large picture are never held at once.</summary>
    [Theory]
    [InlineData(1, 7, 5)]
    [InlineData(2, 4, 9)]
    [InlineData(1, 1, 3)]
    public void TheEndOfADptDecoderIsTheSameInBands(int batch, int height, int width) => LiveTensors.AssertUnchangedBy(() =>
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using DptOutput output = TinyHeads.Filled(new DptOutput(8, 6, 12, null));
        Tensor x = rand(batch, 8, height, width);
        Tensor whole = output.Forward(x, DepthBins.Canopy.ToMeters);
        foreach (int rows in new[] { 1, 3 })
        {
            Tensor bands = output.Forward(x, DepthBins.Canopy.ToMeters, bandBytes: rows * (4 + 12 + 60) * 2 * width * batch * sizeof(float));
            Assert.Equal(whole.shape, bands.shape);
            Assert.True((whole - bands).abs().max().item<float>() < 1e-5f * whole.abs().max().item<float>());
        }

        Tensor doubled = MapResize.DoubleAligned(x);
        Assert.True((MapResize.DoubleAligned(x, 1, (2 * height) - 1) - doubled.narrow(2, 1, (2 * height) - 1)).abs().max().item<float>() < 1e-6f);
    });
}
