using System.Runtime.Intrinsics;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

/// <summary>The engine against the general path, on every kind of network it accepts, on both widths of vectors and on sizes that fill no panel evenly.</summary>
public sealed class EngineTests
{
    private static readonly VisionTransformerConfig Tiny = new() { Width = 48, Depth = 3, Heads = 3, FeedForwardWidth = 100, LayerScale = 0.5 };

    private static readonly Dictionary<string, VisionTransformerConfig> Configs = new()
    {
        ["mlp"] = Tiny,
        ["swiglu, rms norm, no registers, no layer scale"] = Tiny with { FeedForward = FeedForwardKind.SwiGlu, FeedForwardWidth = 72, Norm = NormKind.RmsNorm, Registers = 0, LayerScale = null },
        ["no biases, one register, patch 8, five channels"] = Tiny with { QkvBias = false, ProjectionBias = false, FeedForwardBias = false, Registers = 1, PatchSize = 8, InputChannels = 5 },
        ["heads of 64"] = Tiny with { Width = 128, Heads = 2, FeedForwardWidth = 256 },
        ["heads of 8, unmasked key bias"] = Tiny with { Width = 32, Heads = 4, MaskKeyBias = false },
    };

    public static TheoryData<string, bool> Kinds()
    {
        var data = new TheoryData<string, bool>();
        foreach (string name in Configs.Keys)
        {
            data.Add(name, true);
            data.Add(name, false);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void EqualsTheGeneralPath(string kind, bool wide)
    {
        Assert.SkipUnless(wide ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no {(wide ? "AVX-512" : "AVX2")}");
        VisionTransformerConfig config = Configs[kind];
        using var network = new VisionTransformer(config);
        using var random = new Generator(11);
        using (no_grad())
        {
            foreach (var parameter in network.parameters()) parameter.normal_(0, 0.3, random);
        }

        using InferenceEngine engine = wide ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network) : new VisionTransformerEngine<Lanes256, Vector256<float>>(network);
        using var quiet = no_grad();
        foreach ((int batch, int rows, int columns) in new[] { (1, 1, 1), (1, 4, 5), (3, 3, 7), (2, 12, 12), (5, 2, 3), (1, 14, 15) })
        {
            using var scope = NewDisposeScope();
            Tensor images = randn([batch, config.InputChannels, (rows * config.PatchSize) + 3, (columns * config.PatchSize) + 1], generator: random);
            Tensor expected = network.ForwardFeatures(images).PreNorm;
            Tensor[] actual = engine.Forward(images, [0, 2]);
            LayerFeatures first = network.GetLayers(images, [0], normalize: false)[0];
            double limit = 2e-6 * expected.abs().max().item<float>();
            Assert.InRange((actual[1] - expected).abs().max().item<float>(), 0, limit);
            Assert.InRange((actual[0].narrow(1, 1 + config.Registers, rows * columns) - first.Patches).abs().max().item<float>(), 0, limit);
        }
    }

    /// <summary>48 tokens fill panels on both widths: map, norm, hidden layer (for a gate: both halves and their product), keys and values, rotary tables.</summary>
    [Theory]
    [InlineData(FeedForwardKind.Mlp, true, 1 + 1 + 4 + 2)]
    [InlineData(FeedForwardKind.Mlp, false, 1 + 1 + 4 + 2)]
    [InlineData(FeedForwardKind.SwiGlu, true, 1 + 4 + 8 + 2)]
    public void BuffersAreAsLargeAsTheArraysInThem(FeedForwardKind kind, bool wide, int activations)
    {
        Assert.SkipUnless(wide ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no {(wide ? "AVX-512" : "AVX2")}");
        using var network = new VisionTransformer(new() { Width = 256, Depth = 1, Heads = 4, FeedForwardWidth = 1024, FeedForward = kind, Registers = 0 });
        using var random = new Generator(11);
        network.Initialize(random);
        using InferenceEngine engine = wide ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network) : new VisionTransformerEngine<Lanes256, Vector256<float>>(network);
        Assert.Equal(48 * ((activations * 256) + 64) * sizeof(float), engine.BufferBytes(16, 47 * 16));
    }

    /// <summary>Lanes do not meet: an image gives the same bits alone and at any place of a batch.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AnImageGivesTheSameBitsInEveryBatch(bool wide)
    {
        Assert.SkipUnless(wide ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no {(wide ? "AVX-512" : "AVX2")}");
        using var network = new VisionTransformer(Tiny);
        using var random = new Generator(5);
        network.Initialize(random);
        using InferenceEngine engine = wide ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network) : new VisionTransformerEngine<Lanes256, Vector256<float>>(network);
        using var scope = NewDisposeScope();
        Tensor images = randn([4, 3, 80, 112], generator: random);
        Tensor together = engine.Forward(images, [2])[0];
        for (int i = 0; i < 4; i++) Assert.True(engine.Forward(images.narrow(0, i, 1), [2])[0].equal(together.narrow(0, i, 1)).all().item<bool>());
    }
}
