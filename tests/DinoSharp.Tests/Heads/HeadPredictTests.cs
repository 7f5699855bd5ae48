using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Layers;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Heads;

/// <summary>From picture to answer.</summary>
public sealed class HeadPredictTests
{
    [Fact]
    public void ACeilingOfMemoryMakesWindows()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.DptDepth(backbone);
        ImageBuffer picture = TinyHeads.Picture(1100, 700);
        var native = new DenseOptions { Size = SizePolicy.Native };
        HeadWindows? Windows(long most) => HeadMemory.WindowsOf(head, 700, 1100, picture, native with { MaxMemoryBytes = most });
        Assert.Null(Windows(1L << 40));
        long least = head.ResidentBytes;
        while (true) // the smallest ceiling at which something is possible, to a megabyte
        {
            try
            {
                Windows(least);
                break;
            }
            catch (DinoSharpException error)
            {
                Assert.Contains("even in windows of 256 pixels", error.Message);
                least += 1 << 20;
            }
        }

        HeadWindows small = Windows(least)!, larger = Windows(least + (40 << 20)) ?? new HeadWindows(1100, 1100);
        Assert.True(small.SizePixels < larger.SizePixels, $"{small} {larger}");
        DepthMap answer = head.Predict(picture, native with { MaxMemoryBytes = least }), windowed = head.Predict(picture, native with { Windows = small });
        Assert.Equal((1100, 700), (answer.Width, answer.Height));
        Assert.True(answer.Meters.SequenceEqual(windowed.Meters));
    }

    [Theory]
    [InlineData(90, 70)]
    [InlineData(33, 140)]
    [InlineData(64, 64)]
    [InlineData(301, 47)]
    public void EveryHeadAnswersAtTheSizeOfThePicture(int width, int height) => LiveTensors.AssertUnchangedBy(() =>
    {
        using Backbone backbone = TinyHeads.Backbone();
        ImageBuffer picture = TinyHeads.Picture(width, height);
        using (ImageClassifier head = TinyHeads.Classifier(backbone))
        {
            Classification answer = head.Predict(picture);
            Assert.Equal(1, answer.Ranked.Sum(c => c.Probability), 1e-5);
            Assert.Equal(answer.Top, answer.Best(1).Single());
            Assert.Equal(["ant", "bee", "cow", "dog", "elk"], answer.Ranked.Select(c => c.Name).Order());
        }

        using (DepthEstimator linear = TinyHeads.LinearDepth(backbone), dpt = TinyHeads.DptDepth(backbone))
        {
            DepthMap near = linear.Predict(picture), far = dpt.Predict(picture);
            Assert.Equal((width, height, width, height), (near.Width, near.Height, far.Width, far.Height));
            Assert.InRange(near.Range.Low, 0.001, near.Range.High);
            Assert.InRange(near.Range.High, near.Range.Low, 10);
            Assert.InRange(far.Range.High, far.Range.Low, 96);
        }

        using (Segmentor linear = TinyHeads.LinearSegmentor(backbone), masks = TinyHeads.Mask2Former(backbone))
        {
            foreach (SemanticSegmentation answer in new[] { linear.Predict(picture), masks.Predict(picture) })
            {
                Assert.Equal((width, height), (answer.Labels.Width, answer.Labels.Height));
                Assert.Equal(1, answer.Shares.Sum(s => s.Fraction), 1e-9);
                Assert.Equal(width, answer.Overlay(picture).Width);
            }
        }

        using (Detector head = TinyHeads.Detector(backbone))
        {
            Detections answer = head.Predict(picture);
            Assert.Equal(5, answer.All.Count);
            Assert.All(answer.All, d => Assert.InRange(d.Score, 0, 1));
            Assert.All(answer.All, d => Assert.True(d.Box.X >= 0 && d.Box.Y >= 0 && d.Box.X + d.Box.Width <= width + 1e-3 && d.Box.Y + d.Box.Height <= height + 1e-3));
            Assert.Equal(height, answer.Draw(picture, 0).Height);
        }

        using DinoText text = TinyHeads.Text(backbone);
        using ZeroShotClassifier classifier = text.CreateClassifier(new ClassNames(["cat", "dog"]));
        using OpenVocabularySegmentor segmentor = text.CreateSegmentor(new ClassNames(["sky", "road", "tree"]), PromptTemplates.None);
        Assert.Equal(2, classifier.Predict(picture).Ranked.Count);
        Assert.Equal(width, segmentor.Predict(picture).Labels.Width);
        Assert.Equal(1, text.EncodeImage(picture).Sum(v => v * v), 1e-4);
        Assert.Equal(1, text.EncodeText("a photo of a cat").Sum(v => v * v), 1e-4);
    });

    [Fact]
    public void AMirroredPictureHasTheMirroredAnswerUnderFlip() => LiveTensors.AssertUnchangedBy(() =>
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.LinearDepth(backbone);
        ImageBuffer picture = TinyHeads.Picture(96, 64), mirrored = Mirror(picture);
        var options = new DenseOptions { Flip = true };
        DepthMap a = head.Predict(picture, options), b = head.Predict(mirrored, options);
        for (int x = 0; x < 96; x++) Assert.Equal(a[x, 20], b[95 - x, 20], 1e-4f);
        Assert.NotEqual(head.Predict(picture)[10, 20], head.Predict(mirrored)[85, 20]);
    });

    [Fact]
    public void OneWindowAsLargeAsThePictureIsThePicture()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.LinearDepth(backbone);
        ImageBuffer picture = TinyHeads.Picture(96, 64);
        DepthMap whole = head.Predict(picture, new DenseOptions { Whole = true }), windows = head.Predict(picture, new DenseOptions { Windows = new HeadWindows(96, 96) });
        Assert.Equal(whole.Meters.ToArray(), windows.Meters.ToArray());
        DepthMap cut = head.Predict(picture, new DenseOptions { Windows = new HeadWindows(64, 32) });
        Assert.NotEqual(whole.Meters.ToArray(), cut.Meters.ToArray());
    }

    [Fact]
    public void ScoresThatDoNotFitAreEnlargedBandByBand()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using Segmentor head = TinyHeads.LinearSegmentor(backbone);
        ImageBuffer picture = TinyHeads.Picture(400, 300);
        byte[] full = head.Predict(picture).Labels.Values.ToArray(), banded = head.Predict(picture, new DenseOptions { MaxScoreBytes = 1000 }).Labels.Values.ToArray();
        double equal = full.Zip(banded).Count(p => p.First == p.Second) / (double)full.Length;
        Assert.True(equal > 0.98, $"only {equal:P1} equal"); // enlarging twice differs from once in pixels at borders
        var scales = new DenseOptions { Scales = [0.9, 1, 1.1], Flip = true };
        Assert.Equal(400, head.Predict(picture, scales).Labels.Width);
    }

    [Fact]
    public void ABandEqualsTheSameRowsOfTheWhole()
    {
        using var scope = NewDisposeScope();
        Tensor x = rand(1, 3, 7, 9);
        Tensor whole = MapResize.Bilinear(x, 50, 31);
        foreach ((long top, long count) in new[] { (0L, 1L), (3, 20), (49, 1), (0, 50) })
        {
            Assert.True((MapResize.Band(x, MapRegion.Whole, 50, 31, top, count) - whole.narrow(2, top, count)).abs().max().item<float>() < 1e-5f);
        }
    }

    [Fact]
    public void BadOptionsAreNamed()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.LinearDepth(backbone);
        ImageBuffer picture = TinyHeads.Picture();
        Assert.Contains("scales", Assert.Throws<DinoSharpException>(() => head.Predict(picture, new DenseOptions { Scales = [] })).Message, StringComparison.Ordinal);
        Assert.Contains("stride", Assert.Throws<DinoSharpException>(() => head.Predict(picture, new DenseOptions { Windows = new HeadWindows(32, 33) })).Message, StringComparison.Ordinal);
        using Detector detector = TinyHeads.Detector(backbone);
        Assert.Contains("too short", Assert.Throws<DinoSharpException>(() => detector.Predict(picture, SizePolicy.Square(16))).Message, StringComparison.Ordinal);
        using var stop = new CancellationTokenSource();
        stop.Cancel();
        Assert.Throws<OperationCanceledException>(() => head.Predict(picture, stop.Token));
    }

    [Fact]
    public void SeveralThreadsGetTheSameAnswer()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator head = TinyHeads.DptDepth(backbone);
        ImageBuffer picture = TinyHeads.Picture();
        float[] alone = head.Predict(picture).Meters.ToArray();
        Parallel.For(0, 8, _ => Assert.Equal(alone, head.Predict(picture).Meters.ToArray()));
    }

    private static ImageBuffer Mirror(ImageBuffer picture)
    {
        ReadOnlySpan<byte> source = picture.Samples<byte>();
        byte[] mirrored = new byte[source.Length];
        for (int i = 0; i < source.Length; i++)
        {
            int pixel = i / 3, x = pixel % picture.Width, y = pixel / picture.Width;
            mirrored[(((y * picture.Width) + picture.Width - 1 - x) * 3) + (i % 3)] = source[i];
        }

        return ImageBuffer.FromSamples<byte>(picture.Width, picture.Height, 3, mirrored);
    }
}
