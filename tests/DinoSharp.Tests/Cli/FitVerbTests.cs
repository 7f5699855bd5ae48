using System.Text.Json;
using DinoSharp.Images;
using DinoSharp.Tests.Training.Fitting;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>The verbs fit and predict, from end to end with a tiny model.</summary>
public sealed class FitVerbTests(TinyModel tiny) : IClassFixture<TinyModel>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private Task<Dino.Outcome> Fit(string verb, params string[] more) => Dino.RunAsync(["fit", verb, .. more, "--model", tiny.Path, "--size", "64", "--cache", tiny.File("cache"), "--json"]);

    private static JsonElement Success(Dino.Outcome outcome)
    {
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        return outcome.Json();
    }

    [Theory]
    [InlineData("linear")]
    [InlineData("knn")]
    public async Task AClassifierIsFittedAndUsed(string method)
    {
        string head = _folder.File("head.safetensors"), train = TwoScenes.Draw(_folder, "train", 10, seed: 1), val = TwoScenes.Draw(_folder, "val", 5, seed: 2);
        JsonElement json = Success(await Fit("classify", train, "--val", val, "--out", head, "--method", method, "--k", "3"));
        double top1 = json.GetProperty("metrics").GetProperty("top1").GetDouble();
        Assert.InRange(top1, 0.8, 1);
        Assert.InRange(top1, json.GetProperty("interval").GetProperty("low").GetDouble(), json.GetProperty("interval").GetProperty("high").GetDouble());
        Assert.Equal(10, json.GetProperty("n").GetInt32());
        ImageBuffer picture = ImageFile.Read(json.GetProperty("picture").GetString()!);
        Assert.True(picture.Width > 100 && picture.Height > 100);

        // The head knows its backbone.
        JsonElement predictions = Success(await Dino.RunAsync("predict", head, val, "--json")).GetProperty("images");
        Assert.Equal(10, predictions.GetArrayLength());
        double right = predictions.EnumerateArray().Average(p => Path.GetFileName(Path.GetDirectoryName(p.GetProperty("path").GetString()!)) == p.GetProperty("label").GetString() ? 1.0 : 0);
        Assert.Equal(top1, right, 10);
    }

    [Fact]
    public async Task MistakesAreToldBeforeAnythingIsComputed()
    {
        string train = TwoScenes.Draw(_folder, "train", 3, seed: 1);
        Assert.Contains(".safetensors", (await Fit("classify", train, "--out", _folder.File("head.txt"))).Error);
        Assert.Contains("there is no folder", (await Fit("classify", train, "--out", _folder.File("none", "head.safetensors"))).Error);
        Assert.Contains("no such folder or table", (await Fit("classify", _folder.File("missing"), "--out", _folder.File("head.safetensors"))).Error);
        Assert.Contains("linear or knn", (await Fit("classify", train, "--out", _folder.File("head.safetensors"), "--method", "svm")).Error);
        Assert.False(File.Exists(_folder.File("head.safetensors")));
        Assert.Equal(1, (await Dino.RunAsync("predict", tiny.Path, train)).Code);
    }

    [Fact]
    public async Task PredictGoesOnBehindABrokenPicture()
    {
        string head = _folder.File("head.safetensors"), train = TwoScenes.Draw(_folder, "train", 4, seed: 1);
        File.WriteAllText(_folder.File("train", "along", "broken.png"), "nothing");
        Dino.Outcome fitted = await Fit("classify", train, "--out", head);
        Assert.Equal(1, fitted.Code);
        Assert.Contains("broken.png", fitted.Error);
        Dino.Outcome outcome = await Dino.RunAsync("predict", head, train, "--json");
        Assert.Equal(1, outcome.Code);
        Assert.Contains("broken.png", outcome.Error);
        Assert.Equal(8, outcome.Json().GetProperty("images").GetArrayLength());
        Assert.Equal(1, outcome.Json().GetProperty("skipped").GetArrayLength());
    }
}
