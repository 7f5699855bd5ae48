using System.Text.Json;
using DinoSharp.Cli.Demo;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Cli;

public sealed class DemoVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Fact]
    public async Task ThePageHoldsEveryPictureAndNeedsNoOtherFile()
    {
        string page = tiny.File("demo.html");
        Dino.Outcome outcome = await Dino.RunAsync("demo", tiny.Draw("demo/a.png", 320, 192), tiny.Draw("demo/b & c.png", 320, 192, seed: 3), "--model", tiny.Path, "--size", "96", "--out", page, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        JsonElement images = outcome.Json().GetProperty("images");
        Assert.Equal(2, images.GetArrayLength());
        Assert.All(images.EnumerateArray(), image => Assert.True(image.GetProperty("embedSeconds").GetDouble() > 0 && image.GetProperty("extractSeconds").GetDouble() > 0));
        string html = File.ReadAllText(page);
        Assert.Equal(2 * (5 + 1), html.Split("data:image/jpeg;base64,").Length - 1); // five views and one neighbour each
        Assert.Contains("b &amp; c.png", html, StringComparison.Ordinal);
        Assert.DoesNotContain("src=\"http", html, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WithoutPicturesTheSamplesAreShown()
    {
        string page = tiny.File("samples.html");
        Dino.Outcome outcome = await Dino.RunAsync("demo", "--most", "2", "--model", tiny.Path, "--size", "64", "--out", page, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.Equal(["still-life.jpg", "robin.jpg"], outcome.Json().GetProperty("images").EnumerateArray().Select(image => image.GetProperty("path").GetString()));
        Assert.Contains("expected a name that ends in .html", (await Dino.RunAsync("demo", "--model", tiny.Path, "--out", tiny.File("page.png"))).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheInputsFitTogether()
    {
        string folder = tiny.File("inputs");
        Dino.Outcome outcome = await Dino.RunAsync("demo", "--inputs", folder, "--model", tiny.Path, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.All(outcome.Json().GetProperty("files").EnumerateArray(), file => Assert.True(File.Exists(file.GetString())));
        foreach (string kind in new[] { "clip/masks/00000.png", "examples/masks/0.png", "change/mask.png" })
        {
            Assert.Equal([0, 1], LabelMap.Read(Path.Combine(folder, kind)).Ids);
        }

        // Truth that the world knows exactly: the same clip and the same masks every time.
        byte[] before = File.ReadAllBytes(Path.Combine(folder, "clip/masks/00003.png"));
        await Dino.RunAsync("demo", "--inputs", folder, "--model", tiny.Path);
        Assert.Equal(before, File.ReadAllBytes(Path.Combine(folder, "clip/masks/00003.png")));

        // The drawn pair, clip and change go through the verbs.
        string[] model = ["--model", tiny.Path, "--json"];
        JsonElement track = (await Dino.RunAsync(["track", Path.Combine(folder, "clip/frames"), "--mask", Path.Combine(folder, "clip/masks/00000.png"), "--truth", Path.Combine(folder, "clip/masks"), "--size", "192", "--out", tiny.File("track"), .. model])).Json();
        Assert.InRange(track.GetProperty("scores").GetProperty("j").GetDouble(), 0.05, 1);
        JsonElement change = (await Dino.RunAsync(["change", Path.Combine(folder, "change/before.png"), Path.Combine(folder, "change/after.png"), "--labels", Path.Combine(folder, "change/mask.png"), "--size", "288", "--out", tiny.File("change.png"), .. model])).Json();
        Assert.InRange(change.GetProperty("scores").GetProperty("f1").GetDouble(), 0.05, 1);
    }

    [Fact]
    public void UnderACeilingThatForcesTilesThereIsNoAttention()
    {
        using DinoModel model = DinoModel.Load(tiny.Path);
        var photo = new Photo("drawn", TinyModel.Picture(1024, 1024));
        var options = new ExtractOptions { ImageSizePixels = 1024 };
        long attention = model.PlanAttention("drawn", 1024, 1024, -1, options).PeakBytes;
        Assert.NotNull(DemoPicture.Look(model, photo, options with { MaxMemoryBytes = attention * 2 }, default).Attention);
        Assert.Null(DemoPicture.Look(model, photo, options with { MaxMemoryBytes = attention - 1 }, default).Attention);
    }
}
