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
        JsonElement json = Success(await Dino.RunAsync("eval", "knn", "--train", train, "--val", val, "--model", model ?? tiny.Path, "--size", "32", "--pooling", "mean", "--k", "3", "5", "--out", folder, "--json"));
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
}
