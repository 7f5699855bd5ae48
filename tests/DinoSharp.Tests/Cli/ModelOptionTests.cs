using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>How a model is named and what is said if it cannot be had.</summary>
public sealed class ModelOptionTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Theory]
    [InlineData("random:vits17", "there is no network named \"vits17\"")]
    [InlineData("random:vits16:x", "a whole number")]
    [InlineData("random:vits16:1:2", "a whole number")]
    [InlineData("no/such/file.pth", "no/such/file.pth: there is no such file or folder")]
    [InlineData("absent.safetensors", "absent.safetensors: there is no such file or folder")]
    [InlineData("vits17", "no such file or folder, and there is no network named \"vits17\"; known: dino-tiny, dinov3-vits16,")]
    [InlineData("vit-so400m", "nobody has published weights of vit-so400m")]
    public async Task AModelThatIsNotThereIsAClearError(string model, string message)
    {
        Dino.Outcome outcome = await Dino.RunAsync("pca", tiny.Draw("model.png"), "--model", model);
        Assert.Equal(1, outcome.Code);
        Assert.Contains(message, outcome.Error);
    }

    [Fact]
    public async Task WithoutAModelTheSmallOneThatComesAlongIsUsed()
    {
        Assert.SkipWhen(Environment.GetEnvironmentVariable("DINOSHARP_MODEL") is not null, "DINOSHARP_MODEL is set");
        string picture = tiny.Draw("model.png");
        Dino.Outcome silent = await Dino.RunAsync("similarity", picture, "--at", "10,10", "--json", "--out", tiny.File("silent.png")), named = await Dino.RunAsync("similarity", picture, "--at", "10,10", "--json", "--model", "dino-tiny", "--out", tiny.File("named.png"));
        Assert.Equal((0, 0), (silent.Code, named.Code));
        Assert.Equal(File.ReadAllBytes(tiny.File("named.png")), File.ReadAllBytes(tiny.File("silent.png")));
    }

    [Fact]
    public void TheModelThatComesAlongIsTrained()
    {
        using DinoModel trained = DinoModel.Load(), untrained = DinoModel.Load("random:dino-tiny");
        ImageBuffer picture = TinyModel.Picture();
        float[] a = trained.Embed(picture), b = untrained.Embed(picture);
        Assert.Equal((192, 192), (a.Length, b.Length));
        Assert.True(a.Zip(b).Sum(pair => pair.First * pair.Second) < 0.9);
    }

    [Fact]
    public void HowToGetWeightsNamesThreeWaysAndWhereToPutTheFile()
    {
        var folders = new WeightFolders("/own", "/hub", "/torch");
        string text = folders.HowToGet(Presets.Find("dinov3-vitb16"));
        Assert.Contains("1. Meta", text);
        Assert.Contains("put dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth into /own", text);
        Assert.Contains("2. Hugging Face", text);
        Assert.Contains("https://huggingface.co/facebook/dinov3-vitb16-pretrain-lvd1689m", text);
        Assert.Contains("3. timm", text);
        Assert.Contains("timm/vit_base_patch16_dinov3.lvd1689m", text);
        Assert.Contains("random:vitb16", text);
        foreach (Preset preset in Presets.All) Assert.Contains("random:" + preset.Name.Replace("dinov3-", ""), folders.HowToGet(preset));
    }

    [Theory]
    [InlineData("own/dinov3_vits16_pretrain_lvd1689m-08c60483.pth")]
    [InlineData("own/dinov3-vits16.safetensors")]
    [InlineData("own/dinov3-vits16-pretrain-lvd1689m/model.safetensors", "own/dinov3-vits16-pretrain-lvd1689m")]
    [InlineData("own/vit_small_patch16_dinov3.lvd1689m/model.safetensors", "own/vit_small_patch16_dinov3.lvd1689m")]
    [InlineData("hub/models--facebook--dinov3-vits16-pretrain-lvd1689m/snapshots/abc/model.safetensors", "hub/models--facebook--dinov3-vits16-pretrain-lvd1689m/snapshots/abc")]
    [InlineData("hub/models--timm--vit_small_patch16_dinov3_qkvb.lvd1689m/snapshots/abc/model.safetensors", "hub/models--timm--vit_small_patch16_dinov3_qkvb.lvd1689m/snapshots/abc")]
    [InlineData("torch/dinov3_vits16_pretrain_lvd1689m-08c60483.pth")]
    public void PublishedWeightsAreFoundWhereEachToolPutsThem(string file, string? found = null)
    {
        using var folder = new TemporaryFolder();
        var folders = new WeightFolders(folder.File("own"), folder.File("hub"), folder.File("torch"));
        Assert.Null(folders.Locate(Presets.Find("vits16")));
        Directory.CreateDirectory(Path.GetDirectoryName(folder.File(file))!);
        File.WriteAllText(folder.File(file), "");
        Assert.Equal(folder.File(found ?? file), folders.Locate(Presets.Find("vits16")));
        Assert.Null(folders.Locate(Presets.Find("vitb16")));
    }

    [Fact]
    public void TheSnapshotThatWasAskedForLastComesFirst()
    {
        using var folder = new TemporaryFolder();
        string repository = folder.File("hub", "models--facebook--dinov3-vits16-pretrain-lvd1689m");
        foreach (string commit in new[] { "old", "new" })
        {
            Directory.CreateDirectory(Path.Combine(repository, "snapshots", commit));
            File.WriteAllText(Path.Combine(repository, "snapshots", commit, "model.safetensors"), "");
        }

        Directory.CreateDirectory(Path.Combine(repository, "refs"));
        File.WriteAllText(Path.Combine(repository, "refs", "main"), "old\n");
        Assert.EndsWith("old", new WeightFolders(folder.File("own"), folder.File("hub"), folder.File("torch")).Locate(Presets.Find("vits16")));
    }

    [Fact]
    public void TheEnvironmentNamesTheFolders()
    {
        Dictionary<string, string> variables = new() { ["XDG_CACHE_HOME"] = "/cache" };
        WeightFolders folders = WeightFolders.Find(null, variables.GetValueOrDefault);
        Assert.Equal((Path.Combine("/cache", "huggingface", "hub"), Path.Combine("/cache", "torch", "hub", "checkpoints")), (folders.Hub, folders.TorchHub));
        variables = new() { ["DINOSHARP_CACHE"] = "/mine", ["HF_HOME"] = "/hf", ["TORCH_HOME"] = "/t" };
        Assert.Equal(new WeightFolders("/mine", Path.Combine("/hf", "hub"), Path.Combine("/t", "hub", "checkpoints")), WeightFolders.Find(null, variables.GetValueOrDefault));
        Assert.Equal("/given", WeightFolders.Find("/given", variables.GetValueOrDefault).Own);
    }

    [Fact]
    public void RandomWeightsAreTheSameOnEveryCallAndDependOnTheSeed()
    {
        float[] first = Embed("random:convnext-tiny"), again = Embed("random:dinov3_convnext_tiny:0"), other = Embed("random:convnext-tiny:7");
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);

        static float[] Embed(string name)
        {
            using DinoModel model = DinoModel.Load(name);
            return model.Embed(TinyModel.Picture(), new() { ImageSizePixels = 64 });
        }
    }

    [Fact]
    public void AFileUnderTheNameOfAnotherNetworkIsRefused()
    {
        using var folder = new TemporaryFolder();
        File.Copy(tiny.Path, folder.File("dinov3-vits16.safetensors"));
        string message = Assert.Throws<DinoSharpException>(() => DinoModel.Load("dinov3-vits16", new() { WeightsFolder = folder.Path })).Message;
        Assert.Contains("holds another network", message);
    }
}
