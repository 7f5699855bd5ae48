using System.Text.Json;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Tests.Heads;
using DinoSharp.Weights;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary><c>dino eval text</c> on towers with random weights.</summary>
public sealed class EvalTextVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private string Towers()
    {
        if (File.Exists(tiny.File("towers.safetensors"))) return tiny.File("towers.safetensors");
        using DinoTextHead head = TinyHeads.Filled(new DinoTextHead(new DinoTextConfig
        {
            EmbedDim = 96,
            VisionWidth = TinyModel.Config.Width,
            VisionHeads = TinyModel.Config.Heads,
            ContextLength = 16,
            TextWidth = 64,
            TextHeads = 1,
            TextLayers = 1,
        }));
        SafetensorsWriter.Write(tiny.File("towers.safetensors"), head.state_dict());
        return tiny.File("towers.safetensors");
    }

    [Fact]
    public async Task CaptionsAndPicturesFindEachOther()
    {
        foreach (string name in (string[])["a", "b", "c"]) tiny.Draw($"photos/{name}.png", 64, 64, name[0]);
        File.WriteAllText(tiny.File("photos/broken.png"), "no picture");
        string captions = tiny.File("captions.json"), folder = tiny.File("text-out");
        string sentences = string.Join(",", Enumerable.Range(1, 4).SelectMany(i => Enumerable.Range(0, 2).Select(j => $$"""{"image_id":{{i}},"caption":"picture {{i}} said {{j}}"}""")));
        File.WriteAllText(captions, $$"""{"images":[{"id":1,"file_name":"a.png"},{"id":2,"file_name":"b.png"},{"id":3,"file_name":"c.png"},{"id":4,"file_name":"broken.png"}],"annotations":[{{sentences}}]}""");
        string[] command = ["eval", "text", "--text", Towers(), "--captions", captions, "--images", tiny.File("photos"), "--model", tiny.Path];
        Dino.Outcome outcome = await Dino.RunAsync([.. command, "--out", folder, "--json"]);
        Assert.Equal(1, outcome.Code); // a picture is broken
        Assert.Contains("broken.png", outcome.Error);
        JsonElement json = outcome.Json();
        Assert.Equal((3, 1), (json.GetProperty("n").GetInt32(), json.GetProperty("skipped").GetArrayLength()));
        JsonElement backwards = Assert.Single(json.GetProperty("tests").EnumerateArray());
        Assert.Equal(("text-to-image", 6), (backwards.GetProperty("name").GetString(), backwards.GetProperty("n").GetInt32()));
        Assert.True(File.Exists(Path.Combine(folder, "text.png")));

        // The same by the vectors themselves.
        using DinoModel model = DinoModel.Load(tiny.Path);
        using DinoText text = DinoText.Load(model, Towers());
        float[][] pictures = [.. ((string[])["a", "b", "c"]).Select(n => text.EncodeImage(tiny.File($"photos/{n}.png")))];
        float[][] words = text.EncodeTexts([.. Enumerable.Range(1, 3).SelectMany(i => Enumerable.Range(0, 2).Select(j => $"picture {i} said {j}"))]);
        double Similarity(int picture, int caption) => pictures[picture].Zip(words[caption]).Sum(p => p.First * p.Second);
        double imageToText = Enumerable.Range(0, 3).Average(i => Enumerable.Range(0, 6).MaxBy(c => Similarity(i, c)) / 2 == i ? 1.0 : 0);
        double textToImage = Enumerable.Range(0, 6).Average(c => Enumerable.Range(0, 3).MaxBy(i => Similarity(i, c)) == c / 2 ? 1.0 : 0);
        Assert.Equal((imageToText, textToImage), (Metric(json, "imageToTextRecallAt1"), Metric(json, "textToImageRecallAt1")));
        Assert.Equal(textToImage, backwards.GetProperty("interval").GetProperty("value").GetDouble(), 12);
        Assert.Equal(1, Metric(json, "textToImageRecallAt5"));

        File.WriteAllText(tiny.File("templates.txt"), "a photo of {}\na drawing of {}\n");
        Assert.Equal("a photo of {} | a drawing of {}", (await Dino.RunAsync([.. command, "--templates", tiny.File("templates.txt"), "--json"])).Json().GetProperty("settings").GetProperty("templates").GetString());
        Assert.Contains("there is no file", (await Dino.RunAsync("eval", "text", "--text", Towers(), "--captions", tiny.File("gone.json"), "--images", tiny.File("photos"), "--model", tiny.Path)).Error);
        Assert.Equal(2, (await Dino.RunAsync("eval", "text", "--text", Towers(), "--captions", captions, "--model", tiny.Path)).Code);
    }

    [Fact]
    public async Task ClassesAreNamedAndDrawnAsAMatrix()
    {
        foreach (string name in (string[])["ball", "sky"])
        {
            for (int i = 0; i < 2; i++) tiny.Draw($"classes/{name}/{i}.png", 64, 64, i + name.Length);
        }

        Dino.Outcome outcome = await Dino.RunAsync("eval", "text", "--text", Towers(), "--images", tiny.File("classes"), "--model", tiny.Path, "--out", tiny.File("class-out"), "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.Equal(4, outcome.Json().GetProperty("n").GetInt32());
        Assert.True(ImageFile.ReadInfo(tiny.File("class-out/text.png")).Width > 100);
    }

    [Fact]
    public async Task SegmentsAreNamedAndShown()
    {
        tiny.Draw("maps/images/val/a.png", 64, 48);
        Directory.CreateDirectory(tiny.File("maps/labels/val"));
        new LabelMap(64, 48, [.. Enumerable.Range(0, 64 * 48).Select(i => (byte)(i % 64 / 32))]).Save(tiny.File("maps/labels/val/a.png"));
        File.WriteAllText(tiny.File("maps/classes.csv"), "id,name\n0,sky\n1,road\n");
        Dino.Outcome outcome = await Dino.RunAsync("eval", "text", "--text", Towers(), "--segment", tiny.File("maps"), "--model", tiny.Path, "--out", tiny.File("maps-out"), "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.InRange(Metric(outcome.Json(), "miou"), 0, 1);
        Assert.True(File.Exists(tiny.File("maps-out/text.png")));
    }

    private static double Metric(JsonElement json, string name) => json.GetProperty("metrics").GetProperty(name).GetDouble();
}
