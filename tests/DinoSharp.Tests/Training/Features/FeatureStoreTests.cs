using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Images;
using DinoSharp.Training.Features;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Features;

public sealed class FeatureStoreTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private static HeadInput Input(int size = 64) => new() { Layers = [1, 2], Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(size), PatchSizePixels = 1 }, Fit = ImageFit.CenterPadding };

    [Fact]
    public void ASecondRunDoesNotTouchTheBackbone()
    {
        string[] paths = [tiny.Draw("store/a.png", seed: 1), tiny.Draw("store/b.png", 90, 120, seed: 2), tiny.Draw("store/c.png", seed: 3)];
        using DinoModel model = DinoModel.Load(tiny.Path);
        var first = new FeatureStore(model, Input(), FeatureKind.Dense, tiny.File("cache1"));
        Assert.Empty(first.Prepare(paths).Errors);
        Assert.Equal(3, first.Computed);

        // By content, not by name.
        File.Move(paths[2], tiny.File("store/renamed.png"));
        paths[2] = tiny.File("store/renamed.png");
        var second = new FeatureStore(model, Input(), FeatureKind.Dense, tiny.File("cache1"));
        second.Prepare(paths);
        Assert.Equal(0, second.Computed);

        // Another picture under an old name, another size and another kind are computed.
        tiny.Draw("store/a.png", seed: 9);
        second.Prepare(paths);
        Assert.Equal(1, second.Computed);
        var larger = new FeatureStore(model, Input(80), FeatureKind.Dense, tiny.File("cache1"));
        larger.Prepare(paths);
        Assert.Equal(3, larger.Computed);
        var pooled = new FeatureStore(model, Input(), FeatureKind.Pooled, tiny.File("cache1"));
        pooled.Prepare(paths);
        Assert.Equal(3, pooled.Computed);
    }

    [Fact]
    public void FeaturesAreThoseOfTheBackbone()
    {
        string path = tiny.Draw("same/a.png", 100, 70);
        using DinoModel model = DinoModel.Load(tiny.Path);
        HeadInput input = Input();
        using var scope = NewDisposeScope();
        using var quiet = no_grad(); // as everywhere in inference; with gradients libtorch computes, whose last bits differ
        using ImageTensor pixels = input.Preprocessing.Load(path);
        HeadFeatures direct = HeadFeatures.Compute(model.Backbone, pixels.Tensor.unsqueeze(0), input, input.Layers);
        foreach (FeatureKind kind in Enum.GetValues<FeatureKind>())
        {
            var store = new FeatureStore(model, input, kind, tiny.File("cache2"));
            using StoredFeatures stored = store.Load(store.Prepare([path]).Images[0]!);
            HeadFeatures features = stored.ToHeadFeatures(input.Fit);
            Assert.Equal(direct.Images.shape, features.Images.shape);
            Assert.Equal((direct.Height, direct.Width), (features.Height, features.Width));
            Assert.Equal(pixels.Geometry, stored.Geometry);
            for (int i = 0; i < 2; i++)
            {
                (LayerFeatures a, LayerFeatures b) = (direct.Layers[i], features.Layers[i]);
                Assert.Equal(a.Layer, b.Layer);
                Assert.Equal(a.ClassToken.data<float>().ToArray(), b.ClassToken.data<float>().ToArray());
                Tensor patches = kind == FeatureKind.Pooled ? a.Patches.mean([1], keepdim: true) : a.Patches; // [1, P, D]
                double scale = patches.abs().max().item<float>(), limit = kind == FeatureKind.Pooled ? 0 : scale / 2048; // float16 has 11 bits
                Assert.InRange((patches - b.Patches).abs().max().item<float>(), 0, limit);
            }
        }
    }

    [Fact]
    public void DamagedEntriesAreComputedAgainAndUnreadablePicturesReported()
    {
        string path = tiny.Draw("damage/a.png", seed: 4);
        File.WriteAllText(tiny.File("damage/b.png"), "no picture");
        using DinoModel model = DinoModel.Load(tiny.Path);
        var store = new FeatureStore(model, Input(), FeatureKind.Pooled, tiny.File("cache3"));
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> errors) = store.Prepare([path, tiny.File("damage/b.png"), tiny.File("damage/none.png")]);
        Assert.Equal([false, true, true], images.Select(i => i is null));
        Assert.Equal(2, errors.Count);
        string entry = Directory.EnumerateFiles(store.Folder, "*.2", SearchOption.AllDirectories).Single();
        byte[] bytes = File.ReadAllBytes(entry);
        bytes[^5] ^= 0x10;
        File.WriteAllBytes(entry, bytes);
        var again = new FeatureStore(model, Input(), FeatureKind.Pooled, tiny.File("cache3"));
        again.Prepare([path]);
        Assert.Equal(1, again.Computed);
        File.WriteAllBytes(entry, bytes.AsSpan(0, 40).ToArray());
        again.Prepare([path]);
        Assert.Equal(2, again.Computed);
        Assert.Empty(Directory.EnumerateFiles(store.Folder, "*.tmp", SearchOption.AllDirectories));
    }

    [Fact]
    public void NothingLeaks()
    {
        string[] paths = [tiny.Draw("leak/a.png", seed: 5), tiny.Draw("leak/b.png", 90, 90, seed: 6)];
        using DinoModel model = DinoModel.Load(tiny.Path);
        int run = 0;
        LiveTensors.AssertUnchangedBy(() =>
        {
            var store = new FeatureStore(model, Input(), FeatureKind.Dense, tiny.File($"cache-leak-{run++ / 2}"));
            foreach (StoredImage? image in store.Prepare(paths).Images) store.Load(image!).Dispose();
        });
    }
}
