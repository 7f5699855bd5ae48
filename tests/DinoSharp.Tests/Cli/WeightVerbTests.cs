using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Cli;

public sealed class WeightVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task InfoSaysWhatAFileIs()
    {
        Dino.Outcome text = await Dino.RunAsync("info", Save(), "--json");
        Assert.Equal(0, text.Code);
        JsonElement json = text.Json();
        Assert.Equal("safetensors", json.GetProperty("format").GetString());
        Assert.Equal("official", json.GetProperty("layout").GetString());
        Assert.Equal(4, json.GetProperty("architecture").GetProperty("registers").GetInt32());
        Assert.True(json.GetProperty("complete").GetBoolean());
        Assert.True(json.GetProperty("normalization").GetProperty("isGuess").GetBoolean());
        Assert.Contains("DINOv3 License", json.GetProperty("license").GetString());

        Dino.Outcome lines = await Dino.RunAsync("info", Save());
        Assert.Contains("vision transformer: 1 blocks, width 64, 2 heads, MLP 96, 4 registers, patch 16", lines.Output);
        Assert.Contains("a guess", lines.Output);
    }

    [Fact]
    public async Task ConvertNamesAFolderThatIsMissing()
    {
        Dino.Outcome outcome = await Dino.RunAsync("convert", Save(), _folder.File("absent", "x.safetensors"), "--to", "official");
        Assert.Equal(1, outcome.Code);
        Assert.Contains($"there is no folder {_folder.File("absent")}", outcome.Error);
        Assert.DoesNotContain(".tmp", outcome.Error);
    }

    [Fact]
    public async Task InfoOfTensorsThatAreNoBackboneStillSaysWhatIsThere()
    {
        string path = _folder.File("other.safetensors");
        using (NewDisposeScope()) SafetensorsWriter.Write(path, new Dictionary<string, Tensor> { ["a"] = zeros(3) });
        Dino.Outcome outcome = await Dino.RunAsync("info", path);
        Assert.Equal(0, outcome.Code);
        Assert.Contains("no DINOv3 backbone", outcome.Output);
    }

    [Fact]
    public async Task ConvertWritesAndReports()
    {
        string source = Save(), target = _folder.File("hf");
        Dino.Outcome outcome = await Dino.RunAsync("convert", source, target, "--to", "hf", "--dtype", "bf16", "--shard-size", "30KB");
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.Code);
        Assert.Contains("lost: (all floating-point tensors): values are rounded to BFloat16", outcome.Output);
        JsonElement info = (await Dino.RunAsync("info", target, "--json")).Json();
        Assert.Equal("huggingFace", info.GetProperty("layout").GetString());
        Assert.Equal("shardedSafetensors", info.GetProperty("format").GetString());

        Dino.Outcome again = await Dino.RunAsync("convert", source, target, "--to", "hf");
        Assert.Equal(1, again.Code);
        Assert.Contains("holds a model already", again.Error);
    }

    [Theory]
    [InlineData("convert a b", "--to")]
    [InlineData("convert a b --to onnx", "onnx")]
    [InlineData("convert a b --to hf --dtype int8", "int8")]
    [InlineData("convert a b --to hf --shard-size big", "'big' is no size")]
    [InlineData("convert a b --to hf --shard-size 0GB", "'0GB' is no size")]
    public async Task AWrongOptionIsAUsageError(string line, string expected)
    {
        Dino.Outcome outcome = await Dino.RunAsync(line.Split(' '));
        Assert.Equal(2, outcome.Code);
        Assert.Contains(expected, outcome.Error);
    }

    [Theory]
    [InlineData("info")]
    [InlineData("convert")]
    public async Task AFileThatIsNotThereIsAnError(string verb)
    {
        string missing = _folder.File("missing.safetensors");
        Dino.Outcome outcome = verb == "info" ? await Dino.RunAsync("info", missing) : await Dino.RunAsync("convert", missing, _folder.File("out"), "--to", "official");
        Assert.Equal(1, outcome.Code);
        Assert.Equal($"error: {missing}: there is no such file{Environment.NewLine}", outcome.Error);
    }

    private string Save()
    {
        using var scope = NewDisposeScope();
        using var network = new VisionTransformer(new VisionTransformerConfig { Width = 64, Depth = 1, Heads = 2, FeedForwardWidth = 96 });
        network.Initialize(new Generator(1));
        string path = _folder.File("tiny.safetensors");
        StateDict.Save(network, path);
        return path;
    }
}
