using System.Runtime.Intrinsics;
using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Diagnostics;
using DinoSharp.Inference;
using DinoSharp.Layers;
using TorchSharp.Modules;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Inference;

/// <summary>Reduced precision against float32: networks of every kind, sizes that fill no panel or block of keys evenly, and weights that bytes cannot hold.</summary>
public sealed class ComputeTypeTests : IDisposable
{
    private static readonly VisionTransformerConfig Tiny = new() { Width = 48, Depth = 3, Heads = 3, FeedForwardWidth = 100, LayerScale = 0.5 };

    private static readonly Dictionary<string, VisionTransformerConfig> Configs = new()
    {
        ["mlp"] = Tiny,
        ["swiglu, rms norm, no registers, no layer scale"] = Tiny with { FeedForward = FeedForwardKind.SwiGlu, FeedForwardWidth = 74, Norm = NormKind.RmsNorm, Registers = 0, LayerScale = null },
        ["no biases, one register, patch 8, five channels"] = Tiny with { QkvBias = false, ProjectionBias = false, FeedForwardBias = false, Registers = 1, PatchSize = 8, InputChannels = 5 },
        ["heads of 64"] = Tiny with { Width = 128, Heads = 2, FeedForwardWidth = 255 },
        ["heads of 8"] = Tiny with { Width = 32, Heads = 4 },
    };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, ComputeType, bool> Kinds()
    {
        var data = new TheoryData<string, ComputeType, bool>();
        foreach (string name in Configs.Keys)
        {
            data.Add(name, ComputeType.BFloat16, true);
            data.Add(name, ComputeType.Int8, true);
            data.Add(name, ComputeType.Int8, false);
        }

        return data;
    }

    public static IEnumerable<TheoryDataRow<string, bool>> LibraryKinds() => Configs.Keys.Append("ConvNeXt").SelectMany(name => new TheoryDataRow<string, bool>[] { new(name, true), new(name, false) });

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(LibraryKinds))]
    public void TheLibraryStaysNearFloat32(string kind, bool wide)
    {
        Libtorch.Require();
        Assert.SkipUnless(MatrixLibrary.IsThere, "this libtorch has no bfloat16 product of MKL");
        Assert.SkipUnless(wide ? Lanes512.IsSupported : Lanes256.IsSupported, $"this processor has no vectors of {(wide ? 512 : 256)} bits");
        using var random = new Generator(12);
        BackboneConfig config = kind == "ConvNeXt" ? new ConvNeXtConfig { Depths = (1, 1, 2, 1), Dims = (8, 24, 40, 48), LayerScale = 0.5 } : Configs[kind];
        using Backbone network = config is ConvNeXtConfig convolutions ? new ConvNeXt(convolutions) : new VisionTransformer((VisionTransformerConfig)config);
        network.Initialize(random);
        using InferenceEngine engine = (network, wide) switch
        {
            (VisionTransformer vit, true) => new VisionTransformerEngine<Lanes512, Vector512<float>>(vit, ComputeType.BFloat16, library: true),
            (VisionTransformer vit, false) => new VisionTransformerEngine<Lanes256, Vector256<float>>(vit, ComputeType.BFloat16, library: true),
            (_, true) => new ConvNeXtEngine<Lanes512, Vector512<float>>((ConvNeXt)network, ComputeType.BFloat16, library: true),
            _ => new ConvNeXtEngine<Lanes256, Vector256<float>>((ConvNeXt)network, ComputeType.BFloat16, library: true),
        };
        int patch = config is VisionTransformerConfig { PatchSize: var size } ? size : 32, channels = config is VisionTransformerConfig { InputChannels: var count } ? count : 3;
        foreach ((int batch, int rows, int columns) in new[] { (1, 1, 1), (3, 3, 7), (1, 17, 19) })
        {
            using Tensor images = randn([batch, channels, rows * patch, columns * patch], generator: random);
            FeatureError error = FeatureError.Measure(network, engine, images);
            Assert.True(error.Relative > 0 && error.IsWithinLimits, $"{batch} x {rows} x {columns}: {error}");
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void StaysNearFloat32(string kind, ComputeType type, bool wide)
    {
        RequireKernels(type, wide);
        using var random = new Generator(11);
        using VisionTransformer network = Network(Configs[kind], random);
        using InferenceEngine engine = wide ? new VisionTransformerEngine<Lanes512, Vector512<float>>(network, type) : new VisionTransformerEngine<Lanes256, Vector256<float>>(network, type);
        foreach ((int batch, int rows, int columns) in new[] { (1, 1, 1), (1, 4, 5), (3, 3, 7), (5, 2, 3), (1, 17, 19) })
        {
            using Tensor images = randn([batch, Configs[kind].InputChannels, rows * Configs[kind].PatchSize, columns * Configs[kind].PatchSize], generator: random);
            FeatureError error = FeatureError.Measure(network, engine, images);
            // Bytes round by up to a half unit, which averages out over hundreds of inputs, not over 48: such networks are over the limits, and Auto refuses them.
            (double relative, double cosine) = type == ComputeType.Int8 ? (4e-2, 0.998) : (FeatureError.RelativeLimit, FeatureError.CosineLimit);
            Assert.True(error.Relative > 0 && error.Relative <= relative && error.WorstCosine >= cosine, $"{batch} x {rows} x {columns}: {error}");
        }
    }

    [Theory]
    [InlineData(ComputeType.BFloat16)]
    [InlineData(ComputeType.Int8)]
    public void KeepsTheLimitsOnViTSmall(ComputeType type)
    {
        using var random = new Generator(3);
        using VisionTransformer network = Network((VisionTransformerConfig)Presets.Find("vits16").Config with { Depth = 6 }, random);
        using InferenceEngine? engine = VisionTransformerEngine.TryCreate(network, type, out string reason);
        Assert.SkipWhen(engine is null, reason);
        using Tensor images = randn([1, 3, 224, 240], generator: random);
        FeatureError error = FeatureError.Measure(network, engine!, images);
        Assert.True(error.IsWithinLimits, error.ToString());
    }

    [Fact]
    public void AnImageGivesTheSameBitsInEveryBatch()
    {
        RequireKernels(ComputeType.Int8, wide: true);
        using var random = new Generator(5);
        using VisionTransformer network = Network(Tiny, random);
        using var engine = new VisionTransformerEngine<Lanes512, Vector512<float>>(network, ComputeType.Int8);
        using var scope = NewDisposeScope();
        Tensor images = randn([4, 3, 80, 112], generator: random);
        Tensor together = engine.Forward(images, [2])[0];
        for (int i = 0; i < 4; i++) Assert.True(engine.Forward(images.narrow(0, i, 1), [2])[0].equal(together.narrow(0, i, 1)).all().item<bool>());
    }

    [Fact]
    public void LibtorchComputesBFloat16WhereThereAreNoKernels()
    {
        using var random = new Generator(6);
        using VisionTransformer network = Network(Tiny, random);
        using var engine = new LibtorchEngine(network);
        using Tensor images = randn([2, 3, 48, 64], generator: random);
        FeatureError error = FeatureError.Measure(network, engine, images);
        Assert.True(error.Relative > 0 && error.IsWithinLimits, error.ToString());
    }

    /// <summary>One channel a thousand times larger than the others leaves bytes nothing for those.</summary>
    [Fact]
    public void AutoRefusesWhatBreaksTheLimits()
    {
        RequireKernels(ComputeType.Int8, wide: false);
        using var random = new Generator(8);
        using VisionTransformer network = Network(Tiny with { Width = 128, Heads = 2, FeedForwardWidth = 512 }, random);
        using (no_grad())
        {
            foreach (Block block in network.Blocks)
            {
                foreach ((Parameter norm, Parameter next) in new (Parameter, Parameter)[] { (block.Norm1.Weight, block.Attention.Qkv.Weight), (block.Norm2.Weight, ((Mlp)block.FeedForward).Fc1.Weight) })
                {
                    norm.narrow(0, 5, 1).mul_(1000).Dispose();
                    next.narrow(1, 5, 1).div_(1000).Dispose();
                }
            }
        }

        using InferenceEngine bytes = VisionTransformerEngine.TryCreate(network, ComputeType.Int8, out _)!;
        using Tensor images = randn([1, 3, 96, 96], generator: random);
        Assert.False(FeatureError.Measure(network, bytes, images).IsWithinLimits);
        (InferenceEngine? engine, InferenceRoute route) = EngineChoice.For(network, ComputeType.Auto, null);
        using (engine) Assert.True(route.Compute != ComputeType.Int8, route.Description);
        Assert.Contains("Int8: relative error", route.Description);
        Assert.Contains("over the limits", route.Description);
    }

    /// <summary>A deep narrow network is over the limits in bytes alone; with some blocks in more bits it keeps them, and that is what is taken and remembered.</summary>
    [Fact]
    public void BytesKeepTheLimitsByMoreExactBlocks()
    {
        RequireKernels(ComputeType.Int8, wide: false);
        using var random = new Generator(8);
        using VisionTransformer network = Network(Tiny with { Width = 256, Heads = 4, FeedForwardWidth = 1024, Depth = 8 }, random);
        double Error(InferenceEngine engine)
        {
            using Tensor probe = ProbeImage.Draw(network);
            return FeatureError.Measure(network, engine, probe).Relative;
        }

        double[] errors = new double[5];
        for (int exact = 0; exact <= 8; exact += 2)
        {
            using InferenceEngine engine = network.TryCreateEngine(ComputeType.Int8, out _, exact)!;
            errors[exact / 2] = Error(engine);
        }

        Assert.True(errors[4] < 0.8 * errors[0] && errors[2] < 0.95 * errors[0], string.Join(", ", errors));
        (InferenceEngine? chosen, InferenceRoute route) = EngineChoice.For(network, ComputeType.Int8, null);
        using (chosen)
        {
            // As few exact blocks as the limits ask for.
            int at = Array.FindIndex(errors, 0, 4, error => error <= FeatureError.RelativeLimit);
            Assert.Equal(errors[Math.Max(at, 0)], Error(chosen!));
            Assert.Contains(at < 0 ? "over the limits" : at == 0 ? "relative error" : $"feed-forward of {2 * at} of 8 blocks", route.Description);
        }
    }

    /// <summary>Less exact numbers must be worth it, of another precision and of the same.</summary>
    [Theory]
    [InlineData(100, 90, 100, 100, "Float32 Own")]
    [InlineData(100, 80, 100, 100, "BFloat16 Own")]
    [InlineData(100, 80, 78, 100, "BFloat16 Own")] // libtorch's bfloat16 is faster by less than timings differ, and six times as far off
    [InlineData(100, 80, 70, 100, "BFloat16 Libtorch")]
    [InlineData(100, 50, 100, 45, "BFloat16 Own")]
    [InlineData(100, 50, 100, 40, "Int8 Own")]
    public void AutoTakesTheMoreExactRouteUnlessAnotherIsClearlyFaster(double float32, double bfloat16, double libtorch, double int8, string expected)
    {
        EngineChoice.Trial Tried(ComputeType type, Products by, double error, double milliseconds) => new(type, by, null, new FeatureError(error, 1), 0) { Milliseconds = milliseconds };
        (EngineChoice.Trial plain, EngineChoice.Trial best) = EngineChoice.Best(
        [
            Tried(ComputeType.BFloat16, Products.Libtorch, 9e-3, libtorch),
            Tried(ComputeType.Int8, Products.Own, 1e-2, int8),
            Tried(ComputeType.Float32, Products.Libtorch, 0, float32 + 3),
            Tried(ComputeType.Float32, Products.Own, 4e-7, float32), // rounding in another order is no loss
            Tried(ComputeType.BFloat16, Products.Own, 1.5e-3, bfloat16),
        ]);
        Assert.Equal(Products.Own, plain.By);
        Assert.Equal(expected, $"{best.Type} {best.By}");
    }

    [Fact]
    public void AutoRemembersItsChoiceForTheseWeightsOnly()
    {
        using var random = new Generator(9);
        using VisionTransformer network = Network(Tiny, random);
        var memory = new RouteMemory(_folder.File("cache", "routes.json"));
        (InferenceEngine? first, InferenceRoute route) = EngineChoice.For(network, ComputeType.Auto, memory);
        first?.Dispose();
        Assert.Contains("chosen by auto", route.Description);
        Choice kept = Assert.Single(memory.OfThisMachine());
        Assert.Equal(route.Compute, kept.Compute);

        // What is remembered is what is taken, whatever a measurement would say now.
        memory.Keep(kept with { Compute = ComputeType.Float32, Products = Products.Libtorch });
        (InferenceEngine? again, InferenceRoute remembered) = EngineChoice.For(network, ComputeType.Auto, memory);
        Assert.Null(again);
        Assert.Equal(ComputeType.Float32, remembered.Compute);
        Assert.Contains("on an earlier load", remembered.Description);

        // A damaged choice is none.
        foreach (Choice damaged in new[] { kept with { Compute = (ComputeType)99 }, kept with { Compute = (ComputeType)(-1) }, kept with { ExactBlocks = -1 }, kept with { Products = (Products)7 }, kept with { Words = null! } })
        {
            memory.Keep(damaged);
            Assert.Null(memory.Find(kept.Key));
        }

        memory.Keep(kept with { Compute = ComputeType.Int8, Products = Products.Libtorch });
        (InferenceEngine? measured, InferenceRoute anew) = EngineChoice.For(network, ComputeType.Auto, memory);
        measured?.Dispose();
        Assert.DoesNotContain("on an earlier load", anew.Description);

        using (no_grad()) network.state_dict()["blocks.1.mlp.fc1.weight"].view(-1)[-1].add_(1).Dispose(); // the last number of a parameter
        Assert.NotEqual(kept.Key, RouteMemory.KeyOf(network));
        Directory.CreateDirectory(_folder.File("blocked", "routes.json"));
        new RouteMemory(_folder.File("blocked", "routes.json")).Keep(kept);
        Assert.Empty(Directory.GetFiles(_folder.File("blocked")));
        File.WriteAllText(memory.Path, "{ not json");
        Assert.Empty(memory.OfThisMachine());
        memory.Keep(kept);
        Assert.Single(memory.OfThisMachine());
    }

    /// <summary>Room for one copy of the weights and not for the several that are compared: never another route than float32 gets.</summary>
    [Fact]
    public void AutoTakesTheKernelsOfFloat32WhereItCannotCompare()
    {
        RequireKernels(ComputeType.Int8, wide: false);
        using var random = new Generator(9);
        using VisionTransformer network = Network(Tiny, random);
        long copy = network.parameters().Sum(parameter => parameter.numel() * sizeof(float));
        var memory = new RouteMemory(_folder.File("routes.json"));
        foreach ((long room, bool kernels) in new[] { (copy, false), (copy + 1, true), (2 * copy, true) })
        {
            foreach (ComputeType compute in new[] { ComputeType.Float32, ComputeType.Auto })
            {
                (InferenceEngine? engine, InferenceRoute route) = EngineChoice.For(network, compute, memory, room);
                using (engine) Assert.Equal((kernels, ComputeType.Float32), (engine is not null, route.Compute));
                Assert.DoesNotContain("chosen", route.Description);
            }
        }

        Assert.Empty(memory.OfThisMachine());
        EngineChoice.For(network, ComputeType.Auto, memory, (2 * copy) + 2).Engine?.Dispose();
        Choice kept = Assert.Single(memory.OfThisMachine());

        // What was chosen before needs no room to compare.
        memory.Keep(kept with { Compute = ComputeType.Int8, Products = Products.Own });
        (InferenceEngine? known, InferenceRoute again) = EngineChoice.For(network, ComputeType.Auto, memory, copy + 1);
        using (known) Assert.Equal((ComputeType.Int8, ComputeType.Int8), (known!.Type, again.Compute));
    }

    [Fact]
    public void BytesRememberWhichBlocksAreMoreExact()
    {
        RequireKernels(ComputeType.Int8, wide: false);
        using var random = new Generator(9);
        using VisionTransformer network = Network(Tiny, random);
        var memory = new RouteMemory(_folder.File("routes.json"));
        (InferenceEngine? first, InferenceRoute measured) = EngineChoice.For(network, ComputeType.Int8, memory);
        first?.Dispose();
        Choice kept = Assert.Single(memory.OfThisMachine());
        Assert.Equal((ComputeType.Int8, Products.Own), (kept.Compute, kept.Products));
        Assert.DoesNotContain("on an earlier load", measured.Description);

        // What is remembered is what is taken, whatever a measurement would say now.
        using InferenceEngine three = network.TryCreateEngine(ComputeType.Int8, out _, 3)!, none = network.TryCreateEngine(ComputeType.Int8, out _)!;
        using Tensor images = randn([1, 3, 48, 64], generator: random);
        foreach ((int exact, InferenceEngine expected, InferenceEngine other) in new[] { (3, three, none), (0, none, three) })
        {
            memory.Keep(kept with { ExactBlocks = exact });
            (InferenceEngine? engine, InferenceRoute route) = EngineChoice.For(network, ComputeType.Int8, memory);
            using (engine)
            using (NewDisposeScope())
            {
                Tensor actual = engine!.Forward(images, [2])[0];
                Assert.True(actual.equal(expected.Forward(images, [2])[0]).all().item<bool>());
                Assert.False(actual.equal(other.Forward(images, [2])[0]).all().item<bool>());
            }

            Assert.Equal(ComputeType.Int8, route.Compute);
            Assert.Contains("on an earlier load", route.Description);
        }

        // Auto has a choice of its own.
        (InferenceEngine? auto, InferenceRoute anew) = EngineChoice.For(network, ComputeType.Auto, memory);
        auto?.Dispose();
        Assert.DoesNotContain("on an earlier load", anew.Description);
        Assert.Equal(2, memory.OfThisMachine().Count);
    }

    [Fact]
    public void AChoiceInUseOutlivesNewerOnes()
    {
        var memory = new RouteMemory(_folder.File("routes.json"));
        Choice Numbered(string key) => new($"{RouteMemory.Machine()}, {key}", "a network", ComputeType.Float32, Products.Own, "words");
        memory.Keep(Numbered("used"));
        memory.Keep(Numbered("forgotten"));
        for (int i = 0; i < RouteMemory.Most; i++)
        {
            memory.Keep(Numbered($"{i}"));
            Assert.NotNull(memory.Find(Numbered("used").Key));
        }

        Assert.Null(memory.Find(Numbered("forgotten").Key));
        Assert.Equal(RouteMemory.Most, memory.OfThisMachine().Count);
    }

    /// <summary>Of two that write at the same moment one may be lost; the file is whole at every moment.</summary>
    [Fact]
    public async Task TwoProgramsDoNotDamageTheFile()
    {
        RouteMemory[] memories = [new(_folder.File("routes.json")), new(_folder.File("routes.json"))];
        Choice Numbered(int i) => new($"{RouteMemory.Machine()}, {i}", "a network", ComputeType.Float32, Products.Own, "words");
        memories[0].Keep(Numbered(0));
        await Task.WhenAll(memories.Select((memory, m) => Task.Run(() =>
        {
            for (int i = 0; i < 25; i++)
            {
                memory.Keep(Numbered((2 * i) + m));
                using JsonDocument whole = JsonDocument.Parse(File.ReadAllBytes(memory.Path));
                Assert.NotEqual(0, whole.RootElement.GetArrayLength());
            }
        })));
        Assert.Equal("routes.json", Path.GetFileName(Assert.Single(Directory.GetFiles(_folder.Path))));
    }

    [Fact]
    public void AModelTellsItsPrecision()
    {
        using var tiny = new TinyModel();
        using DinoModel exact = DinoModel.Load(tiny.Path), reduced = DinoModel.Load(tiny.Path, new DinoModelOptions { Compute = ComputeType.BFloat16 });
        Assert.Equal((ComputeType.Float32, ComputeType.BFloat16), (exact.Compute, reduced.Compute));
        float[] a = exact.Embed(TinyModel.Picture()), b = reduced.Embed(TinyModel.Picture());
        Assert.NotEqual(a, b);
        Assert.InRange(a.Zip(b, (x, y) => x * y).Sum(), FeatureError.CosineLimit, 1.0001);
    }

    private static void RequireKernels(ComputeType type, bool wide)
    {
        bool supported = wide
            ? Lanes512.IsSupported && (type == ComputeType.Int8 ? DotTile<Lanes512, Vector512<float>>.SupportsBytes : DotTile<Lanes512, Vector512<float>>.SupportsHalves)
            : Lanes256.IsSupported && DotTile<Lanes256, Vector256<float>>.SupportsBytes;
        Assert.SkipUnless(supported, $"this processor or system has no {type} kernels on {(wide ? 512 : 256)} bits");
    }

    private static VisionTransformer Network(VisionTransformerConfig config, Generator random)
    {
        var network = new VisionTransformer(config);
        network.Initialize(random);
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in network.named_parameters())
        {
            if (name.EndsWith(".gamma", StringComparison.Ordinal)) parameter.uniform_(0.1, 0.5, random);
            else if (name.EndsWith(".bias", StringComparison.Ordinal)) parameter.normal_(0, 0.1, random);
            else if (parameter.dim() == 2) parameter.normal_(0, 1 / Math.Sqrt(parameter.shape[1]), random);
        }

        return network;
    }
}
