using System.Text.Json;
using DinoSharp.Images;
using DinoSharp.Tests.Training.Fitting;
using DinoSharp.Weights;
using TorchSharp;
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
    public async Task DenseHeadsAreFittedAndUsed()
    {
        string train = PaintedScenes.Draw(_folder, "train", 6, seed: 1), images = Path.Combine(train, "images");
        File.WriteAllText(_folder.File("classes.csv"), PaintedScenes.ClassTable);
        string[] few = ["--images", images, "--steps", "10", "--batch", "2"];
        JsonElement segment = Success(await Fit("segment", [.. few, "--labels", Path.Combine(train, "labels"), "--classes", _folder.File("classes.csv"), "--out", _folder.File("segment.safetensors")]));
        JsonElement depth = Success(await Fit("depth", [.. few, "--depth", Path.Combine(train, "depth"), "--depth-scale", "0.001", "--out", _folder.File("depth.safetensors")]));
        JsonElement detect = Success(await Fit("detect", [.. few, "--coco", Path.Combine(train, "boxes.json"), "--out", _folder.File("detect.safetensors")]));
        foreach (JsonElement fitted in (JsonElement[])[segment, depth, detect])
        {
            Assert.Equal((5, 1), (fitted.GetProperty("trained").GetInt32(), fitted.GetProperty("n").GetInt32()));
            Assert.True(File.Exists(fitted.GetProperty("picture").GetString()));
            Assert.True(fitted.GetProperty("interval").TryGetProperty("low", out _));
        }

        // Heads with an answer for each pixel look as they are told to.
        string[] look = ["--flip", "--scales", "0.75", "1", "--size", "native", "--window", "64", "--max-memory", "8GB", "--out", _folder.File("look"), "--json"];
        foreach (string kind in (string[])["segment", "depth"])
            Assert.Equal(6, Success(await Dino.RunAsync(["predict", _folder.File(kind + ".safetensors"), images, .. look])).GetProperty("images").GetArrayLength());
        Dino.Outcome refused = await Dino.RunAsync(["predict", _folder.File("detect.safetensors"), images, .. look]);
        Assert.Equal(1, refused.Code);
        Assert.Contains("is a CenterDetection head", refused.Json().GetProperty("error").GetString());
        Success(await Dino.RunAsync("predict", _folder.File("detect.safetensors"), images, "--size", "96", "--out", _folder.File("look"), "--json"));
        Assert.Contains("the limit is", (await Dino.RunAsync("predict", _folder.File("segment.safetensors"), images, "--max-memory", "1MB", "--json")).Json().GetProperty("error").GetString());
        Assert.Contains("--labels and --per-pixel are for dino.txt", (await Dino.RunAsync("predict", _folder.File("segment.safetensors"), images, "--labels", "a, b", "--json")).Json().GetProperty("error").GetString());
        Assert.Equal(2, (await Dino.RunAsync("predict", _folder.File("segment.safetensors"), images, "--size", "big")).Code);

        // Depth reads the same layer at the same size as the segmentor: its features were there.
        Assert.Equal((6, 0), (segment.GetProperty("computed").GetInt32(), depth.GetProperty("computed").GetInt32()));
        foreach (string kind in (string[])["segment", "depth", "detect"])
        {
            JsonElement predictions = Success(await Dino.RunAsync("predict", _folder.File(kind + ".safetensors"), images, "--out", _folder.File(kind), "--json")).GetProperty("images");
            Assert.Equal(6, predictions.GetArrayLength());
            Assert.True(Directory.EnumerateFiles(_folder.File(kind)).Count() is 6 or 12);
        }

        LabelMap mask = LabelMap.Read(_folder.File("segment", "02.png"));
        Assert.Equal((90, 75), (mask.Width, mask.Height));
        Assert.Contains("belong together", (await Fit("segment", [.. few, "--labels", Path.Combine(train, "labels"), "--val-images", images, "--classes", _folder.File("classes.csv"), "--out", _folder.File("x.safetensors")])).Error);
        Assert.Equal(2, (await Fit("detect", "--out", _folder.File("x.safetensors"))).Code);
    }

    [Fact]
    public async Task ThingsAreEnrolledAnomaliesFoundAndAdviceGiven()
    {
        string gallery = TwoScenes.Draw(_folder, "gallery", 4, seed: 1), things = _folder.File("things.safetensors"), normal = _folder.File("normal.safetensors");
        string[] shared = ["--model", tiny.Path, "--cache", tiny.File("cache"), "--json"];
        JsonElement enrolled = Success(await Dino.RunAsync(["enroll", gallery, "--out", things, "--size", "64", .. shared]));
        Assert.InRange(enrolled.GetProperty("threshold").GetDouble(), -1, 1);
        JsonElement recognised = Success(await Dino.RunAsync("recognise", things, gallery, "--json")).GetProperty("images");
        Assert.All(recognised.EnumerateArray(), p => Assert.Equal(Path.GetFileName(Path.GetDirectoryName(p.GetProperty("path").GetString()!)), p.GetProperty("label").GetString()));

        Success(await Dino.RunAsync(["fit", "anomaly", Path.Combine(gallery, "along"), "--val-normal", Path.Combine(gallery, "along"), "--val-unusual", Path.Combine(gallery, "across"), "--out", normal, "--size", "64", .. shared]));
        JsonElement maps = Success(await Dino.RunAsync("predict", normal, gallery, "--out", _folder.File("maps"), "--json")).GetProperty("images");
        Assert.All(maps.EnumerateArray(), m => Assert.True(File.Exists(m.GetProperty("map").GetString())));

        JsonElement advice = Success(await Dino.RunAsync(["advise", gallery, "--task", "classify", "--sizes", "64", .. shared]));
        Assert.True(advice.GetProperty("tried").GetArrayLength() > 2);
        Assert.True(advice.TryGetProperty("interval", out _));
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

    /// <summary>The official linear probe keeps a classifier for each learning rate in one file.</summary>
    [Fact]
    public async Task OneOfSeveralClassifiersIsAskedForByName()
    {
        string probe = _folder.File("probe.safetensors"), picture = tiny.Draw("probe.png");
        using (torch.NewDisposeScope())
        {
            SafetensorsWriter.Write(probe, new[] { "lr_0_001", "lr_0_01" }.SelectMany((name, i) => new[]
            {
                KeyValuePair.Create($"classifiers_dict.{name}.linear.weight", torch.zeros(3, 2 * TinyModel.Config.Width)),
                KeyValuePair.Create($"classifiers_dict.{name}.linear.bias", torch.tensor((float[])(i == 0 ? [5, 0, 0] : [0, 0, 5]))),
            }));
        }

        Dino.Outcome unnamed = await Dino.RunAsync("predict", probe, picture, "--model", tiny.Path);
        Assert.Equal(1, unnamed.Code);
        Assert.Contains("holds 2 classifiers", unnamed.Error);
        Assert.Contains("lr_0_001, lr_0_01", unnamed.Error);
        JsonElement named = Success(await Dino.RunAsync("predict", probe, picture, "--model", tiny.Path, "--classifier", "lr_0_01", "--json")).GetProperty("images")[0];
        Assert.Equal("class 2", named.GetProperty("label").GetString());
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
