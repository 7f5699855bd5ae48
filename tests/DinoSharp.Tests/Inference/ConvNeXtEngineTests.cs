using System.Runtime.Intrinsics;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

/// <summary>The ConvNeXt engine against the modules: odd sizes, batches, maps of one pixel and of more than one band of rows, with and without residual scales.</summary>
public sealed class ConvNeXtEngineTests
{
    [Theory]
    [InlineData(ComputeType.Float32, true)]
    [InlineData(ComputeType.Float32, false)]
    [InlineData(ComputeType.BFloat16, true)]
    [InlineData(ComputeType.Int8, true)]
    [InlineData(ComputeType.Int8, false)]
    public void EqualsTheModules(ComputeType type, bool wide)
    {
        bool supported = wide ? Lanes512.IsSupported && (type == ComputeType.Float32 || Kernels.AreWide(type)) : Lanes256.IsSupported && (type == ComputeType.Float32 || DotTile<Lanes256, Vector256<float>>.SupportsBytes);
        Assert.SkipUnless(supported, $"this processor or system has no {type} kernels on {(wide ? 512 : 256)} bits");
        using var random = new Generator(7);
        foreach (double scale in new[] { 0, 1.0 })
        {
            using var network = new ConvNeXt(new ConvNeXtConfig { Depths = (1, 2, 1, 1), Dims = (8, 12, 20, 33), LayerScale = scale, InputChannels = 2 });
            network.Initialize(random);
            using var quiet = no_grad();
            foreach ((string name, Parameter parameter) in network.named_parameters())
            {
                if (name.EndsWith("gamma", StringComparison.Ordinal)) parameter.uniform_(0.2, 1, random);
                else if (name.EndsWith("bias", StringComparison.Ordinal)) parameter.normal_(0, 0.3, random);
                else if (parameter.dim() > 1) parameter.normal_(0, 1 / Math.Sqrt(parameter[0].numel()), random);
            }

            using InferenceEngine engine = wide ? new ConvNeXtEngine<Lanes512, Vector512<float>>(network, type) : new ConvNeXtEngine<Lanes256, Vector256<float>>(network, type);
            foreach ((int batch, int height, int width) in new[] { (1, 32, 32), (3, 70, 101), (2, 160, 35), (1, 33, 300), (2, 32, 32) })
            {
                using var scope = NewDisposeScope();
                Tensor images = randn([batch, 2, height, width], generator: random);
                Tensor[] expected = network.RunLayers(images, [0, 2, 3]), actual = engine.Forward(images, [0, 2, 3]);
                for (int i = 0; i < 3; i++)
                {
                    Assert.Equal(expected[i].shape, actual[i].shape);
                    double error = ((actual[i] - expected[i]).norm() / expected[i].norm()).item<float>();
                    // The networks are tiny, so the rounding of bytes averages over few inputs.
                    double limit = type switch { ComputeType.Float32 => 3e-6, ComputeType.BFloat16 => 1.5e-2, _ => 6e-2 };
                    Assert.True(error <= limit, $"{batch} x {height} x {width}, map {i}: {error}");
                }
            }
        }
    }

    [Fact]
    public void InferenceGivesTheSameFeaturesOnBothRoutes()
    {
        using var random = new Generator(8);
        using var network = new ConvNeXt(new ConvNeXtConfig { Depths = (1, 1, 1, 1), Dims = (8, 16, 24, 32), LayerScale = 0.5, PatchSize = 16 });
        network.Initialize(random);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor images = randn([2, 3, 96, 64], generator: random);
        Tensor before = network.ForwardFeatures(images).Patches;
        LayerFeatures layer = network.GetLayers(images, [1])[0];
        Assert.Equal(ComputeType.Float32, network.PrepareForInference().Compute);
        Assert.InRange((network.ForwardFeatures(images).Patches - before).abs().max().item<float>(), 0, 2e-5);
        Assert.InRange((network.GetLayers(images, [1])[0].Patches - layer.Patches).abs().max().item<float>(), 0, 2e-5);
    }

    /// <summary>Parts of a batch begin at other places of a panel; an image gives the same bits alone, at any place of a batch and in any part.</summary>
    [Theory]
    [InlineData(ComputeType.Float32, true)]
    [InlineData(ComputeType.Float32, false)]
    [InlineData(ComputeType.Int8, true)]
    public void ALargeBatchIsComputedInPartsWithTheSameBits(ComputeType type, bool wide)
    {
        Assert.SkipUnless(wide ? Lanes512.IsSupported && Kernels.AreWide(type) : Lanes256.IsSupported, $"this processor has no such kernels on {(wide ? 512 : 256)} bits");
        using var random = new Generator(9);
        using var network = new ConvNeXt(new ConvNeXtConfig { Depths = (1, 1, 2, 1), Dims = (8, 16, 24, 32), LayerScale = 0.5 });
        network.Initialize(random);
        using InferenceEngine engine = wide ? new ConvNeXtEngine<Lanes512, Vector512<float>>(network, type) : new ConvNeXtEngine<Lanes256, Vector256<float>>(network, type);
        using var scope = NewDisposeScope();
        const int batch = 303;
        Tensor images = randn([batch, 3, 96, 96], generator: random);
        long largest = 4L * 24 * 24 * 48 * batch; // unfolded pixels of the first stage
        Assert.InRange(InferenceEngine.AtOnce(batch, largest), 2, batch - 1);
        Tensor[] together = engine.Forward(images, [0, 3]);
        for (int i = 0; i < batch; i += 43)
        {
            Tensor[] alone = engine.Forward(images.narrow(0, i, 1), [0, 3]);
            for (int layer = 0; layer < 2; layer++) Assert.True(alone[layer].equal(together[layer].narrow(0, i, 1)).all().item<bool>(), $"image {i}");
        }
    }

    /// <summary>A batch in parts keeps its buffers below what is given back after each call.</summary>
    [Fact]
    public void ALargeBatchTakesTheBuffersOfAFewImages()
    {
        using var network = new ConvNeXt((ConvNeXtConfig)Presets.Find("convnext-tiny").Config);
        using var random = new Generator(9);
        network.Initialize(random);
        using InferenceEngine? engine = ConvNeXtEngine.TryCreate(network, ComputeType.Float32, out string reason);
        Assert.SkipWhen(engine is null, reason);
        Assert.True(32 * engine!.BufferBytes(256, 256) > NativeBuffer.MostKeptBytes);
        Assert.InRange(engine.BufferBytes(256, 256, 32)!.Value, 1, NativeBuffer.MostKeptBytes);
    }

    /// <summary>The rows of a very wide picture are larger than the stack of a thread; smaller here, so that it need not be as wide.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AVeryWidePictureNeedsNoStack(bool wide)
    {
        Assert.SkipUnless(wide ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no {(wide ? "AVX-512" : "AVX2")}");
        using var random = new Generator(10);
        using var network = new ConvNeXt(new ConvNeXtConfig { Depths = (1, 1, 1, 1), Dims = (4, 4, 4, 4), LayerScale = 0.5 });
        network.Initialize(random);
        using InferenceEngine engine = wide ? new ConvNeXtEngine<Lanes512, Vector512<float>>(network) : new ConvNeXtEngine<Lanes256, Vector256<float>>(network);
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                using var scope = NewDisposeScope();
                using var quiet = no_grad();
                Tensor images = randn([1, 3, 32, 65536], generator: random);
                Tensor[] expected = network.RunLayers(images, [0, 3]), actual = engine.Forward(images, [0, 3]);
                for (int i = 0; i < 2; i++) Assert.InRange(((actual[i] - expected[i]).norm() / expected[i].norm()).item<float>(), 0, 3e-6);
            }
            catch (Exception e)
            {
                failure = e;
            }
        }, maxStackSize: 1 << 20);
        thread.Start();
        thread.Join();
        Assert.Null(failure);
    }
}
