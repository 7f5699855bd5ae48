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

    [Theory]
    [InlineData("cuda:97", 1, "--device cuda:97: this libtorch can use")]
    [InlineData("gpu", 2, "--device gpu: expected cpu, cuda, cuda:N or auto")]
    public async Task ADeviceThatIsNotThereIsNamed(string device, int code, string message)
    {
        Dino.Outcome outcome = await Dino.RunAsync("train", Path.Combine(Repository.Root, "recipes", "smoke.yaml"), "--dry-run", "--device", device);
        Assert.Equal(code, outcome.Code);
        Assert.Contains(message, outcome.Error);
    }

    [Fact]
    public async Task ADryRunCountsAFrozenTeacherAndTriesStepsWithIt()
    {
        string recipe = Path.Combine(Repository.Root, "recipes", "distill.yaml"), teacher = Path.Combine(Repository.Root, "models", "dino-tiny.safetensors");
        string[] changes = ["data=Synthetic:count=7", $"distillation.teacher={teacher}", "backbone={family: visionTransformer, width: 64, depth: 2, heads: 2, feedForwardWidth: 128}", "batchImages=4", "views.globalSizePixels=32", "loaderThreads=1"];
        Dino.Outcome outcome = await Dino.RunAsync(["train", recipe, "--dry-run", .. changes]);
        Assert.True(outcome.Code == 0, outcome.Error);
        Assert.Contains("frozen teacher 5,492,160 parameters", outcome.Output);
        Assert.Contains("heads 24,960", outcome.Output); // two linear layers of 64 inputs and 192 outputs
        Assert.Contains(" s per step", outcome.Output);
        Dino.Outcome absent = await Dino.RunAsync(["train", recipe, "--dry-run", .. changes, "distillation.teacher=nowhere.safetensors"]);
        Assert.Equal(0, absent.Code);
        Assert.Contains("nowhere.safetensors is not there, so neither its memory nor a step's time is known", absent.Output);
    }
}
