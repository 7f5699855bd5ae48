using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>The verb train; whole runs are tested in Training/Runs.</summary>
public sealed class TrainVerbTests
{
    [Theory]
    [InlineData("Synthetic:count=7", "data: 7 images")]
    [InlineData("/no/such/folder", "data: NOT usable here: there is no folder /no/such/folder")]
    public async Task ADryRunSaysWhatARunWouldTakeAndWhetherItsDataAreThere(string data, string expected)
    {
        string recipe = Path.Combine(Repository.Root, "recipes", "smoke.yaml");
        Dino.Outcome outcome = await Dino.RunAsync("train", recipe, "--dry-run", $"data={data}", "batchImages=2", "views.localCrops=1", "views.globalSizePixels=32");
        Assert.Equal(0, outcome.Code);
        Assert.Contains(expected, outcome.Output);
        Assert.Contains("backbone 250,176 parameters", outcome.Output);
        foreach (string phase in new[] { "pretrain: 100 steps", "gram: 30 steps", "highres: 20 steps" }) Assert.Contains(phase, outcome.Output);
        Assert.Contains("name: smoke", outcome.Output);
    }
}
