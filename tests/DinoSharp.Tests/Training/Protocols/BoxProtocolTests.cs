using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>Detection and discovery on answers that are known.</summary>
public sealed class BoxProtocolTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void DetectionsAreMatchedByNameAndScored()
    {
        BoxAnnotations truth = Annotations(new AnnotatedObject(0, 7, new Box(10, 10, 40, 40)), new AnnotatedObject(1, 7, new Box(0, 0, 20, 20)));
        EvaluationResult perfect = Run("CAT", new Box(10, 10, 40, 40), new Box(0, 0, 20, 20));
        Assert.Equal((1, 1), (perfect.Metrics["ap"], perfect.Metrics["ap50"]));
        Assert.Equal(2, perfect.Items.Count);
        EvaluationResult half = Run("cat", new Box(10, 10, 40, 40), new Box(200, 200, 5, 5)); // the miss is as sure as the hit, but comes second
        Assert.Equal(51.0 / 101, half.Metrics["ap50"], 12);
        Assert.Contains("no name is in common", Assert.Throws<DinoSharpException>(() => Run("dog", new Box(0, 0, 1, 1), new Box(0, 0, 1, 1))).Message);

        EvaluationResult Run(string name, params Box[] boxes)
        {
            int next = 0;
            return DetectionProtocol.Run(_ => new Detections([new Detection(boxes[next++], 0.9, 3, name)]), truth, "by hand");
        }
    }

    [Fact]
    public void TheBestThresholdIsReported()
    {
        // The four patches in the middle of a 4 x 4 grid are equal, and unlike all others.
        BoxAnnotations truth = Annotations(new AnnotatedObject(0, 7, new Box(16, 16, 32, 32)), new AnnotatedObject(1, 7, new Box(0, 0, 4, 4)));
        EvaluationResult result = DiscoveryProtocol.Run(_ => Square(), truth, "by hand", [0.9]);
        Assert.Equal(0.5, result.Metrics["corloc"]); // found on the first picture; the object of the second is another
        Assert.Equal([1, 0], Enumerable.Range(0, 2).Select(i => result.Score([i])));
        Assert.Equal("0.9", result.Settings["threshold"]);
        // A difficult object (Pascal VOC) is one, a crowd (COCO) is none.
        BoxAnnotations odd = Annotations(new AnnotatedObject(0, 7, new Box(16, 16, 32, 32), Difficult: true), new AnnotatedObject(1, 7, new Box(16, 16, 32, 32), Crowd: true));
        EvaluationResult one = DiscoveryProtocol.Run(_ => Square(), odd, "by hand", [0.9]);
        Assert.Equal((1, 1), (one.Items.Count, one.Metrics["corloc"]));
        BoxAnnotations nothing = truth with { Images = [.. truth.Images.Select(i => i with { Objects = [] })] };
        Assert.Contains("no picture has an object", Assert.Throws<DinoSharpException>(() => DiscoveryProtocol.Run(_ => Square(), nothing, "")).Message);
    }

    private BoxAnnotations Annotations(params AnnotatedObject[] objects)
    {
        TinyModel.Picture(64, 64).Save(_folder.File("picture.png"));
        return new BoxAnnotations("made up", [.. objects.Select(o => new BoxedImage(_folder.File("picture.png"), 64, 64, [o]))], new Dictionary<int, string> { [7] = "cat" });
    }

    private static PatchMap Square()
    {
        float[] values = new float[16 * 2];
        for (int i = 0; i < 16; i++) values[(i * 2) + ((i % 4) is 1 or 2 && (i / 4) is 1 or 2 ? 1 : 0)] = 1;
        return new PatchMap(4, 4, 2, values, PatchGeometry.Whole(64, 64));
    }
}
