using DinoSharp.Probes;
using DinoSharp.Training.Protocols;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

public class KnnProtocolTests
{
    private static readonly string[] Names = ["cat", "dog"];

    private static VectorSet Set(float[,] vectors, int[] labels, string[]? classes = null) =>
        new(tensor(vectors).DetachFromDisposeScope(), labels, [.. labels.Select((_, i) => $"{i}.jpg")], classes ?? Names, []);

    [Fact]
    public void VotesAreCountedByHand()
    {
        // Cats at 0° and 10°, dogs at 80°, 90° and 100°. The last query is a dog that lies beside the cats.
        using VectorSet train = Set(Directions(0, 10, 80, 90, 100), [0, 0, 1, 1, 1]), val = Set(Directions(5, 85, 20), [0, 1, 1]);
        KnnReport report = KnnProtocol.Run(train, val, "by hand", new KnnOptions { Neighbors = [1, 5] });
        Assert.Equal(2.0 / 3, report.Result.Metrics["top1"], 12);
        Assert.Equal(2.0 / 3, report.Result.Metrics["k1Top1"], 12);
        Assert.Equal(0.75, report.Result.Metrics["meanPerClass"], 12); // cat 1 of 1, dog 1 of 2
        Assert.Equal(["cat", "dog", "cat"], report.Predictions.Select(p => p.Predicted));
        Assert.Equal(MathF.Cos(MathF.PI / 36), report.Predictions[0].Neighbors[0].Cosine, 5);
        Assert.DoesNotContain("top5", report.Result.Metrics.Keys); // five guesses of two classes are always right
        Assert.Equal((2.0 / 3, 0.0, 1.0), (report.Result.Interval.Value, report.Result.Interval.Low, report.Result.Interval.High));
    }

    [Fact]
    public void ClassesAreMatchedByName()
    {
        using VectorSet train = Set(Directions(0, 90), [0, 1]), val = Set(Directions(1, 89), [1, 0], ["dog", "cat"]);
        Assert.Equal(1, KnnProtocol.Run(train, val, "by hand", new KnnOptions { Neighbors = [1] }).Result.Metrics["top1"]);
        using VectorSet other = Set(Directions(1), [0], ["dgo"]);
        Assert.Contains("class 'dgo' is in the validation set but not in the training set (the nearest there is 'dog')", Assert.Throws<DinoSharpException>(() => KnnProtocol.Run(train, other, "")).Message);
    }

    [Fact]
    public void NoTensorIsLeftBehind()
    {
        using VectorSet train = Set(Directions(0, 10, 80), [0, 0, 1]), val = Set(Directions(5), [0]);
        LiveTensors.AssertUnchangedBy(() => KnnProtocol.Run(train, val, ""));
    }

    internal static float[,] Directions(params double[] degrees)
    {
        var vectors = new float[degrees.Length, 2];
        for (int i = 0; i < degrees.Length; i++) (vectors[i, 0], vectors[i, 1]) = ((float)Math.Cos(degrees[i] * Math.PI / 180), (float)Math.Sin(degrees[i] * Math.PI / 180));
        return vectors;
    }
}
