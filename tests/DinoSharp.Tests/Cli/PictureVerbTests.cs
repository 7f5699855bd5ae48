using System.Text.Json;
using DinoSharp.Cli.Pictures;
using DinoSharp.Images;
using DinoSharp.Weights;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>The verbs that make pictures, and <c>extract</c>, from end to end.</summary>
public sealed class PictureVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    [Fact]
    public async Task PcaMakesASheetOfOriginalAndColours()
    {
        string photo = tiny.Draw("pca.png", 600, 300), sheet = tiny.File("sheet.png");
        Dino.Outcome outcome = await Run("pca", photo, "--out", sheet, "--size", "128");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.EndsWith(sheet + Environment.NewLine, outcome.Output);
        ImageBuffer picture = ImageFile.Read(sheet);
        Assert.Equal((600 + 600 + 36, 300 + 24), (picture.Width, picture.Height));
        Assert.Equal(ImageFile.Read(photo).Crop(5, 9, 100, 1).Bytes.ToArray(), picture.Crop(12 + 5, 12 + 9, 100, 1).Bytes.ToArray());

        outcome = await Run("pca", photo, "--out", sheet, "--size", "128");
        Assert.EndsWith(sheet + " (replaced)" + Environment.NewLine, outcome.Output);
    }

    [Fact]
    public async Task PcaOfSeveralPicturesHasCommonColoursAndAPictureOfEach()
    {
        string left = tiny.Draw("a/twin.png", 200, 100, seed: 3), right = tiny.Draw("b/twin.png", 200, 100, seed: 3), folder = tiny.File("each");
        JsonElement json = (await Run("pca", left, right, "--no-sheet", "--out", folder, "--size", "96", "--json")).Json();
        string[] outputs = [.. json.GetProperty("output").EnumerateArray().Select(e => e.GetString()!)];
        Assert.Equal([Path.Combine(folder, "twin.pca.png"), Path.Combine(folder, "twin-2.pca.png")], outputs);
        ImageBuffer first = ImageFile.Read(outputs[0]), second = ImageFile.Read(outputs[1]);
        Assert.Equal((200, 100), (first.Width, first.Height));
        Assert.Equal(first.Bytes.ToArray(), second.Bytes.ToArray());
        Assert.Equal(3, json.GetProperty("explainedVariance").GetArrayLength());
        Assert.InRange(json.GetProperty("explainedVariance").EnumerateArray().Sum(e => e.GetDouble()), 0.1, 1);
        Assert.Equal((6, 12), (json.GetProperty("images")[1].GetProperty("grid").GetProperty("rows").GetInt32(), json.GetProperty("images")[1].GetProperty("grid").GetProperty("columns").GetInt32()));
    }

    [Fact]
    public async Task PcaPaintsOnlyWhatTheMaskKeeps()
    {
        string photo = tiny.Draw("masked.png", 160, 160), mask = tiny.File("mask.png"), coloured = tiny.File("masked.pca.png");
        ImageBuffer.FromSamples<byte>(10, 10, 1, [.. Enumerable.Range(0, 100).Select(i => (byte)(i / 10 < 5 ? 255 : 0))]).Save(mask);
        JsonElement json = (await Run("pca", photo, "--mask", mask, "--no-sheet", "--out", coloured, "--size", "160", "--json")).Json();
        Assert.Equal(0.5, json.GetProperty("images")[0].GetProperty("foreground").GetDouble());
        ImageBuffer picture = ImageFile.Read(coloured);
        Assert.All(picture.Crop(0, 90, 160, 70).Bytes.ToArray(), level => Assert.Equal(0, level));
        Assert.True(picture.Crop(0, 0, 160, 70).Bytes.ToArray().Average(level => (int)level) > 50);

        Assert.Equal(0, (await Run("pca", photo, "--mask", "auto", "--out", coloured, "--size", "160")).Code);
        Dino.Outcome outcome = await Run("pca", photo, photo, "--mask", mask, "--out", coloured);
        Assert.Equal(2, outcome.Code);
        Assert.Contains("1 masks for 2 pictures", outcome.Error);
    }

    [Fact]
    public async Task SimilarityMarksThePlaceAndFindsItInTheOtherPicture()
    {
        string photo = tiny.Draw("query.png", 320, 192, seed: 0), other = tiny.Draw("other.png", 320, 192, seed: 4), sheet = tiny.File("similarity.png");
        JsonElement json = (await Run("similarity", photo, other, "--at", "100,90", "--out", sheet, "--size", "native", "--json")).Json();
        JsonElement query = json.GetProperty("queries")[0];
        Assert.Equal((5, 6), (query.GetProperty("row").GetInt32(), query.GetProperty("column").GetInt32()));
        Assert.Equal(1, query.GetProperty("images")[0].GetProperty("highest").GetDouble(), 1e-5);
        Assert.Equal(JsonValueKind.Null, query.GetProperty("images")[0].GetProperty("best").ValueKind);
        JsonElement best = query.GetProperty("images")[1].GetProperty("best");
        double offX = best.GetProperty("x").GetInt32() - 224, offY = best.GetProperty("y").GetInt32() - 96; // from the middle of the disk there
        Assert.True((offX * offX) + (offY * offY) < 70 * 70);
        Assert.True(ImageFile.Read(sheet).Width > 3 * 512);
    }

    [Fact]
    public async Task SeveralPlacesShareAColourScaleAndTheNearestIsShown()
    {
        string photo = tiny.Draw("several.png", 320, 192), sheet = tiny.File("several.sheet.png");
        JsonElement json = (await Run("similarity", photo, "--at", "100,90", "--at", "300,20", "--out", sheet, "--size", "native", "--json")).Json();
        Assert.Equal([100, 300], json.GetProperty("queries").EnumerateArray().Select(q => q.GetProperty("x").GetInt32()));
        int two = ImageFile.Read(sheet).Height;
        Assert.Equal(0, (await Run("similarity", photo, "--at", "100,90", "--out", sheet, "--size", "native", "--range", "auto")).Code);
        Assert.True(two > 2.5 * ImageFile.Read(sheet).Height); // a row each, and one of the nearest

        foreach (string range in new[] { "1,0", "x", "0" }) Assert.Contains("expected two numbers", (await Run("similarity", photo, "--at", "1,1", "--range", range)).Error);
    }

    [Theory]
    [InlineData("100", 2, "expected two whole numbers")]
    [InlineData("1,2,3", 2, "expected two whole numbers")]
    [InlineData("-1,5", 2, "expected two whole numbers")]
    [InlineData("320,5", 1, "320x192 pixels")]
    public async Task APlaceOutsideIsAnError(string at, int code, string message)
    {
        Dino.Outcome outcome = await Run("similarity", tiny.Draw("outside.png", 320, 192), "--at=" + at);
        Assert.Equal(code, outcome.Code);
        Assert.Contains(message, outcome.Error);
    }

    [Fact]
    public async Task AttentionShowsEveryHeadOrOne()
    {
        string photo = tiny.Draw("attention.png"), sheet = tiny.File("attention.sheet.png");
        JsonElement json = (await Run("attention", photo, "--layer", "1", "--out", sheet, "--size", "96", "--json")).Json();
        Assert.Equal((1, 3), (json.GetProperty("layer").GetInt32(), json.GetProperty("heads").GetArrayLength()));
        Assert.All(json.GetProperty("heads").EnumerateArray(), head => Assert.InRange(head.GetProperty("patches").GetDouble(), 0.1, 1));
        int all = ImageFile.Read(sheet).Height;

        json = (await Run("attention", photo, "--head", "2", "--out", sheet, "--size", "96", "--json")).Json();
        Assert.Equal(2, json.GetProperty("heads")[0].GetProperty("head").GetInt32());
        Assert.True(ImageFile.Read(sheet).Height < all);

        Dino.Outcome outcome = await Run("attention", photo, "--head", "3", "--out", sheet, "--size", "96");
        Assert.Equal((1, "error: there is no head 3; layer 2 has 3, counted from 0" + Environment.NewLine), (outcome.Code, outcome.Error));
    }

    [Fact]
    public async Task ExtractSavesEveryTokenWithItsDescription()
    {
        string photo = tiny.Draw("extract.png", 160, 96), file = tiny.File("extract.safetensors");
        Dino.Outcome outcome = await Run("extract", photo, "--layers", "0,-1", "--size", "48", "--out", file, "--json");
        Assert.Equal(48, outcome.Json().GetProperty("images")[0].GetProperty("inputHeight").GetInt32());
        using TensorFile tensors = TensorFile.Open(file);
        Assert.Equal([3, 5, 48], tensors.Entries["layer2.patches"].Shape);
        Assert.Equal([48], tensors.Entries["layer0.class_token"].Shape);
        Assert.Equal([4, 48], tensors.Entries["layer0.registers"].Shape);
        JsonElement description = JsonDocument.Parse(tensors.Metadata["features"]).RootElement;
        Assert.Equal((160, 96.0), (description.GetProperty("geometry").GetProperty("imageWidth").GetInt32(), description.GetProperty("geometry").GetProperty("height").GetDouble()));

        using DinoModel model = DinoModel.Load(tiny.Path);
        Assert.Equal(("Float32", model.Engine), (description.GetProperty("compute").GetString(), description.GetProperty("engine").GetString()));
        using var features = model.Extract(photo, new() { ImageSizePixels = 48 });
        using TorchSharp.torch.Tensor patches = tensors.Read("layer2.patches");
        Assert.Equal(features.PatchMap().Values.ToArray(), patches.data<float>().ToArray());
    }

    [Fact]
    public async Task ExtractWritesNumPyOrOneFileForEachPicture()
    {
        string photo = tiny.Draw("numpy.png", 160, 96), other = tiny.Draw("numpy2.png", 96, 160), file = tiny.File("x.npy"), folder = tiny.File("dense");
        Assert.Equal(0, (await Run("extract", photo, "--size", "48", "--out", file)).Code);
        Assert.Contains("'shape': (3, 5, 48)", File.ReadAllText(file)[..128]);
        Assert.Equal(2, JsonDocument.Parse(File.ReadAllText(file + ".json")).RootElement.GetProperty("layers")[0].GetProperty("layer").GetInt32());

        Assert.Equal(0, (await Run("extract", photo, other, "--size", "64", "--square", "--out", folder)).Code);
        Assert.Equal(["numpy.features.safetensors", "numpy2.features.safetensors"], Directory.GetFiles(folder).Select(Path.GetFileName).Order());
        Assert.Contains("ends in .safetensors, .npy", (await Run("extract", photo, "--out", tiny.File("x.png"))).Error);
        Assert.Contains("one layer", (await Run("extract", photo, "--layers", "0,1", "--out", file)).Error);
        Assert.Contains("must be a folder", (await Run("extract", photo, other, "--out", file)).Error);
        Assert.Contains("expected whole numbers", (await Run("extract", photo, "--layers", "a", "--out", file)).Error);
        Assert.Contains("layer 5 does not exist", (await Run("extract", photo, "--layers", "5", "--out", file)).Error);
    }

    [Theory]
    [InlineData("pca")]
    [InlineData("attention")]
    [InlineData("extract")]
    [InlineData("similarity", "--at", "1,1")]
    public async Task WhatIsNoPictureIsAnErrorWithItsName(string verb, params string[] more)
    {
        File.WriteAllText(tiny.File("text.jpg"), "no picture");
        string never = tiny.File(verb == "extract" ? "never.npy" : "never.png");
        Dino.Outcome outcome = await Run([verb, tiny.File("text.jpg"), "--out", never, .. more]);
        Assert.Equal(1, outcome.Code);
        Assert.StartsWith("error: " + tiny.File("text.jpg"), outcome.Error);
        Assert.DoesNotContain("   at ", outcome.Error);
        Assert.False(Path.Exists(never));
    }

    [Theory]
    [InlineData("no-such-folder/x.png", "there is no folder")]
    [InlineData("x.bmp", "ends in .png, .jpg, .jpeg")]
    [InlineData(".", "this is a folder")]
    [InlineData("place.png", "this is one of the inputs")]
    public async Task AnImpossiblePlaceIsToldBeforeAnythingIsComputed(string name, string message)
    {
        string photo = tiny.Draw("place.png"), place = Path.Combine(Path.GetDirectoryName(photo)!, name);
        byte[] before = File.ReadAllBytes(photo);
        foreach (string[] verb in new string[][] { ["pca", photo], ["attention", photo], ["similarity", photo, "--at", "1,1"] })
        {
            Dino.Outcome outcome = await Dino.RunAsync([.. verb, "--out", place, "--model", "no/such/model.pth"]);
            Assert.Equal(1, outcome.Code);
            Assert.Contains(message, outcome.Error);
        }

        Assert.Equal(before, File.ReadAllBytes(photo));
        Assert.Contains("must be a folder", (await Run("pca", photo, photo, "--no-sheet", "--out", "x.png")).Error);
    }

    [Theory]
    [InlineData("png_1x1.png", "64")]
    [InlineData("png_13x9.png", "64")]
    [InlineData("png_2x1500.png", "64")]
    [InlineData("png_3000x1.png", "16")]
    [InlineData("geotiff_5band_uint16.tif", "64")]
    [InlineData("exif_orientation_6.jpg", "64")]
    [InlineData("name with späces ☕ 01.jpg", "64")]
    public async Task OddPicturesHaveFeaturesToo(string name, string size)
    {
        string photo = Path.Combine(Repository.Shared("data/odd"), name), sheet = tiny.File("odd.png");
        Assert.Equal(0, (await Run("pca", photo, "--size", size, "--out", sheet)).Code);
        Assert.True(ImageFile.Read(sheet).Width > 0);
    }

    [Fact]
    public async Task TheSizeIsANumberOrNative()
    {
        string photo = tiny.Draw("size.png", 40, 33);
        Assert.Equal((2, 2), Grid(await Run("pca", photo, "--size", "native", "--out", tiny.File("s.png"), "--json")));
        Assert.Equal((4, 4), Grid(await Run("pca", photo, "--size", "64", "--out", tiny.File("s.png"), "--json")));
        Assert.Equal(2, (await Run("pca", photo, "--size", "large")).Code);
        Assert.Equal(2, (await Run("pca", photo, "--size", "0")).Code);
        Dino.Outcome outcome = await Run("pca", photo, "--size", "50", "--out", tiny.File("s.png"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains("48", outcome.Error);

        static (int, int) Grid(Dino.Outcome outcome)
        {
            JsonElement grid = outcome.Json().GetProperty("images")[0].GetProperty("grid");
            return (grid.GetProperty("rows").GetInt32(), grid.GetProperty("columns").GetInt32());
        }
    }

    [Fact]
    public void DefaultNamesAreBesideTheUserAndNeverTwiceTheSame()
    {
        var names = new OutputNames();
        Assert.Equal("cat.pca.png", names.For("/photos/cat.jpg", "pca.png"));
        Assert.Equal("cat-2.pca.png", names.For("/other/cat.png", "pca.png"));
        Assert.Equal(Path.Combine("out", "cat.pca.png"), names.For("cat", "pca.png", "out"));
    }

    private Task<Dino.Outcome> Run(params string[] args) => Dino.RunAsync([.. args, "--model", tiny.Path]);
}
