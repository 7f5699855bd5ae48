using CsCheck;
using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

/// <summary>Where the answer of a dense head lies on the picture: padding, cut inputs, windows.</summary>
public sealed class DenseGeometryTests
{
    private static readonly Preprocessing Small = new() { Size = SizePolicy.ShorterSide(64), PatchSizePixels = 1 };

    [Fact]
    public void ARegionIsInterpolatedOnce() => Gen.Select(Gen.Int[2, 7], Gen.Int[2, 9], Gen.Int[1, 40], Gen.Int[1, 40], Gen.Double[-0.1, 0.4], Gen.Double[0.6, 1.1]).Sample(
        (h, w, height, width, from, to) =>
        {
            using var scope = NewDisposeScope();
            Tensor map = rand(1, 1, h, w);
            float[] cells = [.. map.data<float>()], found = [.. MapResize.Bilinear(map, new MapRegion(from, from, to, to), height, width).contiguous().data<float>()];
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++) Assert.Equal(At((from + ((to - from) * (x + 0.5) / width)) * w, (from + ((to - from) * (y + 0.5) / height)) * h), found[(y * width) + x], 1e-4);
            }

            double At(double x, double y)
            {
                (x, y) = (Math.Clamp(x - 0.5, 0, w - 1), Math.Clamp(y - 0.5, 0, h - 1));
                (int i, int j) = (Math.Min((int)y, h - 2), Math.Min((int)x, w - 2));
                (double a, double b) = (y - i, x - j);
                return ((1 - a) * (((1 - b) * cells[(i * w) + j]) + (b * cells[(i * w) + j + 1]))) + (a * (((1 - b) * cells[((i + 1) * w) + j]) + (b * cells[((i + 1) * w) + j + 1])));
            }
        },
        iter: 60);

    /// <summary>The rule of the published depth models: padded inside the model, the whole output resized once to the picture.</summary>
    [Theory]
    [InlineData(ImageFit.CenterPaddingKept)]
    [InlineData(ImageFit.CenterPadding)]
    public void PublishedDepthKeepsItsPaddingAndOursCutsItOff(ImageFit fit)
    {
        using var scope = NewDisposeScope();
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.LinearDepth(backbone, TinyHeads.Input(3) with { Fit = fit });
        ImageBuffer picture = TinyHeads.Picture(99, 71); // 89 x 64 for the network, padded to 96 x 64
        using ImageTensor prepared = Small.Apply(picture);
        Assert.Equal((89, 64), (prepared.Geometry.Width, prepared.Geometry.Height));
        using var quiet = no_grad();
        Tensor padded = nn.functional.pad(prepared.Tensor.unsqueeze(0), [3, 4, 0, 0]);
        Tensor meters = DepthBins.Nyu.ToMeters(((LinearDepthHead)head.Network).Forward(backbone.GetLayers(padded, LayerSelection.Final)));
        Tensor stretched = nn.functional.interpolate(meters, [71, 99], mode: InterpolationMode.Bilinear, align_corners: false);
        double difference = (stretched.flatten() - tensor(head.Predict(picture).Meters.ToArray())).abs().max().item<float>();
        if (fit == ImageFit.CenterPaddingKept) Assert.Equal(0, difference);
        else Assert.True(difference > 1e-3, $"the padding was not cut off: {difference}");
    }

    [Fact]
    public void PublishedDepthFilesKeepTheirPaddingAndALinearOneSeesThePictureAsItIs()
    {
        Assert.Equal(ImageFit.CenterPaddingKept, DepthEstimator.SynthMixInput(40).Fit);
        Assert.Equal(ImageFit.CenterPaddingKept, DepthEstimator.CanopyInput.Fit);
        using var folder = new TemporaryFolder();
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator made = TinyHeads.LinearDepth(backbone);
        string path = Path.Combine(folder.Path, "official.safetensors");
        StateDict.Save(made.Network, path, []);
        using var head = (DepthEstimator)HeadLoader.Load(backbone, "b", path);
        Assert.Equal((SizePolicy.Native, ImageFit.CenterPaddingKept), (head.Input.Preprocessing.Size, head.Input.Fit));
    }

    [Fact]
    public void PublishedSegmentationIsResizedByPillowAndRounded()
    {
        foreach (HeadInput input in new[] { Segmentor.Mask2FormerInput(40), Segmentor.LinearInput(12) })
        {
            Preprocessing p = input.Preprocessing;
            Assert.Equal(ResizeOrder.PillowThenScale, p.Order);
            int shorter = p.Size.Height;
            (int width, int height, _) = p.Plan(1000, 737, "");
            Assert.Equal(((int)((shorter * 1000.0 / 737) + 0.5), shorter), (width, height));
            Assert.NotEqual((int)(shorter * 1000.0 / 737), width); // rounded up here
        }
    }

    [Fact]
    public void APictureSmallerThanTheWindowIsSeenInSquares()
    {
        using var scope = NewDisposeScope();
        using Backbone backbone = TinyHeads.Backbone();
        var windows = new HeadWindows(96, 80);
        using Segmentor head = TinyHeads.LinearSegmentor(backbone, TinyHeads.Input(1, 3) with { Windows = windows });
        ImageBuffer picture = TinyHeads.Picture(90, 64);
        using ImageTensor prepared = Small.Apply(picture);
        using var quiet = no_grad();
        Tensor scores = new SlidingWindow(96, 96, 80, 80).Run(prepared.Tensor.unsqueeze(0), window =>
        {
            Assert.Equal((64, 64), (window.shape[2], window.shape[3]));
            return MapResize.Bilinear(((LinearSegmentationHead)head.Network).Forward(backbone.GetLayers(window, [1, 3])), 64, 64);
        });
        Assert.Equal(scores.argmax(1).to(ScalarType.Byte).flatten().data<byte>().ToArray(), head.Predict(picture).Labels.Values.ToArray());
        Assert.NotEqual(head.Predict(picture, new DenseOptions { Whole = true }).Labels.Values.ToArray(), head.Predict(picture).Labels.Values.ToArray());
    }

    [Fact]
    public void AStripSmallerThanTheWindowIsCoveredWhereThePublishedStrideLeavesGaps()
    {
        using var scope = NewDisposeScope();
        Tensor strip = rand(1, 3, 16, 90);
        Tensor seen = new SlidingWindow(96, 96, 64, 64).Run(strip, window => window * 2);
        Assert.True((seen - (strip * 2)).abs().max().item<float>() < 1e-6f);
    }

    [Fact]
    public void AnInputWithoutTheRimIsNotStretchedOverIt()
    {
        using var scope = NewDisposeScope();
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.LinearDepth(backbone);
        ImageBuffer picture = TinyHeads.Picture(95, 79), rimless = Cut(picture, 80, 64);
        var common = new Preprocessing { Size = SizePolicy.Native };
        DepthMap answer = new MultiTaskModel(head) { CommonInput = common }.Predict(picture).Of(head);
        DepthMap inner = new MultiTaskModel(head) { CommonInput = common }.Predict(rimless).Of(head);
        for (int x = 0; x < 80; x += 7) Assert.Equal(inner[x, 30], answer[x, 30], 1e-5f); // the same patches at the same places
        string message = Assert.Throws<DinoSharpException>(() => new MultiTaskModel(head) { CommonInput = Preprocessing.Evaluation }.Predict(picture)).Message;
        Assert.Contains("answers for every pixel", message, StringComparison.Ordinal);
    }

    [Fact]
    public void TextsAreComparedAsPublished()
    {
        using var scope = NewDisposeScope();
        using Backbone backbone = TinyHeads.Backbone();
        using DinoText text = TinyHeads.Text(backbone);
        using OpenVocabularySegmentor head = text.CreateSegmentor(new ClassNames(["sky", "road", "tree"]), PromptTemplates.None);
        using var quiet = no_grad();
        Tensor pixels = rand(1, 3, 30, 50), fitted = head.Input.Fit.Apply(pixels, 16);
        Assert.Equal(0, (fitted - nn.functional.interpolate(pixels, [32, 64], mode: InterpolationMode.Bicubic, align_corners: false)).abs().max().item<float>());
        HeadFeatures features = HeadFeatures.Compute(backbone, pixels, head.Input, head.Input.Layers);
        Tensor cosine = head.Score(features);
        Assert.Equal([1, 3, 2, 4], cosine.shape);
        Assert.True(cosine.abs().max().item<float>() <= 1.0001f);
        Assert.True((cosine.sum(1) - 1).abs().max().item<float>() > 1e-3f, "seen whole, the similarities themselves count");
        Assert.True((head.ActivateWindow(cosine) - cosine.softmax(1)).abs().max().item<float>() == 0);
    }

    private static ImageBuffer Cut(ImageBuffer picture, int width, int height)
    {
        byte[] pixels = new byte[width * height * 3];
        for (int y = 0; y < height; y++) picture.Samples<byte>().Slice(y * picture.Width * 3, width * 3).CopyTo(pixels.AsSpan(y * width * 3));
        return ImageBuffer.FromSamples<byte>(width, height, 3, pixels);
    }
}
