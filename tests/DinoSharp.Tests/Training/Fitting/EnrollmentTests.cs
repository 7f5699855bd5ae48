using DinoSharp.Heads.Classification;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;
using Xunit;

namespace DinoSharp.Tests.Training.Fitting;

public sealed class EnrollmentTests(TinyModel tiny) : IClassFixture<TinyModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheThresholdDividesBest()
    {
        Assert.InRange(Enrollment.Threshold([0.9, 0.8, 0.85], [0.1, 0.2, 0.3]), 0.3, 0.8);
        Assert.InRange(Enrollment.Threshold([0.9, 0.8, 0.2], [0.1, 0.3, 0.4, 0.5]), 0.5, 0.8); // one of the known ones is given up
        Assert.Equal(0.5, Enrollment.Threshold([0.5, 0.6, 0.7], []), 10); // all but the tail of the known ones
        Assert.Equal(0.6, Enrollment.Threshold([], [0.5, 0.6, 0.7]), 10);
    }

    [Fact]
    public void WhatIsUnlikeEverythingIsUnknown()
    {
        LabelledImages gallery = LabelledImages.Open(TwoScenes.Draw(_folder, "gallery", 4, seed: 1));
        string[] strange = [.. Enumerable.Range(0, 6).Select(i => tiny.Draw($"strange/{i}.png", 64, 64, seed: i))];
        using DinoModel model = DinoModel.Load(tiny.Path);
        var options = new ClassifierFitOptions { ImageSizePixels = 64, CacheFolder = tiny.File("cache") };
        using EnrollmentResult result = Enrollment.Run(model, gallery, strange, options);
        Assert.NotNull(result.FalselyKnown);
        Assert.InRange(result.Top1!.Value.Value, 0.7, 1);
        string path = _folder.File("things.safetensors");
        result.Head.Save(path);
        using ImageClassifier head = ImageClassifier.Load(model, path);
        Assert.Equal(result.Threshold, head.UnknownBelow);
        foreach ((string picture, int label) in gallery.Paths.Zip(gallery.Labels))
        {
            Classification answer = head.Predict(picture);
            Assert.False(answer.IsUnknown);
            Assert.Equal(1, answer.Similarity!.Value, 4); // it is in the gallery itself
            Assert.Equal(label, answer.Top.Index);
        }

        Assert.All(strange, picture =>
        {
            Classification answer = head.Predict(picture);
            Assert.Equal(answer.Similarity < result.Threshold, answer.IsUnknown);
        });
        Assert.InRange(result.Examples.Count, 1, 12);
        Assert.All(result.Examples, e =>
        {
            Assert.NotEqual(e.Image, e.Nearest);
            Assert.Equal(e.Similarity < result.Threshold, e.IsUnknown);
            Assert.StartsWith(e.Thing, Path.GetFileName(Path.GetDirectoryName(e.Image)!));
        });
        LabelledImages one = new("one", [gallery.Paths[0]], [0], ["thing"]);
        Assert.Contains("single picture", Assert.Throws<DinoSharpException>(() => Enrollment.Run(model, one, options: options)).Message);
    }
}
