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
        VisionTransformerConfig config = Configs[kind];
        using var network = new VisionTransformer(config);
        using var random = new Generator(11);
        using (no_grad())
        {
            foreach (var parameter in network.parameters()) parameter.normal_(0, 0.3, random);
        }

        using InferenceEngine engine = EngineOf(network, wide);
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
        using var random = new Generator(11);
        using VisionTransformer network = Network(new() { Width = 256, Depth = 1, Heads = 4, FeedForwardWidth = 1024, FeedForward = kind, Registers = 0 }, random);
        using InferenceEngine engine = EngineOf(network, wide);
        Assert.Equal(48 * ((activations * 256) + 64) * sizeof(float), engine.BufferBytes(16, 47 * 16));
    }

    /// <summary>Minima, maxima and roundings must not make a number of what is none, or damaged weights give features that look sound.</summary>
    [Theory]
    [MemberData(nameof(Damages))]
    public void WhatIsNotANumberIsNotComputedAway(ComputeType type, bool wide, string name, uint bits)
    {
        bool supported = wide ? Lanes512.IsSupported && Kernels.AreWide(type) : Lanes256.IsSupported && (type == ComputeType.Float32 || (type == ComputeType.Int8 && DotTile<Lanes256, Vector256<float>>.SupportsBytes));
        Assert.SkipUnless(supported, $"this processor or system has no {type} kernels on {(wide ? 512 : 256)} bits");
        using var random = new Generator(5);
        using VisionTransformer network = Network(Tiny, random);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor parameter = network.state_dict()[name].view(-1);
        float[] values = parameter.data<float>().ToArray();
        values[0] = BitConverter.UInt32BitsToSingle(bits);
        parameter.copy_(tensor(values));
        using InferenceEngine engine = wide ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network, type) : new VisionTransformerEngine<Lanes256, Vector256<float>>(network, type);
        Assert.False(engine.Forward(randn([1, 3, 48, 64], generator: random), [2])[0].isfinite().any().item<bool>());
    }

    public static TheoryData<ComputeType, bool, string, uint> Damages()
    {
        var data = new TheoryData<ComputeType, bool, string, uint>();
        foreach ((ComputeType type, bool wide) in new[] { (ComputeType.Float32, true), (ComputeType.Float32, false), (ComputeType.BFloat16, true), (ComputeType.Int8, true), (ComputeType.Int8, false) })
        {
            foreach (string name in new[] { "blocks.1.attn.qkv.weight", "blocks.1.attn.qkv.bias", "blocks.2.norm1.weight", "blocks.2.mlp.fc1.bias" })
            {
                data.Add(type, wide, name, 0x7FC00000);
                data.Add(type, wide, name, uint.MaxValue); // an erased file
            }
        }

        return data;
    }

    [Fact]
    public void ANetworkThatIsDisposedSaysSo()
    {
        VisionTransformer transformer = new(Tiny);
        ConvNeXt convolutions = new(new ConvNeXtConfig { Depths = (1, 1, 1, 1), Dims = (8, 8, 8, 8) });
        using var random = new Generator(5);
        using Tensor images = zeros(1, 3, 64, 64);
        using var quiet = no_grad();
        foreach (Backbone network in (Backbone[])[transformer, convolutions])
        {
            network.Initialize(random);
            network.PrepareForInference();
            network.ForwardFeatures(images).Dispose();
            network.Dispose();
            Assert.Throws<ObjectDisposedException>(() => network.ForwardFeatures(images));
            Assert.Throws<ObjectDisposedException>(() => network.GetLayers(images, LayerSelection.Last(1)));
        }
    }

    [Fact]
    public async Task AnEngineThatIsDisposedDuringACallEndsItOrSaysSo()
    {
        using var network = new ConvNeXt(new ConvNeXtConfig { Depths = (1, 1, 1, 1), Dims = (8, 8, 8, 8) });
        using var random = new Generator(5);
        network.Initialize(random);
        InferenceEngine? engine = ConvNeXtEngine.TryCreate(network, ComputeType.Float32, out string reason);
        Assert.SkipWhen(engine is null, reason);
        using var running = new ManualResetEventSlim();
        Task calls = Task.Run(() =>
        {
            using Tensor images = zeros(1, 3, 256, 256);
            while (true)
            {
                using Tensor map = engine!.Forward(images, [0])[0];
                running.Set();
            }
        }, TestContext.Current.CancellationToken);
        running.Wait(TestContext.Current.CancellationToken);
        engine!.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => calls);
    }

    /// <summary>The memory is asked for, not touched.</summary>
    [Fact]
    public unsafe void TensorsBeyondTwoGibibytesHaveABeginning()
    {
        using Tensor large = empty((1L << 29) + 1);
        Assert.True(InferenceEngine.Start(large) != null);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ALargeBatchIsComputedInPartsWithTheSameBits(bool wide)
    {
        using var random = new Generator(6);
        using VisionTransformer network = Network(Tiny, random);
        using InferenceEngine engine = EngineOf(network, wide);
        using var scope = NewDisposeScope();
        Tensor images = randn([4001, 3, 16, 16], generator: random);
        Tensor[] together = engine.Forward(images, [0, 2]);
        foreach (int i in new[] { 0, 1333, 1334, 2001, 4000 })
        {
            Tensor[] alone = engine.Forward(images.narrow(0, i, 1), [0, 2]);
            for (int layer = 0; layer < 2; layer++) Assert.True(alone[layer].equal(together[layer].narrow(0, i, 1)).all().item<bool>(), $"image {i}");
        }
    }

    /// <summary>A call that fails half way leaves buffers of which nobody knows what is in them; the next must not take them for tables of its own size.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ACallThatFailsLeavesNoTablesForTheNext(bool wide)
    {
        using var random = new Generator(5);
        VisionTransformer network = Network(Tiny, random);
        using InferenceEngine engine = EngineOf(network, wide);
        using var scope = NewDisposeScope();
        Tensor small = randn([1, 3, 48, 64], generator: random), large = randn([1, 3, 80, 112], generator: random), expected = engine.Forward(small, [2])[0];
        Assert.True(engine.Forward(small, [2])[0].equal(expected).all().item<bool>());
        network.Dispose(); // nothing to compute the tables of another size from
        Assert.ThrowsAny<Exception>(() => engine.Forward(large, [2]));
        Tensor[] actual = [];
        Exception? failure = Record.Exception(() => actual = engine.Forward(small, [2]));
        Assert.True(failure is not null || actual[0].equal(expected).all().item<bool>(), "features with tables of another picture");
    }

    /// <summary>Lanes do not meet: an image gives the same bits alone and at any place of a batch.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AnImageGivesTheSameBitsInEveryBatch(bool wide)
    {
        using var random = new Generator(5);
        using VisionTransformer network = Network(Tiny, random);
        using InferenceEngine engine = EngineOf(network, wide);
        using var scope = NewDisposeScope();
        Tensor images = randn([4, 3, 80, 112], generator: random);
        Tensor together = engine.Forward(images, [2])[0];
        for (int i = 0; i < 4; i++) Assert.True(engine.Forward(images.narrow(0, i, 1), [2])[0].equal(together.narrow(0, i, 1)).all().item<bool>());
    }

    private static VisionTransformer Network(VisionTransformerConfig config, Generator random)
    {
        var network = new VisionTransformer(config);
        network.Initialize(random);
        return network;
    }

    private static InferenceEngine EngineOf(VisionTransformer network, bool wide)
    {
        Assert.SkipUnless(wide ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no {(wide ? "AVX-512" : "AVX2")}");
        return wide ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network) : new VisionTransformerEngine<Lanes256, Vector256<float>>(network);
    }
}
