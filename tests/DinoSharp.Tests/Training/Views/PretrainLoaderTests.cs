using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Views;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Views;

public sealed class PretrainLoaderTests
{
    private static readonly ViewOptions Views = new() { GlobalSizePixels = 32, LocalSizePixels = 16, LocalCrops = 3, GramSizePixels = 48, GramWithoutDistortions = true };
    private static readonly LoaderOptions Options = new() { BatchSize = 4, Seed = 5, Workers = 2 };

    [Theory]
    [InlineData(SamplerKind.Infinite, 1)]
    [InlineData(SamplerKind.ShardedInfinite, 2)]
    public void BatchesDoNotDependOnTheNumberOfWorkers(SamplerKind sampler, int prefetch)
    {
        LoaderOptions options = Options with { Sampler = sampler, PrefetchBatches = prefetch };
        string[] one = Fingerprints(Pictures(), options with { Workers = 1 }, 5), two = Fingerprints(Pictures(), options with { Workers = 2 }, 5), eight = Fingerprints(Pictures(), options with { Workers = 8 }, 5);
        Assert.Equal(one, two);
        Assert.Equal(one, eight);
        Assert.Equal(5, one.Distinct().Count());
        Assert.NotEqual(one[0], Fingerprints(Pictures(), options with { Seed = 6 }, 1)[0]);
    }

    [Fact]
    public void ResumingGivesTheBatchesOfAnUninterruptedRun()
    {
        (ViewOptions, double)[] resolutions = [(Views, 2), (Views with { GlobalSizePixels = 48 }, 1)];
        ImageDataset data = new MixedDataset([(Pictures(), 0.7), (Pictures(seed: 9), 0.3)]);
        string[] whole = Fingerprints(data, resolutions, Options, 9);
        foreach (int step in (int[])[1, 4, 7]) Assert.Equal(whole[step..], Fingerprints(data, resolutions, Options with { StartStep = step }, 9 - step));
    }

    [Fact]
    public void RanksSeeDifferentImagesAndTheSameResolution()
    {
        (ViewOptions, double)[] resolutions = [(Views, 1), (Views with { GlobalSizePixels = 48 }, 1)];
        using var a = new PretrainLoader(Pictures(), resolutions, new MaskOptions(), Options with { WorldSize = 2 });
        using var b = new PretrainLoader(Pictures(), resolutions, new MaskOptions(), Options with { WorldSize = 2, Rank = 1 });
        var sizes = new HashSet<long>();
        for (int i = 0; i < 8; i++)
        {
            using PretrainBatch left = a.Next(), right = b.Next();
            Assert.Equal(left.GlobalCrops.shape, right.GlobalCrops.shape);
            Assert.False(left.GlobalCrops.bytes.SequenceEqual(right.GlobalCrops.bytes));
            sizes.Add(left.GlobalCrops.shape[2]);
        }

        Assert.Equal(2, sizes.Count);
    }

    [Fact]
    public void ABatchHasTheShapesItSays()
    {
        using var loader = new PretrainLoader(Pictures(), Views, new MaskOptions(), Options);
        using PretrainBatch batch = loader.Next();
        Assert.Equal([8, 3, 32, 32], batch.GlobalCrops.shape);
        Assert.Equal([12, 3, 16, 16], batch.LocalCrops.shape);
        Assert.Equal([8, 3, 48, 48], batch.GramCrops!.shape);
        Assert.Equal([8, 4], batch.Masks.shape);
        Assert.Equal(batch.Masks.sum().item<long>(), batch.MaskedIndices.shape[0]);
        Assert.Equal((4, 3, 1L), (batch.Images, batch.LocalCropsPerImage, loader.Step));
        Assert.InRange(batch.GlobalCrops.std().item<float>(), 0.3f, 3);
    }

    [Fact]
    public void CropsAreStoredCropMajor()
    {
        // One image with one flat colour each: the crops of a sample show its colour, crop after crop.
        var data = new Flat([10, 80, 150, 220]);
        var plain = new DistortionOptions { JitterProbability = 0, GrayscaleProbability = 0, SolarizeProbability = 0 };
        ViewOptions views = Views with { Distortions = plain, Normalization = new Normalization("test", [0, 0, 0], [1, 1, 1]) };
        using var loader = new PretrainLoader(data, views, new MaskOptions(), Options with { Shuffle = false });
        using PretrainBatch batch = loader.Next();
        foreach (Tensor crops in (Tensor[])[batch.GlobalCrops, batch.LocalCrops, batch.GramCrops!])
        {
            for (int i = 0; i < crops.shape[0]; i++) Assert.Equal(data.Tones[i % 4], (int)MathF.Round(crops[i].mean().item<float>() * 255));
        }
    }

    [Fact]
    public void UnreadableImagesAreReplacedCountedAndNamed()
    {
        string[] one = Fingerprints(new Broken(Pictures()), Options with { Workers = 1 }, 4);
        Assert.Equal(one, Fingerprints(new Broken(Pictures()), Options with { Workers = 4 }, 4));
        using var loader = new PretrainLoader(new Broken(Pictures()), Views, new MaskOptions(), Options);
        for (int i = 0; i < 6; i++) loader.Next().Dispose();
        LoaderReport report = loader.Report();
        Assert.Equal((6L, 24L), (report.Batches, report.Images));
        Assert.True(report.Unreadable > 3);
        Assert.Contains("is torn", report.Problems[0]);
        Assert.InRange(report.WaitedShare, 0, 1);
    }

    [Fact]
    public void NothingButUnreadableImagesIsAnErrorThatNamesOne()
    {
        using var loader = new PretrainLoader(new Broken(Pictures(), all: true), Views, new MaskOptions(), Options);
        string message = Assert.Throws<DinoSharpException>(() => loader.Next()).Message;
        Assert.Contains("none of 30 images of noise 0 could be read", message);
        Assert.Contains("is torn", message);
    }

    [Fact]
    public void OneReadableImageAmongManyIsEnough()
    {
        ImageDataset data = new MixedDataset([(new Broken(new Many(Pictures(), 3000), readable: 1234), 0.5), (Pictures(seed: 9), 0.5)]);
        string[] one = Fingerprints(data, Options with { Workers = 1 }, 3);
        Assert.Equal(one, Fingerprints(data, Options with { Workers = 3 }, 3));
    }

    [Fact]
    public void AFaultOfOursSaysItsCause()
    {
        using var loader = new PretrainLoader(new Faulty(Pictures()), Views, new MaskOptions(), Options);
        Assert.Contains("index 3 is out", Assert.Throws<InvalidOperationException>(() => loader.Next()).Message);
    }

    [Fact]
    public void MemoryIsBoundedAndFreed()
    {
        var counted = new Counted(Pictures());
        using (var loader = new PretrainLoader(counted, Views, new MaskOptions(), Options with { PrefetchBatches = 2, Workers = 3 }))
        {
            loader.Next().Dispose();
            Thread.Sleep(300);
            Assert.InRange(counted.Reads, 4, 4 * 4); // one taken, two ready, one being filled
        }

        LiveTensors.AssertUnchangedBy(() =>
        {
            using var loader = new PretrainLoader(Pictures(), Views, new MaskOptions(), Options);
            for (int i = 0; i < 3; i++) loader.Next().Dispose();
        });
        using var scope = NewDisposeScope();
        LiveTensors.AssertUnchangedBy(() =>
        {
            using var loader = new PretrainLoader(Pictures(), Views, new MaskOptions(), Options);
            for (int i = 0; i < 3; i++) loader.Next().Dispose();
        });
    }

    [Fact]
    public void WaitingCanBeCancelled()
    {
        using var loader = new PretrainLoader(new Slow(Pictures()), Views, new MaskOptions(), Options);
        using var cancel = new CancellationTokenSource(50);
        Assert.ThrowsAny<OperationCanceledException>(() => loader.Next(cancel.Token));
    }

    [Fact]
    public void ImpossibleOptionsAreNamed()
    {
        Assert.Contains("BatchSize", Assert.Throws<DinoSharpException>(() => new PretrainLoader(Pictures(), Views, new MaskOptions(), Options with { BatchSize = 0 })).Message);
        Assert.Contains("Rank", Assert.Throws<DinoSharpException>(() => new PretrainLoader(Pictures(), Views, new MaskOptions(), Options with { Rank = 2 })).Message);
    }

    private static Noise Pictures(ulong seed = 0) => new(seed);

    private static string[] Fingerprints(ImageDataset data, LoaderOptions options, int batches) => Fingerprints(data, [(Views, 1)], options, batches);

    private static string[] Fingerprints(ImageDataset data, (ViewOptions, double)[] resolutions, LoaderOptions options, int batches)
    {
        using var loader = new PretrainLoader(data, resolutions, new MaskOptions(), options);
        return [.. Enumerable.Range(0, batches).Select(_ =>
        {
            using PretrainBatch batch = loader.Next();
            using var hash = System.Security.Cryptography.IncrementalHash.CreateHash(System.Security.Cryptography.HashAlgorithmName.SHA256);
            foreach (Tensor tensor in (Tensor[])[batch.GlobalCrops, batch.LocalCrops, batch.GramCrops!, batch.Masks, batch.MaskedIndices, batch.MaskWeights]) hash.AppendData(tensor.bytes);
            return Convert.ToHexString(hash.GetHashAndReset());
        })];
    }

    /// <summary>Pictures of 40 × 36 random pixels.</summary>
    private sealed class Noise(ulong seed) : ImageDataset
    {
        public override string Name => $"noise {seed}";

        public override int Count => 30;

        public override string PathOf(int index) => $"noise {seed}, {index}";

        public override ImageBuffer Read(int index)
        {
            var random = new TorchRandom(TorchRandom.SeedOf(seed, 0, (ulong)index));
            return ImageBuffer.FromSamples<byte>(40, 36, 3, [.. Enumerable.Range(0, 40 * 36 * 3).Select(_ => (byte)random.NextUInt32())]);
        }
    }

    private sealed class Flat(byte[] tones) : ImageDataset
    {
        public byte[] Tones => tones;

        public override string Name => "flat";

        public override int Count => tones.Length;

        public override string PathOf(int index) => $"tone {tones[index]}";

        public override ImageBuffer Read(int index) => ImageBuffer.FromSamples<byte>(50, 40, 3, [.. Enumerable.Repeat(tones[index], 6000)]);
    }

    private sealed class Many(ImageDataset inner, int count) : ImageDataset
    {
        public override string Name => inner.Name;

        public override int Count => count;

        public override string PathOf(int index) => inner.PathOf(index);

        public override ImageBuffer Read(int index) => inner.Read(index);
    }

    private sealed class Faulty(ImageDataset inner) : ImageDataset
    {
        public override string Name => inner.Name;

        public override int Count => inner.Count;

        public override string PathOf(int index) => inner.PathOf(index);

        public override ImageBuffer Read(int index) => throw new NotSupportedException("index 3 is out");
    }

    private sealed class Broken(ImageDataset inner, bool all = false, int? readable = null) : ImageDataset
    {
        public override string Name => inner.Name;

        public override int Count => inner.Count;

        public override string PathOf(int index) => inner.PathOf(index);

        public override ImageBuffer Read(int index) => all || (readable is int only ? index != only : index % 3 == 0) ? throw new ImageException(PathOf(index), "is torn") : inner.Read(index);
    }

    private sealed class Counted(ImageDataset inner) : ImageDataset
    {
        private int _reads;

        public int Reads => Volatile.Read(ref _reads);

        public override string Name => inner.Name;

        public override int Count => inner.Count;

        public override string PathOf(int index) => inner.PathOf(index);

        public override ImageBuffer Read(int index)
        {
            Interlocked.Increment(ref _reads);
            return inner.Read(index);
        }
    }

    private sealed class Slow(ImageDataset inner) : ImageDataset
    {
        public override string Name => inner.Name;

        public override int Count => inner.Count;

        public override string PathOf(int index) => inner.PathOf(index);

        public override ImageBuffer Read(int index)
        {
            Thread.Sleep(300);
            return inner.Read(index);
        }
    }
}
