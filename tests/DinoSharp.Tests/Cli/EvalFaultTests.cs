using System.Text.Json;
using DinoSharp.Images;
using DinoSharp.Tests.Training.Fitting;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>What <c>dino eval</c> refuses, warns of, and compares.</summary>
public sealed class EvalFaultTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Fact]
    public async Task ABenchmarkThatARunDoesNotMeasureIsRefusedByName()
    {
        Directory.CreateDirectory(tiny.File("cityscapes/leftImg8bit"));
        Directory.CreateDirectory(tiny.File("plain"));
        File.WriteAllText(tiny.File("nyu_test.txt"), "");
        await Refused("those which fit are Cityscapes", "segment", tiny.File("cityscapes"), "--benchmark", "ADE20K");
        await Refused("those which fit are NYU", "depth", tiny.File("."), "--benchmark", "KITTI");
        await Refused("those which fit are DAVIS@480", "track", tiny.File("plain"), "--benchmark", "DAVIS@960");
        await Refused("leave --benchmark out", "match", tiny.File("plain"), "--benchmark", "SPair");
        await Refused("AmsterTime", "retrieve", "--database", tiny.File("plain"), "--benchmark", "Oxford-Hard");
        await Refused("those which fit are ImageNet", "text", "--text", "t", "--images", tiny.File("plain"), "--benchmark", "ADE20K");
        await Refused("those which fit are COCO", "text", "--text", "t", "--captions", "c.json", "--images", tiny.File("plain"), "--benchmark", "ImageNet");
        await Refused("those which fit are VOC07, VOC12", "discover", "--voc", tiny.File("plain"), "--benchmark", "COCO20k");
        await Refused("those which fit are COCO@1536, COCO@2048", "detect", "--head", "h", "--coco", "c.json", "--images", tiny.File("plain"), "--benchmark", "COCO-TTA");
        await Refused("measures something else", "linear", "--train", "a", "--val", "b", "--size", "256", "--benchmark", "ImageNet-R@512");
        await Refused("measures something else", "linear", "--train", "a", "--val", "b", "--benchmark", "ImageNet-C");

        async Task Refused(string words, params string[] command)
        {
            Dino.Outcome outcome = await Dino.RunAsync(["eval", .. command]);
            Assert.Equal(1, outcome.Code);
            Assert.Contains(words, outcome.Error);
        }
    }

    [Fact]
    public async Task PicturesOnBothSidesAreTold()
    {
        foreach (string part in (string[])["train", "val"])
        {
            foreach (string name in (string[])["a", "b"])
            {
                for (int i = 0; i < 2; i++) tiny.Draw($"leak/{part}/{name}/{i}.png", 40, 32, i + (name[0] * 7) + (part.Length * 31));
            }
        }

        string[] command = ["eval", "knn", "--train", tiny.File("leak/train"), "--val", tiny.File("leak/val"), "--model", "baseline:pixels", "--k", "1", "--json"];
        Assert.Equal(0, (await Dino.RunAsync(command)).Json().GetProperty("leaked").GetArrayLength());
        File.Copy(tiny.File("leak/train/a/0.png"), tiny.File("leak/val/a/again.png"));
        Dino.Outcome outcome = await Dino.RunAsync(command);
        Assert.Equal(tiny.File("leak/val/a/again.png"), Assert.Single(outcome.Json().GetProperty("leaked").EnumerateArray()).GetString());
        Assert.Contains("1 pictures to judge by are also among those learnt from", outcome.Error);

        // One class is enough to judge by.
        Directory.Delete(tiny.File("leak/val/b"), recursive: true);
        Assert.Equal(3, (await Dino.RunAsync(command)).Json().GetProperty("n").GetInt32());
        Directory.Delete(tiny.File("leak/train/b"), recursive: true);
        Assert.Contains("a folder for each of two classes", (await Dino.RunAsync(command)).Output);
    }

    [Theory]
    [InlineData("knn", "--k", "1")]
    [InlineData("logreg", "--c", "1", "1000")]
    public async Task PicturesWithSeveralLabelsAreScored(string task, params string[] more)
    {
        File.WriteAllText(tiny.File("several.csv"), "path,labels\n" + string.Concat(Enumerable.Range(0, 6).Select(i => $"{tiny.Draw($"several/{i}.png", 40, 32, i)},{(i % 2 == 0 ? "even" : "odd")};{(i < 3 ? "low" : "high")}\n")));
        string[] command = ["eval", task, "--train", tiny.File("several.csv"), "--val", tiny.File("several.csv"), "--model", "baseline:pixels", .. more];
        JsonElement json = (await Dino.RunAsync([.. command, "--out", tiny.File("several-out-" + task), "--json"])).Json();
        Assert.InRange(json.GetProperty("metrics").GetProperty("map").GetDouble(), 0.9, 1); // every picture is its own nearest neighbour
        Assert.Equal((6, "map"), (json.GetProperty("n").GetInt32(), json.GetProperty("interval").GetProperty("metric").GetString()));
        Assert.Equal(6, json.GetProperty("leaked").GetArrayLength());
        Assert.True(ImageFile.ReadInfo(tiny.File($"several-out-{task}/{task}.png")).Width > 400);
        Assert.Contains("several labels for each picture", (await Dino.RunAsync("eval", "linear", "--train", tiny.File("several.csv"), "--val", tiny.File("several.csv"), "--model", "baseline:pixels")).Error);
        Assert.Contains("give both in the same form", (await Dino.RunAsync("eval", task, "--train", tiny.File("several.csv"), "--val", tiny.File("."), "--model", "baseline:pixels")).Error);
    }

    [Fact]
    public async Task PlacesOfPairsLieOnTheStoredPixels()
    {
        string turned = Repository.Shared("data/odd/exif_orientation_6.jpg");
        ImageInfo stored = ImageFile.ReadInfo(ImageSource.Stored(turned));
        Directory.CreateDirectory(tiny.File("turned"));
        foreach (string name in (string[])["a", "b"]) File.Copy(turned, tiny.File($"turned/{name}.jpg"));
        File.WriteAllText(tiny.File("turned/pairs.json"), $$"""[{"a":"a.jpg","b":"b.jpg","width":{{stored.Width}},"height":{{stored.Height}},"H_a_to_b":[[1,0,0],[0,1,0],[0,0,1]]}]""");
        JsonElement json = (await Dino.RunAsync("eval", "match", tiny.File("turned"), "--model", tiny.Path, "--size", "64", "--json")).Json();
        // Upright, a part of the middles of the patches would lie beyond the stored width or height.
        int patches = 4 * Math.Max(1, (int)Math.Round(4.0 * stored.Width / stored.Height));
        Assert.Equal(patches.ToString(System.Globalization.CultureInfo.InvariantCulture), json.GetProperty("settings").GetProperty("places").GetString());
    }

    [Fact]
    public async Task TwoHeadsAreComparedOnTheSamePictures()
    {
        using var folder = new TemporaryFolder();
        string scenes = PaintedScenes.Draw(folder, "scenes", 6, 1), cache = tiny.File("heads-cache");
        string[] data = ["--coco", Path.Combine(scenes, "boxes.json"), "--images", Path.Combine(scenes, "images"), "--model", tiny.Path];
        foreach ((string head, string steps) in new[] { ("one", "1"), ("two", "40") })
        {
            Dino.Outcome fitted = await Dino.RunAsync(["fit", "detect", .. data, "--steps", steps, "--size", "64", "--cache", cache, "--out", folder.File(head + ".safetensors"), "--json"]);
            Assert.True(fitted.Code == 0, fitted.Error);
            Assert.Empty(fitted.Json().GetProperty("leaked").EnumerateArray());
        }

        Dino.Outcome same = await Dino.RunAsync(["fit", "detect", .. data, "--val-coco", data[1], "--val-images", data[3], "--steps", "1", "--size", "64", "--cache", cache, "--out", folder.File("same.safetensors"), "--json"]);
        Assert.Equal(6, same.Json().GetProperty("leaked").GetArrayLength());
        Assert.Contains("6 pictures to judge by are also among those learnt from", same.Error);
        string[] boxes = data[..4];
        Dino.Outcome outcome = await Dino.RunAsync(["eval", "compare", tiny.Path, tiny.Path, "--task", "detect", "--head", folder.File("one.safetensors"), "--head", folder.File("two.safetensors"), .. boxes, "--json"]);
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        JsonElement json = outcome.Json(), a = json.GetProperty("a"), b = json.GetProperty("b");
        Assert.EndsWith("with " + folder.File("one.safetensors"), a.GetProperty("model").GetString());
        double alone = (await Dino.RunAsync(["eval", "detect", "--head", folder.File("two.safetensors"), .. data, "--json"])).Json().GetProperty("metrics").GetProperty("ap").GetDouble();
        Assert.Equal(alone, b.GetProperty("metrics").GetProperty("ap").GetDouble(), 12);
        Assert.Equal(alone - a.GetProperty("metrics").GetProperty("ap").GetDouble(), json.GetProperty("metrics").GetProperty("apDifference").GetDouble(), 12);
        Assert.Equal(6, json.GetProperty("n").GetInt32());
        Assert.Contains("first that of A", (await Dino.RunAsync(["eval", "compare", tiny.Path, tiny.Path, "--task", "detect", "--head", "1", "--head", "2", "--head=3", .. boxes])).Error);
    }
}
