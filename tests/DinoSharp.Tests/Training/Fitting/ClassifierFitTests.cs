using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;
using Xunit;

namespace DinoSharp.Tests.Training.Fitting;

public sealed class ClassifierFitTests(TinyModel tiny) : IClassFixture<TinyModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private ClassifierFitOptions Options(ClassifierMethod method = ClassifierMethod.Linear) => new() { Method = method, ImageSizePixels = 64, Neighbors = 3, CacheFolder = tiny.File("cache") };

    [Theory]
    [InlineData(ClassifierMethod.Linear)]
    [InlineData(ClassifierMethod.NearestNeighbors)]
    public void LearnsAndIsUsedFromItsFile(ClassifierMethod method)
    {
        LabelledImages train = LabelledImages.Open(TwoScenes.Draw(_folder, "train", 12, seed: 1)), validation = LabelledImages.Open(TwoScenes.Draw(_folder, "val", 8, seed: 2));
        using DinoModel model = DinoModel.Load(tiny.Path);
        using ClassifierFitResult result = ClassifierFit.Run(model, train, validation, Options(method));
        Assert.InRange(result.Top1.Value, 0.85, 1);
        Assert.InRange(result.Top1.Value, result.Top1.Low, result.Top1.High);
        Assert.Equal(result.Confusion.Accuracy, result.Top1.Value, 10);
        Assert.Equal(16, result.Confusion.Total);

        string path = _folder.File("head.safetensors");
        result.Head.Save(path);
        using Head loaded = Head.Load(model, path);
        var classifier = Assert.IsType<ImageClassifier>(loaded);
        Assert.Equal(["across", "along"], classifier.Classes!);
        Assert.Equal(result.Top1.Low, classifier.Metrics["top1_low"], 10);
        int[] predicted = [.. validation.Paths.Select(p => classifier.Predict(p).Top.Index)];
        Assert.Equal(result.Predicted, predicted);

        // The second fit computes nothing and finds the same.
        using ClassifierFitResult again = ClassifierFit.Run(model, train, validation, Options(method));
        Assert.Equal(0, again.Computed);
        Assert.Equal(result.Predicted, again.Predicted);

        using DinoModel other = DinoModel.Load("random:vits16");
        Assert.Contains("belongs to the backbone", Assert.Throws<DinoSharpException>(() => Head.Load(other, path)).Message);
    }

    [Fact]
    public void LabelsWithoutMeaningAreNotLearnt()
    {
        // The score is of pictures that were not seen: with random labels it cannot be far from one half, however well the training pictures are told apart.
        string folder = TwoScenes.Draw(_folder, "noise", 30, seed: 3);
        LabelledImages images = LabelledImages.Open(folder);
        var random = new Random(0);
        var shuffled = new LabelledImages("shuffled", images.Paths, [.. images.Labels.Select(_ => random.Next(2))], images.Classes);
        using DinoModel model = DinoModel.Load(tiny.Path);
        using ClassifierFitResult result = ClassifierFit.Run(model, shuffled, options: Options() with { HeldOutShare = 0.4 });
        Assert.InRange(result.Top1.Value, 0.15, 0.85);
        Assert.True(result.Top1.High - result.Top1.Low > 0.2);
    }

    [Fact]
    public void WhatCannotWorkIsRefused()
    {
        using DinoModel model = DinoModel.Load(tiny.Path);
        LabelledImages images = LabelledImages.Open(TwoScenes.Draw(_folder, "few", 3, seed: 4));
        LabelledImages one = new("one class", images.Paths, [.. images.Paths.Select(_ => 0)], ["across"]);
        Assert.Contains("has one class", Assert.Throws<DinoSharpException>(() => ClassifierFit.Run(model, one, options: Options())).Message);
        LabelledImages grouped = new("grouped", images.Paths, images.Labels, images.Classes, [.. images.Paths.Select((_, i) => $"g{i}")]);
        Assert.Contains("for example 'g0'", Assert.Throws<DinoSharpException>(() => ClassifierFit.Run(model, grouped, grouped, Options())).Message);
        LabelledImages gone = new("gone", [.. images.Labels.Select((l, i) => l == 1 ? _folder.File($"{i}.png") : images.Paths[i])], images.Labels, images.Classes);
        Assert.Contains("'along' has no picture", Assert.Throws<DinoSharpException>(() => ClassifierFit.Run(model, gone, images, Options())).Message);
        using ClassifierFitResult leaking = ClassifierFit.Run(model, images, images, Options());
        Assert.Equal(6, leaking.Leaked.Count);
    }

    [Fact]
    public void NothingLeaks()
    {
        LabelledImages images = LabelledImages.Open(TwoScenes.Draw(_folder, "leak", 5, seed: 5));
        using DinoModel model = DinoModel.Load(tiny.Path);
        LiveTensors.AssertUnchangedBy(() =>
        {
            using ClassifierFitResult linear = ClassifierFit.Run(model, images, options: Options());
            using ClassifierFitResult neighbors = ClassifierFit.Run(model, images, options: Options(ClassifierMethod.NearestNeighbors));
        });
    }
}
