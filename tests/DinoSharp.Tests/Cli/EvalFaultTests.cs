using System.Text.Json;
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
