using CsCheck;
using DinoSharp.Backbones;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Features.HighResolution;

public sealed class TiledExtractionTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private const int Patch = 16;

    [Fact]
    public void TilesCoverEveryPixelAndOverlapEnough() =>
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 40], Gen.Int[2, 12], Gen.Int[0, 6]).Sample((h, w, side, overlap) =>
        {
            overlap = Math.Min(overlap, side / 2);
            TileGrid grid = TileGrid.Create(h * Patch, w * Patch, side * Patch, overlap * Patch, Patch);
            return Along(grid.Tops, grid.TileHeight, h * Patch) && Along(grid.Lefts, grid.TileWidth, w * Patch);

            bool Along(int[] starts, int length, int whole) =>
                starts[0] == 0 && starts[^1] + length == whole && starts.All(s => s % Patch == 0)
                && starts.Zip(starts.Skip(1)).All(pair => pair.First < pair.Second && pair.First + length - pair.Second >= overlap * Patch);
        });

    // A network whose patches know nothing of each other must not notice the tiles: here a patch is the mean of its pixels.
    [Fact]
    public void TilesAreSeamlessForANetworkWithoutContext() =>
        Gen.Select(Gen.Int[1, 20], Gen.Int[1, 20], Gen.Int[2, 6], Gen.Int[0, 3], Gen.Int[0, Patch - 1], Gen.Int[0, 1000]).Sample((h, w, side, overlap, more, seed) =>
        {
            using var scope = NewDisposeScope();
            Tensor pixels = rand([1, 3, (h * Patch) + more, (w * Patch) + (more / 2)], generator: new Generator((ulong)seed)); // [1, C, H, W]
            TileGrid grid = TileGrid.Create((int)pixels.shape[2], (int)pixels.shape[3], side * Patch, Math.Min(overlap, side / 2) * Patch, Patch);
            using LayerFeatures whole = Means(pixels), tiled = TiledExtraction.Run(tile => [Means(tile)], pixels, grid, _ => Patch, CancellationToken.None)[0];
            return (tiled.GridHeight, tiled.GridWidth) == (h, w) && (tiled.Patches - whole.Patches).abs().max().item<float>() < 1e-6;
        }, iter: 30);

    // Its blocks leave nearly everything as it is, so a stage is a convolution without overlap.
    [Theory]
    [InlineData(0, null, 100, 25, 1e-3)]
    [InlineData(1, null, 120, 15, 1e-3)]
    [InlineData(0, 16, 112, 7, 0.5)] // reducing to the grid of patches blends a little beyond their edges
    [InlineData(3, 16, 112, 7, 1.2)] // a tile sees two pixels of the deepest map, the picture three
    public void TilesOfAConvolutionalNetworkEndAtTheEdge(int layer, int? patch, int side, int rows, double limit)
    {
        var config = new ConvNeXtConfig { Depths = (1, 1, 1, 1), Dims = (8, 8, 8, 8), PatchSize = patch };
        using var network = new ConvNeXt(config);
        network.Initialize(new Generator(3));
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor pixels = randn([1, 3, side, side], generator: new Generator(4));
        var options = new ExtractOptions { Layers = LayerSelection.Create([layer]), TileSizePixels = 64 };
        ExtractionPlanner.Plan(network, 0, 0, side, side, options, out TileGrid? grid);
        using LayerFeatures whole = network.GetLayers(pixels, options.Layers)[0], tiled = TiledExtraction.Run(tile => network.GetLayers(tile, options.Layers), pixels, grid!, config.LayerStride, CancellationToken.None)[0];
        Assert.Equal((rows, rows), (tiled.GridHeight, tiled.GridWidth));
        Assert.InRange((tiled.Patches - whole.Patches).norm().item<float>() / whole.Patches.norm().item<float>(), 0, limit);
    }

    [Fact]
    public void BlendingFadesFromOneTileToTheNext()
    {
        using var scope = NewDisposeScope();
        int tiles = 0;
        Tensor pixels = zeros(1, 3, 4 * Patch, 12 * Patch);
        TileGrid grid = TileGrid.Create(4 * Patch, 12 * Patch, 8 * Patch, 4 * Patch, Patch);
        Assert.Equal([0, 4 * Patch], grid.Lefts);

        // The first tile says 0 everywhere, the second 1.
        using LayerFeatures blended = TiledExtraction.Run(tile => [Constant(tile, tiles++)], pixels, grid, _ => Patch, CancellationToken.None)[0];
        float[] row = [.. blended.Patches.reshape(4, 12, 2)[1].select(1, 0).contiguous().data<float>()];
        Assert.Equal([0, 0, 0, 0, 0.125f, 0.375f, 0.625f, 0.875f, 1, 1, 1, 1], row);
        Assert.Equal(0.5, blended.ClassToken[0, 0].item<float>(), 6);
    }

    [Fact]
    public void OneTileIsTheWholePictureBitForBit()
    {
        using DinoModel model = DinoModel.Load(tiny.Path);
        ImageBuffer picture = TinyModel.Picture(320, 192);
        using ImageFeatures whole = model.Extract(picture, new() { ImageSizePixels = 192 }), tiled = model.Extract(picture, new() { ImageSizePixels = 192, TileSizePixels = 320 });
        Assert.Equal(whole.PatchMap().Values.ToArray(), tiled.PatchMap().Values.ToArray());
    }

    [Fact]
    public void TilesResembleTheWholePictureAndLeaveNoTensors()
    {
        using DinoModel model = DinoModel.Load(tiny.Path);
        ImageBuffer picture = TinyModel.Picture(320, 192);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using ImageFeatures whole = model.Extract(picture, new() { ImageSizePixels = 192 }), tiled = model.Extract(picture, new() { ImageSizePixels = 192, TileSizePixels = 96 });
            Assert.Equal((whole.GridHeight, whole.GridWidth, whole.Geometry), (tiled.GridHeight, tiled.GridWidth, tiled.Geometry));
            double cosine = Enumerable.Range(0, whole.GridHeight).SelectMany(r => Enumerable.Range(0, whole.GridWidth).Select(c => Cosine(whole.PatchMap()[r, c], tiled.PatchMap()[r, c]))).Average();
            Assert.InRange(cosine, 0.5, 0.99999); // alike, but not the same: context is missing
        });
    }

    [Fact]
    public void TheCeilingDecidesBetweenWholeAndTiles()
    {
        using DinoModel model = DinoModel.Load("random:vits16");
        var options = new ExtractOptions { ImageSizePixels = 4096 };
        ExtractionPlan whole = model.Plan(4096, 4096, options);
        Assert.False(whole.IsTiled);
        Assert.False(model.Plan(4096, 4096, options with { MaxMemoryBytes = whole.PeakBytes }).IsTiled);
        long limit = whole.PeakBytes - (256 << 20);
        ExtractionPlan tiled = model.Plan(4096, 4096, options with { MaxMemoryBytes = limit });
        Assert.True(tiled.IsTiled);
        Assert.InRange(tiled.PeakBytes, 0, limit);
        Assert.Equal(whole.PeakBytes, tiled.WholePeakBytes);
        Assert.Contains("tiles", tiled.ToString(), StringComparison.Ordinal);
        Assert.Contains("the limit is 10 MB", Assert.Throws<DinoSharpException>(() => model.Plan(4096, 4096, options with { MaxMemoryBytes = 10 << 20 })).Message, StringComparison.Ordinal);
        Assert.Contains("multiple of 16", Assert.Throws<DinoSharpException>(() => model.Plan(4096, 4096, options with { TileSizePixels = 500 })).Message, StringComparison.Ordinal);
        Assert.Contains("cannot overlap", Assert.Throws<DinoSharpException>(() => model.Plan(4096, 4096, options with { TileSizePixels = 512, TileOverlapPixels = 400 })).Message, StringComparison.Ordinal);
    }

    private static LayerFeatures Means(Tensor pixels)
    {
        Tensor map = nn.functional.avg_pool2d(pixels, Patch); // [1, C, h, w]
        return new LayerFeatures(0, map.mean([2, 3]), map.flatten(2).transpose(1, 2).narrow(1, 0, 1), map.flatten(2).transpose(1, 2), (int)map.shape[2], (int)map.shape[3]);
    }

    private static LayerFeatures Constant(Tensor tile, float value)
    {
        (int h, int w) = ((int)tile.shape[2] / Patch, (int)tile.shape[3] / Patch);
        return new LayerFeatures(0, full([1, 2], value), zeros(1, 0, 2), full([1, h * w, 2], value), h, w);
    }

    private static double Cosine(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double ab = 0, aa = 0, bb = 0;
        for (int i = 0; i < a.Length; i++) (ab, aa, bb) = (ab + (a[i] * b[i]), aa + (a[i] * a[i]), bb + (b[i] * b[i]));
        return ab / Math.Sqrt(aa * bb);
    }
}
