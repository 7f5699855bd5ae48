using DinoSharp.Features;
using DinoSharp.Features.Matching;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

public sealed class DenseProtocolTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Four patches of 16 pixels in a row, each a direction of its own.
    private static PatchMap Row(params int[] directions)
    {
        float[] values = new float[directions.Length * 4];
        for (int i = 0; i < directions.Length; i++) values[(i * 4) + directions[i]] = 1;
        return new PatchMap(1, directions.Length, 4, values, PatchGeometry.Whole(16 * directions.Length, 16));
    }

    [Fact]
    public void MatchesAreCountedByHand()
    {
        // On B the patches 1 and 2 are exchanged. The truth is the identity, but unknown on the last patch: errors 0, 16, 16.
        PatchMap a = Row(0, 1, 2, 3), b = Row(0, 2, 1, 3);
        var pair = new CorrespondencePair("swap", "a", "b", p => p.X < 48 ? p : null);
        EvaluationResult result = MatchingProtocol.Run(file => file == "a" ? a : b, [pair], "by hand");
        Assert.Equal(1.0 / 3, result.Metrics["pck5"], 12);
        Assert.Equal(1.0 / 3, result.Metrics["pck10"], 12);
        Assert.Equal(1, result.Metrics["pck20"], 12);
        Assert.Equal(1.0 / 3, result.Metrics["mutualPck10"], 12);
        Assert.Equal("3", result.Settings["places"]);

        // The same by key points, relative to an object of 160 pixels: 0 and 16 pixels are 0 and 10 percent of it.
        var points = new CorrespondencePair("points", "a", "b", p => p, [new ImagePoint(8, 8), new ImagePoint(24, 8)], 160);
        EvaluationResult relative = MatchingProtocol.Run(file => file == "a" ? a : b, [points], "by hand");
        Assert.Equal((0.5, 1, 1), (relative.Metrics["pck5"], relative.Metrics["pck10"], relative.Metrics["recall"]));
        // The recall is the mean over the kinds of objects.
        CorrespondencePair far = points with { ObjectSide = 100, Category = "cat" }, near = points with { KeyPoints = [new ImagePoint(8, 8)], Category = "cat" }, dog = near with { Category = "dog" };
        EvaluationResult kinds = MatchingProtocol.Run(file => file == "a" ? a : b, [far, near, dog], "by hand");
        Assert.Equal((3.0 / 4, ((2.0 / 3) + 1) / 2), (kinds.Metrics["pck10"], kinds.Metrics["recall"])); // of the cats two of three places
        Assert.Contains("nothing can be scored", Assert.Throws<DinoSharpException>(() => MatchingProtocol.Run(_ => a, [pair with { Truth = _ => null }], "")).Message);
    }

    [Fact]
    public void PairsOfAllLayoutsAreFoundAndWhatIsMissingIsNamed()
    {
        Assert.Contains("SPair-71k", Assert.Throws<DinoSharpException>(() => CorrespondencePair.Open(_folder.File("nothing"))).Message);
        Directory.CreateDirectory(_folder.File("warp"));
        File.WriteAllText(_folder.File("warp/pairs.json"), """[{"id":"x","a":"a.png","b":"b.png","width":32,"height":16,"H_a_to_b":[[1,0,8],[0,1,0],[0,0,1]]}]""");
        Assert.Contains("there is no picture", Assert.Throws<DinoSharpException>(() => CorrespondencePair.Open(_folder.File("warp"))).Message);
        Picture("warp/a.png");
        Picture("warp/b.png");
        CorrespondencePair warped = Assert.Single(CorrespondencePair.Open(_folder.File("warp")));
        Assert.Equal(new ImagePoint(18, 5), warped.Truth(new ImagePoint(10, 5)));
        Assert.Null(warped.Truth(new ImagePoint(25, 5))); // 33 lies outside
        File.WriteAllText(_folder.File("warp/pairs.json"), """[{"id":"x","a":"a.png","b":"b.png","width":32,"height":16}]""");
        Assert.Contains("H_a_to_b", Assert.Throws<DinoSharpException>(() => CorrespondencePair.Open(_folder.File("warp"))).Message);

        Picture("stereo/left.png");
        Picture("stereo/right.png");
        ushort[] disparity = new ushort[32 * 16];
        disparity[(3 * 32) + 20] = 4 * 256;
        ImageBuffer.FromSamples<ushort>(32, 16, 1, disparity).Save(_folder.File("stereo/disparity_x256.png"));
        CorrespondencePair stereo = Assert.Single(CorrespondencePair.Open(_folder.File("stereo")));
        Assert.Equal(new ImagePoint(16.5, 3.5), stereo.Truth(new ImagePoint(20.5, 3.5)));
        Assert.Null(stereo.Truth(new ImagePoint(5, 5))); // not measured

        Picture("spair/JPEGImages/cat/1.png");
        Picture("spair/JPEGImages/cat/2.png");
        Directory.CreateDirectory(_folder.File("spair/PairAnnotation/test"));
        File.WriteAllText(_folder.File("spair/PairAnnotation/test/p.json"), """{"category":"cat","src_imname":"1.png","trg_imname":"2.png","src_kps":[[3,4]],"trg_kps":[[5,6]],"trg_bndbox":[0,0,10,20]}""");
        CorrespondencePair keyed = Assert.Single(CorrespondencePair.Open(_folder.File("spair")));
        Assert.Equal((20, new ImagePoint(3.5, 4.5), new ImagePoint(5.5, 6.5), "cat"), (keyed.ObjectSide, keyed.KeyPoints![0], keyed.Truth(keyed.KeyPoints[0]), keyed.Category));
        Assert.Contains("trn, val and test", Assert.Throws<DinoSharpException>(() => CorrespondencePair.Open(_folder.File("spair"), "train")).Message);
    }

    [Fact]
    public void VideosOfAllLayoutsAreFoundAndWhatIsMissingIsNamed()
    {
        Assert.Contains("DAVIS", Assert.Throws<DinoSharpException>(() => VideoObjects.Open(_folder.File("none"))).Message);
        for (int i = 0; i < 3; i++)
        {
            Picture($"davis/JPEGImages/480p/bear/0000{i}.png");
            Picture($"davis/Annotations/480p/bear/0000{i}.png");
            Picture($"plain/walk/frames/0000{i}.png");
            Picture($"plain/walk/masks/0000{i}.png");
        }

        VideoObjects bear = Assert.Single(VideoObjects.Open(_folder.File("davis"))); // no list: every folder
        Assert.Equal(("bear", 3, "00002.png"), (bear.Name, bear.Frames.Count, Path.GetFileName(bear.Masks[2])));
        Assert.Equal("walk", Assert.Single(VideoObjects.Open(_folder.File("plain"))).Name);
        Assert.Equal("walk", Assert.Single(VideoObjects.Open(_folder.File("plain/walk"))).Name);
        Directory.CreateDirectory(_folder.File("davis/ImageSets/2017"));
        Assert.Contains("val.txt", Assert.Throws<DinoSharpException>(() => VideoObjects.Open(_folder.File("davis"))).Message);
        File.WriteAllText(_folder.File("davis/ImageSets/2017/val.txt"), "bear\ngone\n");
        Assert.Contains("video gone: there is no folder", Assert.Throws<DinoSharpException>(() => VideoObjects.Open(_folder.File("davis"))).Message);
        File.Delete(_folder.File("plain/walk/masks/00001.png"));
        Assert.Contains("00001.png; every frame needs one", Assert.Throws<DinoSharpException>(() => VideoObjects.Open(_folder.File("plain"))).Message);
    }

    [Fact]
    public void RankingsAreScoredByHand()
    {
        using VectorSet database = Set([0, 10, 20, 90], [0, 1, 0, 1]), queries = Set([1, 80], [0, 1]);
        EvaluationResult result = RetrievalProtocol.Run(queries, database, "by hand");
        // 1°: 0 (right), 10, 20 (right), 90: (1 + 2/3) / 2. 80°: 90 (right), 20, 10 (right), 0: (1 + 2/3) / 2.
        Assert.Equal(5.0 / 6, result.Metrics["map"], 12);
        Assert.Equal(1, result.Metrics["recallAt1"]);
        Assert.Equal((1, 1), (result.Metrics["gap"], result.Metrics["gapMinus"])); // both first answers are right
        // A third query of a class that the database lacks lies nearest of all: right, wrong, right by confidence is (1/2 + 2/3) / 2; without it nothing is wrong.
        using VectorSet distracted = new(tensor(KnnProtocolTests.Directions([1, 80, 20])).DetachFromDisposeScope(), [0, 1, 2], ["0.jpg", "1.jpg", "2.jpg"], ["a", "b", "z"], []);
        EvaluationResult open = RetrievalProtocol.Run(distracted, database, "by hand");
        Assert.Equal(((1 / 2.0) + (2 / 3.0)) / 2, open.Metrics["gap"], 12);
        Assert.Equal((1, 2), (open.Metrics["gapMinus"], open.Items.Count));
        EvaluationResult itself = RetrievalProtocol.Run(database, database, "by hand");
        // 0°: 10, 20 (right): 1/2. 10° (0 and 20 tie on both sides of it, neither is right): 90 is third: 1/3. 20°: 10, 0 (right): 1/2. 90°: 20, 10 (right): 1/2.
        Assert.Equal((0.5 + (1.0 / 3) + 0.5 + 0.5) / 4, itself.Metrics["map"], 12);
        using VectorSet stranger = new(Set([5], [0]).Vectors, [0], ["x.jpg"], ["zebra"], []);
        Assert.Contains("no class in common", Assert.Throws<DinoSharpException>(() => RetrievalProtocol.Run(stranger, database, "")).Message);
        LiveTensors.AssertUnchangedBy(() => RetrievalProtocol.Run(queries, database, ""));
    }

    private static VectorSet Set(double[] degrees, int[] labels) =>
        new(tensor(KnnProtocolTests.Directions(degrees)).DetachFromDisposeScope(), labels, [.. labels.Select((_, i) => $"{i}.jpg")], ["a", "b"], []);

    private void Picture(string name)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(name))!);
        TinyModel.Picture(32, 16).Save(_folder.File(name));
    }
}
