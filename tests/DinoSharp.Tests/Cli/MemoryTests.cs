using System.Text.Json;
using DinoSharp.Cli.Pictures;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>What <c>--max-memory</c> promises, measured by the system in a process of its own.</summary>
public sealed class MemoryTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Theory]
    [InlineData(512, null)]
    [InlineData(768, null)]
    [InlineData(768, 256)]
    public async Task TheEstimateIsWithinAFifthOfTheMeasuredPeak(int size, int? tile)
    {
        string picture = tiny.Draw("memory.png", 640, 640);
        string[] tiles = tile is null ? [] : ["--tile", $"{tile}"];
        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(tiny.File(""), "dotnet",
            [Path.Combine(AppContext.BaseDirectory, "dino.dll"), "pca", picture, "--size", $"{size}", "--model", "random:vits16", "--out", tiny.File("memory.pca.png"), "--json", "--max-memory", "4GB", .. tiles]);
        JsonElement memory = JsonDocument.Parse(outcome.Succeeded()).RootElement.GetProperty("memory");
        long estimated = memory.GetProperty("estimatedBytes").GetInt64(), measured = memory.GetProperty("measuredBytes").GetInt64();
        Assert.InRange(estimated, 0.8 * measured, 1.2 * measured);
        Assert.StartsWith("memory: ", outcome.Error, StringComparison.Ordinal); // told before anything is computed
        Assert.Equal(tile is null ? JsonValueKind.Null : JsonValueKind.Object, memory.GetProperty("tiles").ValueKind);
    }

    // What one picture leaves behind must not pile up on the next, nor may pictures that are computed together be counted once.
    [Theory]
    [InlineData("cluster", "many.png")]
    [InlineData("index build", "many.index", "--batch", "3")]
    public async Task ManyPicturesStayWithinAFifthOfTheEstimateToo(string verb, string result, params string[] more)
    {
        foreach (int seed in (int[])[1, 2, 3])
        {
            if (!File.Exists(tiny.File($"many/{seed}.png"))) tiny.Draw($"many/{seed}.png", 1600, 1200, seed);
        }

        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(tiny.File(""), "dotnet",
            [Path.Combine(AppContext.BaseDirectory, "dino.dll"), .. verb.Split(' '), tiny.File("many"), .. more, "--size", "256", "--model", "dino-tiny", "--out", tiny.File(result), "--json", "--max-memory", "4GB"]);
        JsonElement memory = JsonDocument.Parse(outcome.Succeeded()).RootElement.GetProperty("memory");
        long estimated = memory.GetProperty("estimatedBytes").GetInt64(), measured = memory.GetProperty("measuredBytes").GetInt64();
        Assert.InRange(estimated, 0.8 * measured, 1.2 * measured);
    }

    [Fact]
    public async Task AVerbThatCannotKeepTheCeilingSaysSoInsteadOfTrying()
    {
        foreach (string verb in new[] { "pca", "attention", "discover", "extract" })
        {
            Dino.Outcome outcome = await Dino.RunAsync(verb, tiny.Draw("ceiling.png"), "--model", tiny.Path, "--size", "1024", "--max-memory", "20MB");
            Assert.Equal(1, outcome.Code);
            Assert.Contains("the limit is 20 MB", outcome.Error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("4GB", 4L << 30)]
    [InlineData("4GiB", 4L << 30)]
    [InlineData("1.5g", 3L << 29)]
    [InlineData("800MB", 800L << 20)]
    [InlineData("4", null)]
    [InlineData("GB", null)]
    [InlineData("", null)]
    [InlineData("-1GB", null)]
    [InlineData("0MB", null)]
    [InlineData("99999999999TB", null)]
    public void SizesOfMemoryNeedAUnit(string word, long? bytes) => Assert.Equal(bytes, ResolutionOptions.Bytes(word));
}
