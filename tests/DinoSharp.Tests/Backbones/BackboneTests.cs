using DinoSharp.Backbones;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Backbones;

public sealed class BackboneTests
{
    private static readonly VisionTransformerConfig Tiny = new() { Width = 32, Depth = 3, Heads = 2, FeedForwardWidth = 64 };
    private static readonly ConvNeXtConfig TinyConvNeXt = new() { Depths = (1, 1, 2, 1), Dims = (8, 12, 16, 24) };

    public static TheoryData<string> Kinds() => [.. Configs.Keys];

    private static readonly Dictionary<string, BackboneConfig> Configs = new()
    {
        ["mlp"] = Tiny,
        ["swiglu, rms norm, no registers, no layer scale"] = Tiny with { FeedForward = FeedForwardKind.SwiGlu, Norm = NormKind.RmsNorm, Registers = 0, LayerScale = null },
        ["untied norms, bf16 rotary, drop path"] = Tiny with { UntieClassAndPatchNorms = true, UntieGlobalAndLocalClassNorm = true, Rotary = new() { Precision = RotaryPrecision.BFloat16 }, DropPathRate = 0.4 },
        ["five channels, patch 8"] = Tiny with { InputChannels = 5, PatchSize = 8 },
        ["convnext"] = TinyConvNeXt,
        ["convnext on a patch grid, drop path"] = TinyConvNeXt with { PatchSize = 16, DropPathRate = 0.3 },
    };

    private static Backbone Build(BackboneConfig config, ulong seed = 7)
    {
        using var random = new Generator(seed);
        Backbone backbone = Backbone.Create(config);
        backbone.Initialize(random);
        return backbone;
    }

    private static Tensor Images(BackboneConfig config, int batch = 2, int height = 64, int width = 96, ulong seed = 3)
    {
        using var random = new Generator(seed);
        return randn([batch, config.InputChannels, height, width], generator: random);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void LeavesNoTensorBehind(string kind)
    {
        BackboneConfig config = Configs[kind];
        LiveTensors.AssertUnchangedBy(() =>
        {
            using Backbone backbone = Build(config);
            using Tensor images = Images(config), small = Images(config, 3, 64, 64);
            using (no_grad())
            {
                using BackboneOutput output = backbone.ForwardFeatures(images);
                foreach (LayerFeatures layer in backbone.GetLayers(images, LayerSelection.All))
                {
                    using Tensor map = layer.PatchMap();
                    layer.Dispose();
                }

                using Tensor embedding = backbone.call(images);
                if (backbone is VisionTransformer vit) vit.AttentionMaps(images).Dispose();
            }

            using var random = new Generator(1);
            BackboneOutput[] outputs = backbone.ForwardTraining([images, small], [null, null], random);
            using (Tensor loss = outputs[0].ClassToken.sum())
            {
                loss.backward();
            }

            foreach (BackboneOutput output in outputs) output.Dispose();
        });
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EqualSeedsGiveEqualWeightsAndEqualFeatures(string kind)
    {
        BackboneConfig config = Configs[kind];
        using Backbone first = Build(config), second = Build(config), other = Build(config, seed: 8);
        using Tensor images = Images(config);
        using var quiet = no_grad();
        using Tensor a = first.call(images), again = first.call(images), b = second.call(images), c = other.call(images);
        Assert.True(a.equal(again).all().item<bool>());
        Assert.True(a.equal(b).all().item<bool>());
        Assert.False(a.equal(c).all().item<bool>());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void AnImageDoesNotSeeItsBatch(string kind)
    {
        BackboneConfig config = Configs[kind];
        using Backbone backbone = Build(config);
        using Tensor images = Images(config, batch: 3);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor together = backbone.ForwardFeatures(images).Patches;
        for (int i = 0; i < 3; i++)
        {
            Tensor alone = backbone.ForwardFeatures(images.narrow(0, i, 1)).Patches;
            Assert.True((alone[0] - together[i]).abs().max().item<float>() < 1e-4f);
        }
    }

    [Fact]
    public void TheFinalLayerIsTheOutput()
    {
        using Backbone backbone = Build(Tiny);
        using Tensor images = Images(Tiny);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        BackboneOutput output = backbone.ForwardFeatures(images);
        LayerFeatures last = Assert.Single(backbone.GetLayers(images, LayerSelection.Final));
        Assert.Equal((2, 4, 6), (last.Layer, last.GridHeight, last.GridWidth));
        Assert.True(last.Patches.equal(output.Patches).all().item<bool>());
        Assert.True(last.ClassToken.equal(output.ClassToken).all().item<bool>());
        Assert.Equal([2, 32, 4, 6], last.PatchMap().shape);
    }

    [Fact]
    public void PixelsBeyondTheLastWholePatchAreIgnored()
    {
        using Backbone backbone = Build(Tiny);
        using Tensor images = Images(Tiny, height: 79, width: 97);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor whole = backbone.ForwardFeatures(images).Patches;
        Tensor cropped = backbone.ForwardFeatures(images.slice(2, 0, 64, 1).slice(3, 0, 96, 1)).Patches;
        Assert.True(whole.equal(cropped).all().item<bool>());
    }

    [Fact]
    public void AttentionRowsSumToOne()
    {
        using var backbone = (VisionTransformer)Build(Tiny);
        using Tensor images = Images(Tiny);
        using var quiet = no_grad();
        using Tensor maps = backbone.AttentionMaps(images, layer: -2);
        Assert.Equal([2, 2, 5, 29], maps.shape);
        using Tensor sums = maps.sum(-1);
        Assert.True((sums - 1).abs().max().item<float>() < 1e-5f);
    }

    [Theory]
    [InlineData("[B, C, H, W]", new long[] { 3, 64, 64 })]
    [InlineData("3 channels, the images have 4", new long[] { 1, 4, 64, 64 })]
    [InlineData("smaller than one 16x16 patch", new long[] { 1, 3, 64, 8 })]
    public void ImagesThatDoNotFitAreNamed(string expected, long[] shape)
    {
        using Backbone backbone = Build(Tiny);
        using Tensor images = zeros(shape);
        Assert.Contains(expected, Assert.Throws<DinoSharpException>(() => backbone.ForwardFeatures(images)).Message);
    }

    [Fact]
    public void ImpossibleConfigurationsAreNamed()
    {
        Assert.Contains("multiple of 4 x Heads", Assert.Throws<ArgumentException>(() => Backbone.Create(Tiny with { Heads = 3 })).Message);
        Assert.Contains("either Base or both", Assert.Throws<ArgumentException>(() => Backbone.Create(Tiny with { Rotary = new() { Base = null } })).Message);
        Assert.Contains("either Base or both", Assert.Throws<ArgumentException>(() => Backbone.Create(Tiny with { Rotary = new() { MinPeriod = 1, MaxPeriod = 2 } })).Message);
    }

    [Fact]
    public void LayersAreSelectedByIndexFromBothEndsOrByCount()
    {
        LayerSelection byIndex = [-1, 0, 5];
        Assert.Equal([0, 5, 11], byIndex.Resolve(12));
        Assert.Equal([8, 9, 10, 11], LayerSelection.Last(4).Resolve(12));
        Assert.Equal([0, 1, 2], LayerSelection.All.Resolve(3));
        Assert.Contains("twice", Assert.Throws<DinoSharpException>(() => LayerSelection.Create([-1, 11]).Resolve(12)).Message);
        Assert.Contains("does not exist", Assert.Throws<DinoSharpException>(() => LayerSelection.Create([12]).Resolve(12)).Message);
        Assert.Contains("has 3", Assert.Throws<DinoSharpException>(() => LayerSelection.Last(4).Resolve(3)).Message);
    }
}
