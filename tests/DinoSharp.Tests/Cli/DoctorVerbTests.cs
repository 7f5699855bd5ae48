using System.Text.Json;
using Xunit;

namespace DinoSharp.Tests.Cli;

public class DoctorVerbTests
{
    [Fact]
    public async Task SaysWhatThereIsAsTextAndAsJson()
    {
        Dino.Outcome text = await Dino.RunAsync("doctor"), json = await Dino.RunAsync("doctor", "--json");
        Assert.Equal(0, text.Code);
        Assert.Equal("", text.Error + json.Error);
        JsonElement report = json.Json();
        Assert.Contains(report.GetProperty("processor").GetProperty("model").GetString()!, text.Output);
        Assert.Contains("libtorch", text.Output);
        Assert.Equal(Environment.ProcessorCount, report.GetProperty("processor").GetProperty("logicalProcessors").GetInt32());
    }

    [Fact]
    public async Task NeverShowsTheAccessToken()
    {
        const string token = "hf_NotARealTokenButASecretAnyway";
        string? before = Environment.GetEnvironmentVariable("HF_TOKEN");
        Environment.SetEnvironmentVariable("HF_TOKEN", token);
        try
        {
            Assert.DoesNotContain(token, (await Dino.RunAsync("doctor")).Output + (await Dino.RunAsync("doctor", "--json")).Output);
        }
        finally
        {
            Environment.SetEnvironmentVariable("HF_TOKEN", before);
        }
    }
}
