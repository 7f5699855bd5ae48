using System.Text.Json;
using DinoSharp.Cli.Video;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Cli;

public sealed class TrackVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private const int Width = 160, Height = 96;

    // The disk of the tiny model's pictures stays where it is; the ground changes a little.
    private string Frames(string name, int count)
    {
        for (int t = 0; t < count; t++) tiny.Draw($"{name}/frame{t + 8}.png", Width, Height, seed: t % 2 * 5);
        return tiny.File(name);
    }

    private string Mask(string name)
    {
        double radius = Height * 0.3;
        string path = tiny.File(name);
        new LabelMap(Width, Height, [.. Enumerable.Range(0, Width * Height).Select(i => Math.Pow((i % Width) - (Width * 0.3), 2) + Math.Pow((i / Width) - (Height * 0.5), 2) < radius * radius ? (byte)4 : (byte)0)]).Save(path);
        return path;
    }

    private Task<Dino.Outcome> Run(string frames, string mask, params string[] more) => Dino.RunAsync(["track", frames, "--mask", mask, "--model", tiny.Path, "--size", "96", .. more]);

    [Fact]
    public async Task MasksAreNamedAsTheFramesAndKeepTheIds()
    {
        string frames = Frames("walk", 4), mask = Mask("walk.png"), masks = tiny.File("walk.masks");
        Dino.Outcome outcome = await Run(frames, mask, "--out", masks, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        string[] files = [.. outcome.Json().GetProperty("masks").EnumerateArray().Select(m => m.GetString()!)];
        Assert.Equal(["frame8.png", "frame9.png", "frame10.png", "frame11.png"], files.Select(Path.GetFileName)); // as people count
        byte[] truth = LabelMap.Read(mask).Values.ToArray();
        foreach (string file in files)
        {
            LabelMap map = LabelMap.Read(file);
            Assert.Equal((Width, Height), (map.Width, map.Height));
            Assert.Equal([0, 4], map.Ids);
            Assert.InRange(map.Values.ToArray().Zip(truth).Average(p => p.First == p.Second ? 1.0 : 0), 0.9, 1);
        }

        Assert.Equal(4, ImageFile.ReadInfo(Path.Combine(masks, "overlay.gif")).Frames);
    }

    [Fact]
    public async Task AnAnimationIsAVideoToo()
    {
        string gif = tiny.File("clip.gif");
        AnimationWriter.Save(gif, [.. Enumerable.Range(0, 3).Select(t => TinyModel.Picture(Width, Height, t % 2 * 5))], 10);
        Dino.Outcome outcome = await Run(gif, Mask("clip.png"), "--out", tiny.File("clip.masks"), "--json");
        Assert.Equal(["00000.png", "00001.png", "00002.png"], outcome.Json().GetProperty("masks").EnumerateArray().Select(m => Path.GetFileName(m.GetString()!)));
    }

    [Fact]
    public async Task TrueMasksGiveScores()
    {
        string frames = Frames("scored", 4), mask = Mask("scored.png"), truth = tiny.File("truth");
        Directory.CreateDirectory(truth);
        for (int t = 8; t < 12; t++) File.Copy(mask, Path.Combine(truth, $"frame{t}.png"), overwrite: true);
        JsonElement scores = (await Run(frames, mask, "--out", tiny.File("scored.masks"), "--truth", truth, "--json")).Json().GetProperty("scores");
        Assert.InRange(scores.GetProperty("j").GetDouble(), 0.6, 1);
        Assert.Equal(4, scores.GetProperty("objects")[0].GetProperty("id").GetInt32());
        File.Delete(Path.Combine(truth, "frame10.png"));
        Dino.Outcome outcome = await Run(frames, mask, "--truth", truth);
        Assert.Contains("frame10.png", outcome.Error);
    }

    [Fact]
    public async Task WhatCannotBeTrackedIsSaid()
    {
        string empty = tiny.File("empty.png"), frames = Frames("plain", 2);
        new LabelMap(2, 2, new byte[4]).Save(empty);
        Assert.Contains("no object", (await Run(frames, empty)).Error);
        Assert.Contains("single picture", (await Run(tiny.Draw("still.png"), Mask("s.png"))).Error);
        Assert.Contains("no such file", (await Run(tiny.File("nowhere"), Mask("s.png"))).Error);
        Directory.CreateDirectory(tiny.File("hollow"));
        Assert.Contains("holds no pictures", (await Run(tiny.File("hollow"), Mask("s.png"))).Error);
    }

    [Fact]
    public async Task AFrameOfAnotherSizeIsNamed()
    {
        string frames = Frames("mixed", 2);
        tiny.Draw("mixed/frame99.png", 100, 100);
        Dino.Outcome outcome = await Run(frames, Mask("mixed.png"), "--out", tiny.File("mixed.masks"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains("frame99.png has 100x100", outcome.Error);
    }

    [Fact]
    public async Task VideoFilesGoThroughFfmpeg()
    {
        string video = tiny.File("clip.mp4");
        ImageBuffer[] frames = [.. Enumerable.Range(0, 5).Select(t => TinyModel.Picture(Width, Height, t % 2 * 5))];
        try
        {
            await Ffmpeg.WriteAsync(video, frames, 10, TestContext.Current.CancellationToken);
        }
        catch (DinoSharpException e) when (e.Message.Contains("PATH"))
        {
            Assert.Skip("ffmpeg is not on this machine");
        }

        Dino.Outcome outcome = await Run(video, Mask("video.png"), "--out", tiny.File("video.masks"), "--overlay", tiny.File("over.mp4"), "--json");
        Assert.Equal(5, outcome.Json().GetProperty("masks").GetArrayLength());
        Assert.True(new FileInfo(tiny.File("over.mp4")).Length > 1000);
        File.WriteAllText(tiny.File("broken.mp4"), "no video");
        Assert.Contains("ffmpeg failed", (await Run(tiny.File("broken.mp4"), Mask("video.png"))).Error);
    }

    [Fact]
    public async Task NothingThatIsReadIsReplaced()
    {
        string frames = Frames("kept", 3), mask = Mask("kept.png");
        byte[] before = await File.ReadAllBytesAsync(Path.Combine(frames, "frame9.png"), TestContext.Current.CancellationToken);
        Assert.Contains("one of the inputs", (await Run(frames, mask, "--out", frames)).Error);
        Directory.CreateSymbolicLink(tiny.File("kept.link"), frames);
        Assert.Contains("one of the inputs", (await Run(frames, mask, "--out", tiny.File("kept.link"))).Error);
        Assert.Equal(before, await File.ReadAllBytesAsync(Path.Combine(frames, "frame9.png"), TestContext.Current.CancellationToken));
        string truth = tiny.File("kept.truth");
        Directory.CreateDirectory(truth);
        for (int t = 8; t < 11; t++) File.Copy(mask, Path.Combine(truth, $"frame{t}.png"));
        Assert.Contains("one of the inputs", (await Run(frames, mask, "--out", truth, "--truth", truth)).Error);
        string gif = tiny.File("kept.gif");
        AnimationWriter.Save(gif, [.. Enumerable.Range(0, 3).Select(t => TinyModel.Picture(Width, Height, t))], 10);
        Assert.Contains("--overlay " + gif, (await Run(gif, mask, "--out", tiny.File("kept.out"), "--overlay", gif)).Error);
        Assert.Contains("there is no folder", (await Run(frames, mask, "--out", tiny.File("kept.out"), "--overlay", tiny.File("none/o.gif"))).Error);
        Assert.Contains("expected a name that ends in", (await Run(frames, mask, "--out", tiny.File("kept.out"), "--overlay", tiny.File("o.txt"))).Error);
        Assert.False(File.Exists(tiny.File("kept.out/frame8.png")));
    }

    [Fact]
    public async Task TruthThatCannotScoreIsRefusedBeforeTracking()
    {
        string frames = Frames("short", 2), mask = Mask("short.png"), truth = tiny.File("short.truth"), masks = tiny.File("short.masks");
        Directory.CreateDirectory(truth);
        for (int t = 8; t < 11; t++) File.Copy(mask, Path.Combine(truth, $"frame{t}.png"));
        Assert.Contains("2 frames cannot be scored", (await Run(frames, mask, "--out", masks, "--truth", truth)).Error);
        Frames("short", 3);
        new LabelMap(80, 48, [.. Enumerable.Repeat((byte)4, 80 * 48)]).Save(Path.Combine(truth, "frame10.png"));
        Assert.Contains("frame10.png has 80x48", (await Run(frames, mask, "--out", masks, "--truth", truth)).Error);
        Assert.False(File.Exists(Path.Combine(masks, "frame8.png")));
    }

    [Fact]
    public async Task AMaskOfAnotherShapeIsRefused()
    {
        string mask = tiny.File("square.png"), masks = tiny.File("square.masks");
        new LabelMap(96, 96, [.. Enumerable.Repeat((byte)4, 96 * 96)]).Save(mask);
        Assert.Contains("square.png: a mask of 96x96", (await Run(Frames("squared", 2), mask, "--out", masks)).Error);
        Assert.False(Directory.Exists(masks));
    }

    [Fact]
    public async Task TheContextCountsAgainstTheLimit()
    {
        string error = (await Run(Frames("limited", 2), Mask("limited.png"), "--context", "200000", "--max-memory", "2GB", "--out", tiny.File("limited.masks"))).Error;
        Assert.Contains("the limit is 2", error);
        Assert.DoesNotContain("limit is -", error);
        Assert.DoesNotContain("limit is −", error);
    }
}
