using System.Text.Json;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Cli;

public sealed class MatchVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Fact]
    public async Task APictureMatchesItselfEverywhere()
    {
        string photo = Noise("self.png"), sheet = tiny.File("self.match.png");
        Dino.Outcome outcome = await Dino.RunAsync("match", photo, photo, "--model", tiny.Path, "--size", "240", "--out", sheet, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        JsonElement[] matches = [.. outcome.Json().GetProperty("matches").EnumerateArray()];
        Assert.Equal(15 * 20, matches.Length);
        Assert.All(matches, m =>
        {
            Assert.Equal(Numbers(m, "a"), Numbers(m, "b"));
            Assert.Equal(1, m.GetProperty("score").GetDouble(), 4);
        });
        Assert.Equal([8, 8], Numbers(matches[0], "a")); // the middle of the first patch, in pixels of the original
        ImageBuffer picture = ImageFile.Read(sheet);
        Assert.True(picture.Width > 640 && picture.Height >= 240);
    }

    [Fact]
    public async Task PlacesArePixelsOfTheOriginalsWhateverTheSize()
    {
        string photo = tiny.Draw("large.png", 400, 200);
        JsonElement json = (await Dino.RunAsync("match", photo, photo, "--model", tiny.Path, "--size", "96", "--out", tiny.File("l.png"), "--json")).Json();
        JsonElement[] matches = [.. json.GetProperty("matches").EnumerateArray()];
        Assert.InRange(matches.Max(m => Numbers(m, "a")[0]), 350, 400);
        Assert.InRange(matches.Max(m => Numbers(m, "a")[1]), 170, 200);
    }

    [Fact]
    public async Task MasksAndSpacingThinTheMatchesOut()
    {
        string photo = Noise("masked.png"), mask = tiny.File("left.png");
        ImageBuffer.FromSamples<byte>(4, 3, 1, [255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0]).Save(mask);
        Dino.Outcome outcome = await Dino.RunAsync("match", photo, photo, "--model", tiny.Path, "--size", "240", "--mask-a", mask, "--spacing", "60", "--dense", "--out", tiny.File("m.png"), "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        JsonElement json = outcome.Json();
        double[][] places = [.. json.GetProperty("matches").EnumerateArray().Select(m => Numbers(m, "a"))];
        Assert.NotEmpty(places);
        Assert.All(places, p => Assert.True(p[0] < 160));
        for (int i = 0; i < places.Length; i++)
        {
            for (int j = 0; j < i; j++) Assert.True(Math.Sqrt(Math.Pow(places[i][0] - places[j][0], 2) + Math.Pow(places[i][1] - places[j][1], 2)) > 60);
        }
    }

    [Fact]
    public async Task AMissingPictureIsNamed()
    {
        Dino.Outcome outcome = await Dino.RunAsync("match", tiny.Draw("one.png"), tiny.File("none.png"), "--model", tiny.Path, "--json");
        Assert.Equal(1, outcome.Code);
        Assert.Contains("none.png", outcome.Json().GetProperty("error").GetString());
    }

    // No two patches look alike.
    private string Noise(string name)
    {
        byte[] pixels = new byte[320 * 240 * 3];
        new Random(0).NextBytes(pixels);
        ImageBuffer.FromSamples<byte>(320, 240, 3, pixels).Save(tiny.File(name));
        return tiny.File(name);
    }

    private static double[] Numbers(JsonElement element, string name) => [.. element.GetProperty(name).EnumerateArray().Select(n => n.GetDouble())];
}
