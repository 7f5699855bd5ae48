using DinoSharp.Backbones;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Tests.Golden;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests;

public sealed class DinoModelTests(TinyModel tiny) : IClassFixture<TinyModel>, IDisposable
{
    // Sums in another order, in float32 over some hundred terms.
    private const float BatchTolerance = 1e-5f;

    private readonly DinoModel _model = DinoModel.Load(tiny.Path);

    public void Dispose() => _model.Dispose();

    [Fact]
    public void TheWeightsAreThoseOfTheFile()
    {
        using Backbone expected = Backbone.Create(TinyModel.Config);
        expected.Initialize(new Generator(5));
        Assert.Equal(TinyModel.Config.Width, _model.Backbone.Config.EmbedDim);
        foreach (((string name, Tensor a), (_, Tensor b)) in expected.state_dict().Zip(_model.Backbone.state_dict().Select(p => (p.Key, p.Value)), (x, y) => ((x.Key, x.Value), y)))
            Assert.True(a.equal(b).all().item<bool>(), name);
    }

    [Theory]
    [InlineData(Pooling.ClassToken, 48)]
    [InlineData(Pooling.PatchMean, 48)]
    [InlineData(Pooling.GeM, 48)]
    [InlineData(Pooling.ClassTokenAndPatchMean, 96)]
    public void AnEmbeddingIsThePoolOfTheFeaturesAndHasUnitLength(Pooling pooling, int length)
    {
        ImageBuffer picture = TinyModel.Picture();
        float[] embedding = _model.Embed(picture, new EmbedOptions { Pooling = pooling, ImageSizePixels = 64 });
        using ImageFeatures features = _model.Extract(picture, new ExtractOptions { ImageSizePixels = 64, Square = true });
        Assert.Equal(length, embedding.Length);
        Assert.Equal(1, embedding.Sum(v => v * v), 1e-5f);
        Assert.Equal(features.Pool(pooling), embedding);

        float[] raw = _model.Embed(picture, new EmbedOptions { Pooling = pooling, ImageSizePixels = 64, UnitLength = false });
        float norm = MathF.Sqrt(raw.Sum(v => v * v));
        Assert.NotEqual(1, norm, 1e-2f);
        Assert.All(raw.Zip(embedding), pair => Assert.Equal(pair.First / norm, pair.Second, 1e-6f));
        if (pooling == Pooling.ClassToken) Assert.Equal(features.ClassToken(), raw);
        if (pooling == Pooling.PatchMean) Assert.Equal(features.PatchMap().Values.ToArray().Chunk(48).Average(patch => (double)patch[7]), raw[7], 1e-5);
    }

    [Fact]
    public void WeightsThatGiveNoNumbersAreSaidWhateverIsAsked()
    {
        string path = tiny.File("damaged.safetensors");
        using (var scope = NewDisposeScope())
        {
            using Backbone backbone = Backbone.Create(TinyModel.Config);
            backbone.Initialize(new Generator(5));
            Dictionary<string, Tensor> state = backbone.state_dict();
            using (no_grad()) state["blocks.1.norm1.bias"].fill_(float.NaN);
            SafetensorsWriter.Write(path, state);
        }

        using DinoModel model = DinoModel.Load(path);
        ImageBuffer picture = TinyModel.Picture();
        Assert.All(
            (Action[])[() => model.Embed(picture), () => model.Extract(picture, new() { ImageSizePixels = 48 }), () => model.Extract(picture, new() { ImageSizePixels = 96, TileSizePixels = 48 }), () => model.Attention(picture, -1, new() { ImageSizePixels = 48 })],
            ask => Assert.Contains("not finite", Assert.Throws<DinoSharpException>(ask).Message));
    }

    [Fact]
    public void FeaturesAreThoseOfTheBackboneInTheLayersAskedFor()
    {
        using ImageFeatures features = _model.Extract(TinyModel.Picture(), new ExtractOptions { ImageSizePixels = 48, Layers = [-1, 0] });
        Assert.Equal([0, 2], features.Layers.Select(layer => layer.Layer));
        Assert.Equal((3, 5, 48, 80), (features.GridHeight, features.GridWidth, features.InputHeight, features.InputWidth));
        Assert.Equal((3, 5, 48), (features.PatchMap(0).Height, features.PatchMap(-3).Width, features.PatchMap(2).Dim));
        Assert.Equal(4, features.Registers().Length);
        Assert.All(features.Registers(), register => Assert.Equal(48, register.Length));
        Assert.NotEqual(features.ClassToken(0), features.ClassToken(2));
        Assert.Contains("layer 1 was not extracted; there is 0, 2", Assert.Throws<DinoSharpException>(() => features.PatchMap(1)).Message);
        Assert.Contains("layer 3 does not exist", Assert.Throws<DinoSharpException>(() => _model.Extract(TinyModel.Picture(), new ExtractOptions { Layers = [3] })).Message);
    }

    [Fact]
    public void TheFinalNormCanBeLeftOut()
    {
        using ImageFeatures normal = _model.Extract(TinyModel.Picture(), new ExtractOptions { ImageSizePixels = 48 });
        using ImageFeatures raw = _model.Extract(TinyModel.Picture(), new ExtractOptions { ImageSizePixels = 48, Normalize = false });
        Assert.NotEqual(normal.ClassToken(), raw.ClassToken());
        Assert.Equal(0, normal.ClassToken().Average(), 1e-3f); // a fresh layer norm has no bias
    }

    [Fact]
    public void PathStreamBytesAndPixelsGiveTheSame()
    {
        string path = tiny.Draw("same.png");
        float[] expected = _model.Embed(path);
        using FileStream stream = File.OpenRead(path);
        Assert.Equal(expected, _model.Embed(ImageSource.FromStream(stream)));
        Assert.Equal(expected, _model.Embed(ImageSource.FromBytes(File.ReadAllBytes(path))));
        Assert.Equal(expected, _model.Embed(ImageFile.Read(path)));
        using ImageTensor input = _model.Preprocessing.Load(path);
        Assert.Equal(expected, _model.Embed(input));
        using ImageFeatures features = _model.Extract(input);
        Assert.Equal(expected, features.Pool());
    }

    [Fact]
    public void APictureNormalisedForOtherWeightsIsRefused()
    {
        using ImageTensor input = (_model.Preprocessing with { Normalization = Normalization.Sat }).Apply(TinyModel.Picture());
        Assert.Contains("SAT", Assert.Throws<DinoSharpException>(() => _model.Embed(input)).Message);
        Assert.Contains("SAT", Assert.Throws<DinoSharpException>(() => _model.Extract(input)).Message);
    }

    [Fact]
    public void EveryRunGivesTheSameBits()
    {
        ImageBuffer picture = TinyModel.Picture(300, 200);
        float[] first = _model.Embed(picture);
        using DinoModel again = DinoModel.Load(tiny.Path);
        for (int i = 0; i < 3; i++) Assert.Equal(first, (i == 0 ? again : _model).Embed(picture));
        var dense = new ExtractOptions { ImageSizePixels = 96 };
        using ImageFeatures a = _model.Extract(picture, dense), b = again.Extract(picture, dense);
        Assert.Equal(a.PatchMap().Values.ToArray(), b.PatchMap().Values.ToArray());
    }

    [Fact]
    public void EightThreadsGetTheSameBitsAsOne()
    {
        ImageBuffer[] pictures = [.. Enumerable.Range(0, 8).Select(i => TinyModel.Picture(100 + (16 * i), 90, i))];
        float[][] alone = [.. pictures.Select(picture => _model.Embed(picture))];
        using var start = new Barrier(8);
        float[][][] together = new float[8][][];
        Thread[] threads = [.. Enumerable.Range(0, 8).Select(t => new Thread(() =>
        {
            start.SignalAndWait();
            together[t] = [.. pictures.Select((_, i) => _model.Embed(pictures[(i + t) % 8]))];
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        for (int t = 0; t < 8; t++)
        {
            for (int i = 0; i < 8; i++) Assert.Equal(alone[(i + t) % 8], together[t][i]);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(100)]
    public void ManyPicturesComeInOrderAndBrokenOnesAsErrors(int batch)
    {
        string[] paths = [.. Enumerable.Range(0, 7).Select(i => tiny.Draw($"many{i}.png", seed: i))];
        File.WriteAllText(tiny.File("broken.jpg"), "not a picture");
        ImageSource[] sources = [paths[0], tiny.File("broken.jpg"), .. paths[1..4].Select(ImageSource.FromPath), tiny.File("absent.png"), .. paths[4..].Select(ImageSource.FromPath)];
        ImageEmbedding[] results = [.. _model.Embed(sources, new EmbedOptions { BatchSize = batch })];
        Assert.Equal(sources.Select(source => source.Name), results.Select(result => result.Name));
        Assert.Equal([1, 5], results.Select((r, i) => (r, i)).Where(x => x.r.Error is not null).Select(x => x.i));
        Assert.Contains("no such file", results[5].Error!.Message);
        foreach (ImageEmbedding result in results.Where(result => result.Error is null))
        {
            float[] alone = _model.Embed(result.Name);
            if (batch == 1) Assert.Equal(alone, result.Vector);
            else Assert.All(alone.Zip(result.Vector!), pair => Assert.Equal(pair.First, pair.Second, BatchTolerance));
        }
    }

    [Fact]
    public void ManyPicturesAreReadOnlyAsFarAsTheyAreTaken()
    {
        string path = tiny.Draw("endless.png");
        int read = 0;
        Assert.Equal(5, _model.Embed(Endless(), new EmbedOptions { BatchSize = 2 }).Take(5).Count());
        Assert.InRange(read, 6, 10);

        IEnumerable<ImageSource> Endless()
        {
            while (true)
            {
                read++;
                yield return path;
            }
        }
    }

    [Fact]
    public void CancellationStopsEveryCall()
    {
        string path = tiny.Draw("cancel.png");
        using var stop = new CancellationTokenSource();
        int seen = 0;
        Assert.ThrowsAny<OperationCanceledException>(() =>
        {
            foreach (ImageEmbedding _ in _model.Embed(Enumerable.Repeat((ImageSource)path, 50), new EmbedOptions { BatchSize = 2 }, stop.Token))
            {
                if (++seen == 4) stop.Cancel();
            }
        });
        Assert.InRange(seen, 4, 6);
        Assert.ThrowsAny<OperationCanceledException>(() => _model.Embed(path, cancel: stop.Token));
        Assert.ThrowsAny<OperationCanceledException>(() => _model.Extract(path, cancel: stop.Token));
        Assert.ThrowsAny<OperationCanceledException>(() => _model.Attention(path, cancel: stop.Token));
        Assert.ThrowsAny<OperationCanceledException>(() => DinoModel.Load(tiny.Path, cancel: stop.Token));
    }

    [Fact]
    public void AttentionIsAShareForEveryHeadAndPatch()
    {
        HeatMap[] heads = _model.Attention(TinyModel.Picture(), layer: -2, new ExtractOptions { ImageSizePixels = 64 });
        Assert.Equal(3, heads.Length);
        Assert.All(heads, head => Assert.Equal((4, 6), (head.Height, head.Width)));
        Assert.All(heads, head => Assert.InRange(head.Values.ToArray().Sum(), 0.1f, 1));
        Assert.All(heads.SelectMany(head => head.Values.ToArray()), share => Assert.InRange(share, 0, 1));
        Assert.Equal(heads.Average(head => head[1, 2]), HeatMap.Mean(heads)[1, 2], 1e-6f);

        using DinoModel convNeXt = DinoModel.Load("random:convnext-tiny");
        Assert.Contains("no attention", Assert.Throws<DinoSharpException>(() => convNeXt.Attention(TinyModel.Picture())).Message);
    }

    [Theory]
    [InlineData("ckpt_vit.hf")]
    [InlineData("ckpt_vit.weights.safetensors")]
    [InlineData("ckpt_vit.pth/official_zip.pth")]
    [InlineData("ckpt_vit.pth/official_legacy.pth")]
    [InlineData("ckpt_vit.pth/teacher_checkpoint.pth")]
    [InlineData("ckpt_vit.pth/model_module_backbone.pth")]
    [InlineData("ckpt_vit_swiglu.hf")]
    [InlineData("ckpt_vit_7b_like.hf")]
    [InlineData("ckpt_convnext.hf")]
    [InlineData("ckpt_convnext.pth")]
    public void EveryFormatOfTheGoldenWeightsGivesTheGoldenNumbers(string weights)
    {
        string name = weights.Split('.')[0];
        string fixtures = Path.Combine(Repository.Fixtures, "golden"), folder = Path.Exists(Path.Combine(fixtures, weights)) ? fixtures : Repository.Shared("golden");
        string path = Path.Combine(folder, weights);
        if (Directory.Exists(path) && weights.EndsWith(".pth", StringComparison.Ordinal)) path = Directory.GetFiles(path, "official_zip.pth").Single();
        var entry = new GoldenEntry(folder, name, "", name + ".json");
        using var golden = new GoldenCase(entry);
        using DinoModel model = DinoModel.Load(path);
        foreach (GoldenCall call in golden.Calls.Where(call => call.Id == "fwd"))
        {
            using var scope = NewDisposeScope();
            using var quiet = no_grad();
            BackboneOutput output = model.Backbone.ForwardFeatures(call.Input("x")!);
            call.Check("x_norm_clstoken", output.ClassToken);
            call.Check("x_norm_patchtokens", output.Patches);
            Assert.NotEmpty(call.Comparisons);
            Assert.All(call.Comparisons, comparison => Assert.True(comparison.Problem is null, comparison.ToString()));
        }
    }

    [Theory]
    [InlineData("ckpt_vit.hf", 224)] // its preprocessor_config.json
    [InlineData("ckpt_vit.weights.safetensors", 256)] // the model card
    public void AnEmbeddingIsTheBackbonesOutputForThePreprocessedPicture(string weights, int side)
    {
        using DinoModel model = DinoModel.Load(Repository.Shared("golden/" + weights));
        ImageBuffer picture = TinyModel.Picture(300, 200);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor input = model.Preprocessing.Apply(picture);
        Assert.Equal([3, side, side], input.Tensor.shape);
        Tensor expected = nn.functional.normalize(model.Backbone.forward(input.Tensor.unsqueeze(0))).squeeze(0);
        Assert.Equal(expected.data<float>().ToArray(), model.Embed(picture));
    }

    [Fact]
    public void TheWholePictureIsSeen()
    {
        // A single bright patch is the most unlike its surroundings exactly where it is.
        byte[] pixels = new byte[160 * 96 * 3];
        for (int y = 64; y < 80; y++) Array.Fill(pixels, byte.MaxValue, ((y * 160) + 112) * 3, 16 * 3);
        using ImageFeatures features = _model.Extract(ImageBuffer.FromSamples<byte>(160, 96, 3, pixels), new ExtractOptions { ImageSizePixels = null });
        Assert.Equal((6, 10), (features.GridHeight, features.GridWidth));
        Assert.Equal((4, 7), features.PatchMap().PatchAt(120, 72));
        HeatMap likeTheGround = features.SimilarityTo(0, 0);
        Assert.Equal(likeTheGround.Values.ToArray().Min(), likeTheGround[4, 7]);
    }

    [Fact]
    public void LeaksNothing()
    {
        ImageBuffer picture = TinyModel.Picture();
        string path = tiny.Draw("leak.png");
        var small = new ExtractOptions { ImageSizePixels = 48, Layers = LayerSelection.All };
        LiveTensors.AssertUnchangedBy(() => _model.Embed(picture));
        foreach (Pooling pooling in Enum.GetValues<Pooling>()) LiveTensors.AssertUnchangedBy(() => _model.Embed(path, new EmbedOptions { Pooling = pooling }));
        LiveTensors.AssertUnchangedBy(() => _model.Extract(picture, small).Dispose());
        LiveTensors.AssertUnchangedBy(() => _model.Attention(picture, 0, small));
        LiveTensors.AssertUnchangedBy(() =>
        {
            using ImageFeatures features = _model.Extract(picture, small);
            features.PatchMap(1);
            features.ClassToken();
            features.Registers();
            features.Pool(Pooling.GeM);
            features.SimilarityTo(1, 1).ToImage();
            features.PatchMap().Pca().ToImage();
            PatchMask.Guess([features.PatchMap()]);
        });
        LiveTensors.AssertUnchangedBy(() => DinoModel.Load(tiny.Path).Dispose());
        LiveTensors.AssertUnchangedBy(() => Assert.Throws<DinoSharpException>(() => _model.Extract(picture, new ExtractOptions { Layers = [7] })));
    }
}
