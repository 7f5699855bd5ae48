using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Heads;

public sealed class MultiTaskModelTests
{
    [Fact]
    public void HeadsThatSeeTheSameShareOnePassAndAnswerAsAlone() => LiveTensors.AssertUnchangedBy(() =>
    {
        using Backbone backbone = TinyHeads.Backbone();
        using ImageClassifier classifier = TinyHeads.Classifier(backbone);
        using DepthEstimator depth = TinyHeads.DptDepth(backbone), linear = TinyHeads.LinearDepth(backbone);
        using Segmentor segmentor = TinyHeads.LinearSegmentor(backbone), masks = TinyHeads.Mask2Former(backbone);
        using Detector detector = TinyHeads.Detector(backbone);
        ImageBuffer picture = TinyHeads.Picture();
        MultiTaskAnswers answers = new MultiTaskModel(classifier, depth, linear, segmentor, masks, detector).Predict(picture);
        Assert.Equal(2, answers.BackbonePasses); // Mask2Former needs multiples of 32
        Assert.Equal(classifier.Predict(picture).Ranked, answers.Of(classifier).Ranked);
        Assert.Equal(depth.Predict(picture).Meters.ToArray(), answers.Of(depth).Meters.ToArray());
        Assert.Equal(linear.Predict(picture).Meters.ToArray(), answers.Of(linear).Meters.ToArray());
        Assert.Equal(segmentor.Predict(picture).Labels.Values.ToArray(), answers.Of(segmentor).Labels.Values.ToArray());
        Assert.Equal(masks.Predict(picture).Labels.Values.ToArray(), answers.Of(masks).Labels.Values.ToArray());
        Assert.Equal(detector.Predict(picture).All, answers.Of(detector).All);
    });

    [Fact]
    public void ACommonInputIsOnePassForAll()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using ImageClassifier classifier = TinyHeads.Classifier(backbone);
        using DepthEstimator depth = TinyHeads.DptDepth(backbone);
        using Segmentor masks = TinyHeads.Mask2Former(backbone);
        Preprocessing common = new() { Size = SizePolicy.Square(96) };
        MultiTaskAnswers answers = new MultiTaskModel(classifier, depth, masks) { CommonInput = common }.Predict(TinyHeads.Picture());
        Assert.Equal(1, answers.BackbonePasses);
        Assert.Equal((90, 70), (answers.Of(depth).Width, answers.Of(masks).Labels.Height));
        Assert.Contains("normalised as SAT", Assert.Throws<DinoSharpException>(() => new MultiTaskModel(depth) { CommonInput = common with { Normalization = Normalization.Sat } }.Predict(TinyHeads.Picture())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AHeadThatCutsThePictureAnswersAsAlone()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator depth = TinyHeads.LinearDepth(backbone);
        using Segmentor windows = TinyHeads.LinearSegmentor(backbone, TinyHeads.Input(1, 3) with { Windows = new HeadWindows(48, 32, 64 * 80) });
        foreach (ImageBuffer picture in new[] { TinyHeads.Picture(90, 64), TinyHeads.Picture(80, 64), TinyHeads.Picture(64, 64) })
        {
            MultiTaskAnswers answers = new MultiTaskModel(depth, windows).Predict(picture);
            Assert.Equal(1, answers.BackbonePasses);
            Assert.Equal(windows.Predict(picture).Labels.Values.ToArray(), answers.Of(windows).Labels.Values.ToArray());
        }

        var common = new MultiTaskModel(windows) { CommonInput = new Preprocessing { Size = SizePolicy.ShorterSide(64), PatchSizePixels = 1 } };
        Assert.Equal(windows.Predict(TinyHeads.Picture(90, 64), new DenseOptions { Whole = true }).Labels.Values.ToArray(), common.Predict(TinyHeads.Picture(90, 64)).Of(windows).Labels.Values.ToArray());
    }

    [Fact]
    public void HeadsOfDifferentBackbonesAreRefused()
    {
        using Backbone a = TinyHeads.Backbone(), b = TinyHeads.Backbone(seed: 8);
        using DepthEstimator depth = TinyHeads.LinearDepth(a);
        using Segmentor segmentor = TinyHeads.LinearSegmentor(b);
        (depth.BackboneName, segmentor.BackboneName) = ("dino-tiny", "dinov3-vits16");
        string message = Assert.Throws<DinoSharpException>(() => new MultiTaskModel(depth, segmentor)).Message;
        Assert.Contains("'dino-tiny'", message, StringComparison.Ordinal);
        Assert.Contains("'dinov3-vits16'", message, StringComparison.Ordinal);
    }

    [Fact]
    public void AHeadThatWasNotAskedHasNoAnswer()
    {
        using Backbone backbone = TinyHeads.Backbone();
        using DepthEstimator depth = TinyHeads.LinearDepth(backbone), other = TinyHeads.LinearDepth(backbone);
        MultiTaskAnswers answers = new MultiTaskModel(depth).Predict(TinyHeads.Picture());
        Assert.Throws<ArgumentException>(() => answers.Of(other));
    }
}
