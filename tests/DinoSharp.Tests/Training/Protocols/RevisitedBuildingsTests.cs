using System.Text.Json;
using DinoSharp.Images;
using DinoSharp.Tests.Cli;
using DinoSharp.Tests.Weights;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>Revisited Oxford and Paris, from a pickle written by the test.</summary>
public sealed class RevisitedBuildingsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Four pictures of one colour each: red, another red, blue, green. The query shows red on black; its box cuts the black off.
    private string Tree(Action<PickleBuilder> truth)
    {
        string root = _folder.File("roxford5k");
        Directory.CreateDirectory(Path.Combine(root, "jpg"));
        foreach ((string name, byte red, byte green, byte blue) in ((string, byte, byte, byte)[])[("a", 200, 20, 20), ("b", 198, 24, 20), ("c", 20, 20, 200), ("d", 20, 200, 20)])
            ImageBuffer.FromSamples<byte>(24, 12, 3, [.. Enumerable.Range(0, 24 * 12).SelectMany(_ => (byte[])[red, green, blue])]).Save(Path.Combine(root, "jpg", name + ".jpg"));
        ImageBuffer.FromSamples<byte>(40, 20, 3, [.. Enumerable.Range(0, 40 * 20).SelectMany(p => p % 40 < 20 ? (byte[])[210, 20, 20] : [0, 0, 0])]).Save(Path.Combine(root, "jpg", "q.jpg"));
        var pickle = new PickleBuilder();
        pickle.Op('}').Op('(').Text("imlist").Op(']').Op('(').Text("a").Text("b").Text("c").Text("d").Op('e').Text("qimlist").Op(']').Text("q").Op('a').Text("gnd").Op(']');
        truth(pickle);
        File.WriteAllBytes(Path.Combine(root, "gnd_roxford5k.pkl"), pickle.Op('a').Op('u').Stop());
        return root;
    }

    private static void Query(PickleBuilder pickle, long[] easy, long[] hard, long[] junk)
    {
        pickle.Op('}').Op('(').Text("bbx").Op(']').Op('(').Double(0).Double(0).Int(18).Double(20).Op('e');
        foreach ((string key, long[] values) in ((string, long[])[])[("easy", easy), ("hard", hard), ("junk", junk)])
        {
            pickle.Text(key).Op(']').Op('(');
            foreach (long value in values) pickle.Int(value);
            pickle.Op('e');
        }

        pickle.Op('u');
    }

    [Fact]
    public void TheRulesDecideWhatIsRight()
    {
        RevisitedBuildings buildings = RevisitedBuildings.Open(Tree(p => Query(p, [0], [1, 3], [2])));
        Assert.Equal((4, 1), (buildings.Database.Count, buildings.Queries.Count));
        RevisitedQuery query = Assert.Single(buildings.Truth);
        Assert.Equal([0, 0, 18, 20], query.Box!);
        // Ranking by the angle: c (junk), a (easy), b (hard), d (hard).
        using VectorSet database = Set(10, 20, 0, 80), queries = Set(1);
        EvaluationResult medium = RetrievalProtocol.Run(queries, database, buildings.Truth, RevisitedProtocol.Medium, "by hand");
        Assert.Equal(1, medium.Metrics["map"], 12); // without c all are right
        Assert.Equal(1, medium.Metrics["mapEasy"], 12);
        Assert.Equal(1, medium.Metrics["mapHard"], 12); // a counts neither way
        RevisitedQuery other = query with { Easy = [0], Hard = [3], Junk = [] };
        // c, a, b, d with a and d right, by trapezoids: ((0/1 + 1/2)/2 + (1/3 + 2/4)/2) / 2.
        Assert.Equal(((0.5 / 2) + (((1 / 3.0) + 0.5) / 2)) / 2, RetrievalProtocol.Run(queries, database, [other], RevisitedProtocol.Medium, "by hand").Metrics["map"], 12);
        Assert.Contains("no query has a picture to find under the rule Hard", Assert.Throws<DinoSharpException>(() => RetrievalProtocol.Run(queries, database, [query with { Hard = [] }], RevisitedProtocol.Hard, "")).Message);
        LiveTensors.AssertUnchangedBy(() => RetrievalProtocol.Run(queries, database, buildings.Truth, RevisitedProtocol.Easy, ""));
    }

    [Fact]
    public async Task TheBoxOfTheQueryIsWhatIsLookedFor()
    {
        string root = Tree(p => Query(p, [0], [1], []));
        Dino.Outcome outcome = await Dino.RunAsync("eval", "retrieve", "--revisited", root, "--model", "baseline:hog", "--protocol", "hard", "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        JsonElement metrics = outcome.Json().GetProperty("metrics");
        Assert.Equal((1, 1, 1), (metrics.GetProperty("map").GetDouble(), metrics.GetProperty("mapEasy").GetDouble(), metrics.GetProperty("mapMedium").GetDouble()));
        ImageBuffer seen = RevisitedBuildings.Open(root).QueryImages(32).Read(0);
        Assert.Equal((32, 32), (seen.Width, seen.Height));
        Assert.True(seen.Samples<byte>()[((16 * 32) + 16) * 3] > 150); // red in the middle
        Assert.Equal(0, seen.Samples<byte>()[16 * 32 * 3]); // the box is higher than wide, so black is beside it
        Assert.Equal(2, (await Dino.RunAsync("eval", "retrieve", "--revisited", root, "--database", root)).Code);
    }

    [Fact]
    public void WhatIsWrongIsNamed()
    {
        Assert.Contains("no file gnd_*.pkl", Message(_folder.File("nothing")));
        Assert.Contains("'easy' with 4, which is no index of one of the 4 pictures", Message(Tree(p => Query(p, [4], [], []))));
        Assert.Contains("a dictionary with 'bbx' was expected", Message(Tree(p => p.Op('N'))));
        Assert.Contains("NumPy", Message(Tree(p => p.Op('}').Op('(').Text("easy").Global("numpy.core.multiarray", "_reconstruct").Op(')').Op('R').Op('u'))));
        string unsafeFile = Message(Tree(p => p.Global("os", "system")));
        Assert.Contains("os.system", unsafeFile);
        Assert.Contains("Nothing in it was executed", unsafeFile);
        string root = Tree(p => Query(p, [0], [], []));
        File.Delete(Path.Combine(root, "jpg", "b.jpg"));
        Assert.Contains(Path.Combine("jpg", "b.jpg"), Message(root));
        File.WriteAllBytes(Path.Combine(root, "gnd_roxford5k.pkl"), [0x80, 2, (byte)'}']);
        Assert.Contains("gnd_roxford5k.pkl", Message(root));

        static string Message(string root) => Assert.ThrowsAny<DinoSharpException>(() => RevisitedBuildings.Open(root)).Message;
    }

    private static VectorSet Set(params double[] degrees) =>
        new(tensor(KnnProtocolTests.Directions(degrees)).DetachFromDisposeScope(), [.. degrees.Select((_, i) => i)], [.. degrees.Select((_, i) => $"{i}.jpg")], [.. degrees.Select((_, i) => $"{i}")], []);
}
