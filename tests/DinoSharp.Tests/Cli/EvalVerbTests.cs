using System.Text.Json;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>The protocols of <c>dino eval</c> from end to end, on small made-up data.</summary>
public sealed class EvalVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private static JsonElement Success(Dino.Outcome outcome)
    {
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        return outcome.Json();
    }

    [Fact]
    public async Task FeaturesAreComputedOnceAndSharedByTheProtocols()
    {
        (string train, string val) = Colors("stored");
        string[] data = ["--train", train, "--val", val, "--model", tiny.Path, "--size", "32", "--cache", tiny.File("stored-cache"), "--json"];
        JsonElement first = Success(await Dino.RunAsync(["eval", "knn", .. data, "--k", "3"]));
        Assert.Equal(21, first.GetProperty("computed").GetInt32());
        JsonElement second = Success(await Dino.RunAsync(["eval", "knn", .. data, "--k", "3"]));
        Assert.Equal(0, second.GetProperty("computed").GetInt32());
        Assert.Equal((true, false), (first.GetProperty("settings").TryGetProperty("engine", out _), second.GetProperty("settings").TryGetProperty("engine", out _)));
        Assert.Equal(first.GetProperty("metrics").GetRawText(), second.GetProperty("metrics").GetRawText());
        // Both tokens lie in the store, and a ranking sees pictures as k-NN does.
        Assert.Equal(0, Success(await Dino.RunAsync(["eval", "linear", .. data, "--steps", "2"])).GetProperty("computed").GetInt32());
        Assert.Equal(0, Success(await Dino.RunAsync("eval", "retrieve", "--database", train, "--model", tiny.Path, "--size", "32", "--cache", tiny.File("stored-cache"), "--json")).GetProperty("computed").GetInt32());
        // Another way of looking, and another precision, are other features.
        Assert.Equal(21, Success(await Dino.RunAsync(["eval", "logreg", .. data, "--c", "1"])).GetProperty("computed").GetInt32());
        JsonElement half = Success(await Dino.RunAsync(["eval", "knn", .. data, "--k", "3", "--compute", "bfloat16"]));
        Assert.Equal((21, "BFloat16"), (half.GetProperty("computed").GetInt32(), half.GetProperty("settings").GetProperty("compute").GetString()));
    }

    [Theory]
    [InlineData("knn", "--k", "3")]
    [InlineData("logreg", "--c", "100")]
    [InlineData("linear", "--steps", "60", "--rates", "10")]
    public async Task FurtherTestSetsAreScoredByTheSameClassifier(string task, params string[] more)
    {
        (string train, string val) = Colors("tests-" + task);
        foreach (string color in (string[])["red", "blue"])
        {
            Directory.CreateDirectory(tiny.File($"tests-{task}/two/{color}"));
            foreach (string file in Directory.EnumerateFiles(Path.Combine(val, color))) File.Copy(file, tiny.File($"tests-{task}/two/{color}/{Path.GetFileName(file)}"));
        }

        string[] command = ["eval", task, "--train", train, "--val", val, "--model", "baseline:pixels", .. more];
        Dino.Outcome outcome = await Dino.RunAsync([.. command, "--test", val, "--test", "ImageNet-A=" + tiny.File($"tests-{task}/two"), "--out", tiny.File("tests-out-" + task), "--json"]);
        Assert.Equal(0, outcome.Code);
        JsonElement json = outcome.Json();
        JsonElement[] tests = [.. json.GetProperty("tests").EnumerateArray()];
        Assert.Equal(["val", "ImageNet-A"], tests.Select(t => t.GetProperty("name").GetString()));
        Assert.Equal([9, 6], tests.Select(t => t.GetProperty("n").GetInt32()));
        Assert.Equal(Metric(json, "top1"), Metric(tests[0], "top1"));
        Assert.Equal("2", tests[1].GetProperty("settings").GetProperty("classes").GetString());
        Assert.Equal("top1", tests[1].GetProperty("interval").GetProperty("metric").GetString());
        Assert.Equal(2, JsonDocument.Parse(File.ReadAllText(Path.Combine(tiny.File("tests-out-" + task), "results.json"))).RootElement.GetProperty("tests").GetArrayLength());
        Assert.Contains("ImageNet-A: top1", (await Dino.RunAsync([.. command, "--test", "ImageNet-A=" + tiny.File($"tests-{task}/two")])).Output);
        Assert.Contains("there is no " + tiny.File("gone"), (await Dino.RunAsync([.. command, "--test", tiny.File("gone")])).Error);
    }

    private static double Metric(JsonElement json, string name) => json.GetProperty("metrics").GetProperty(name).GetDouble();

    // Pictures of one colour with noise: red ones, green ones, blue ones.
    private (string Train, string Val) Colors(string name, int train = 4, int val = 3)
    {
        foreach ((string split, int count) in new[] { ("train", train), ("val", val) })
        {
            for (int c = 0; c < 3; c++)
            {
                string folder = tiny.File(Path.Combine(name, split, c switch { 0 => "red", 1 => "green", _ => "blue" }));
                Directory.CreateDirectory(folder);
                for (int i = 0; i < count; i++)
                {
                    var random = new Random((c * 100) + (i * 10) + split.Length);
                    byte[] pixels = [.. Enumerable.Range(0, 40 * 32 * 3).Select(p => (byte)((p % 3 == c ? 190 : 40) + random.Next(40)))];
                    ImageBuffer.FromSamples<byte>(40, 32, 3, pixels).Save(Path.Combine(folder, $"{i}.png"));
                }
            }
        }

        return (tiny.File(Path.Combine(name, "train")), tiny.File(Path.Combine(name, "val")));
    }

    [Theory]
    [InlineData("baseline:hog")]
    [InlineData("baseline:pixels")]
    [InlineData(null)] // the tiny model
    public async Task KnnTellsColorsApart(string? model)
    {
        (string train, string val) = Colors("colors");
        string folder = tiny.File("knn-out");
        JsonElement json = Success(await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", model ?? tiny.Path, "--size", "32", "--pooling", "mean", "--cache", tiny.File("cache"), "--k", "3", "5", "--out", folder, "--json"));
        Assert.Equal(1, Metric(json, "top1"));
        Assert.Equal(Metric(json, "top1"), Metric(json, "k3Top1"));
        Assert.Equal(9, json.GetProperty("n").GetInt32());
        JsonElement interval = json.GetProperty("interval");
        Assert.Equal((1, 1), (interval.GetProperty("low").GetDouble(), interval.GetProperty("high").GetDouble()));
        JsonElement saved = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "results.json"))).RootElement;
        Assert.Equal(1, Metric(saved.GetProperty("summary"), "top1"));
        Assert.Equal(9, saved.GetProperty("items").GetArrayLength());
        Assert.True(ImageFile.Read(Path.Combine(folder, "knn.png")).Width > 700);
    }

    [Fact]
    public async Task KnnGoesOnBehindABrokenPictureAndSaysWhatIsWrongWithFolders()
    {
        (string train, string val) = Colors("broken");
        File.WriteAllText(Path.Combine(val, "red", "broken.png"), "no picture");
        Dino.Outcome outcome = await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", "baseline:pixels", "--json");
        Assert.Equal(1, outcome.Code);
        Assert.Contains("broken.png", outcome.Error);
        Assert.Equal(9, outcome.Json().GetProperty("n").GetInt32());
        Assert.Equal(1, outcome.Json().GetProperty("skipped").GetArrayLength());

        Assert.Contains("lie beside the folders", (await Dino.RunAsync("eval", "knn", "--train", Path.Combine(val, "red"), "--val", val, "--model", "baseline:pixels")).Error);
        Directory.CreateDirectory(tiny.File("one"));
        Directory.Move(Path.Combine(val, "red"), tiny.File("one/red"));
        Assert.Contains("a folder for each of two classes", (await Dino.RunAsync("eval", "knn", "--train", tiny.File("one"), "--val", val, "--model", "baseline:pixels")).Error);
        Assert.Contains("known baselines are baseline:hog and baseline:pixels", (await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", "baseline:hug")).Error);
        Assert.Equal(2, (await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", "baseline:hog", "--k", "0")).Code);
        Assert.Contains("does not fit the patches of 16 pixels", (await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", tiny.Path, "--size", "40")).Error);
        Assert.Contains("is a file", (await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", "baseline:hog", "--out", tiny.Path)).Error);
    }

    [Fact]
    public async Task LogregAndLinearTellColorsApart()
    {
        (string train, string val) = Colors("linear");
        string[] data = ["--train", train, "--val", val, "--model", tiny.Path, "--size", "32", "--cache", tiny.File("cache"), "--json"];
        JsonElement logreg = Success(await Dino.RunAsync(["eval", "logreg", .. data, "--c", "1", "100"]));
        Assert.Equal(1, Metric(logreg, "top1"));
        Assert.Equal("2", logreg.GetProperty("settings").GetProperty("triedC").GetString());
        JsonElement linear = Success(await Dino.RunAsync(["eval", "linear", .. data, "--steps", "40", "--rates", "0.1", "10"]));
        Assert.InRange(Metric(linear, "top1"), 0.6, 1);
        JsonElement augmented = Success(await Dino.RunAsync(["eval", "linear", .. data, "--steps", "3", "--augment"]));
        Assert.Equal("random crops and mirroring", augmented.GetProperty("settings").GetProperty("augmented").GetString());
        Assert.Equal(2, (await Dino.RunAsync(["eval", "linear", .. data, "--rates", "0"])).Code);
        Assert.Contains("known are ImageNet,", (await Dino.RunAsync(["eval", "linear", .. data, "--benchmark", "nowhere"])).Error);
    }

    [Fact]
    public async Task CompareGivesAPairedInterval()
    {
        (string train, string val) = Colors("compare");
        string folder = tiny.File("compare-out");
        JsonElement json = Success(await Dino.RunAsync("eval", "compare", tiny.Path, "baseline:pixels", "--train", train, "--val", val, "--size", "32", "--pooling", "mean", "--cache", tiny.File("cache"), "--k", "3", "--out", folder, "--json"));
        Assert.Equal(0, json.GetProperty("metrics").GetProperty("top1Difference").GetDouble());
        Assert.Equal("no difference can be told", json.GetProperty("verdict").GetString());
        Assert.Equal(9, json.GetProperty("n").GetInt32());
        Assert.True(File.Exists(Path.Combine(folder, "results.json")));

        Dino.Outcome more = await Dino.RunAsync("eval", "compare", "baseline:hog", "baseline:pixels", "--train", train, "--val", val, "--k", "3", "--test", "again=" + val, "--json");
        JsonElement again = Assert.Single(more.Json().GetProperty("tests").EnumerateArray());
        Assert.Equal(("again", 9), (again.GetProperty("name").GetString(), again.GetProperty("n").GetInt32()));
        Assert.Equal(again.GetProperty("b").GetProperty("top1").GetDouble() - again.GetProperty("a").GetProperty("top1").GetDouble(), again.GetProperty("interval").GetProperty("value").GetDouble(), 9);

        Assert.Contains("dino eval knn", (await Dino.RunAsync("eval", "compare", "baseline:hog", "baseline:pixels", "--train", train, "--vall", val)).Error);
        Assert.Equal(2, (await Dino.RunAsync("eval", "compare", "baseline:hog", "baseline:pixels", "--task", "nothing", "--train", train, "--val", val)).Code);
    }

    [Fact]
    public async Task RetrieveRanksColorsFirst()
    {
        (string train, string val) = Colors("retrieve");
        JsonElement json = Success(await Dino.RunAsync("eval", "retrieve", "--database", train, "--queries", val, "--model", "baseline:pixels", "--json"));
        Assert.Equal((1, 1), (Metric(json, "map"), Metric(json, "recallAt1")));
        Assert.Equal(12, Success(await Dino.RunAsync("eval", "retrieve", "--database", train, "--model", "baseline:hog", "--json")).GetProperty("n").GetInt32());
    }

    [Fact]
    public async Task MatchFindsAPictureOnItself()
    {
        tiny.Draw("pairs/a.png");
        tiny.Draw("pairs/b.png");
        File.WriteAllText(tiny.File("pairs/pairs.json"), """[{"id":"same","a":"a.png","b":"b.png","width":160,"height":96,"H_a_to_b":[[1,0,0],[0,1,0],[0,0,1]]}]""");
        JsonElement json = Success(await Dino.RunAsync("eval", "match", tiny.File("pairs"), "--model", tiny.Path, "--size", "96", "--out", tiny.File("match-out"), "--json"));
        Assert.InRange(Metric(json, "pck5"), 0.9, 1); // the ground repeats itself, so a few patches are equal
        Assert.Equal(1, Metric(json, "mutualPck5"));
        Assert.True(File.Exists(tiny.File("match-out/match.png")));
        Assert.Contains("H_a_to_b", (await Dino.RunAsync("eval", "match", tiny.File("."), "--model", tiny.Path)).Error);
    }

    [Fact]
    public async Task TrackScoresAVideoThatStandsStill()
    {
        for (int t = 0; t < 4; t++)
        {
            tiny.Draw($"video/frames/{t:00000}.png");
            Directory.CreateDirectory(tiny.File("video/masks"));
            new LabelMap(160, 96, [.. Enumerable.Range(0, 160 * 96).Select(i => Math.Pow((i % 160) - 48, 2) + Math.Pow((i / 160) - 48, 2) < 800 ? (byte)1 : (byte)0)]).Save(tiny.File($"video/masks/{t:00000}.png"));
        }

        JsonElement json = Success(await Dino.RunAsync("eval", "track", tiny.File("video"), "--model", tiny.Path, "--size", "96", "--out", tiny.File("track-out"), "--json"));
        Assert.InRange(Metric(json, "j"), 0.5, 1);
        Assert.Equal((Metric(json, "j") + Metric(json, "f")) / 2, Metric(json, "jAndF"), 9);
        Assert.True(File.Exists(tiny.File("track-out/track.png")));
        File.Delete(tiny.File("video/masks/00002.png"));
        Assert.Contains("00002.png", (await Dino.RunAsync("eval", "track", tiny.File("video"), "--model", tiny.Path)).Error);
    }
}
