using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

public sealed class CaptionedImagesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public CaptionedImagesTests()
    {
        Directory.CreateDirectory(_folder.File("val2014"));
        foreach (string name in (string[])["val2014/a.png", "val2014/b.png"]) TinyModel.Picture(32, 32).Save(_folder.File(name));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void FiveCaptionsOfAPictureOfCocoCount()
    {
        string many = string.Join(",", Enumerable.Range(0, 7).Select(i => $$"""{"image_id":7,"caption":" seven {{i}} "}"""));
        string file = Write($$"""{"images":[{"id":9,"file_name":"a.png"},{"id":7,"file_name":"b.png"}],"annotations":[{{many}},{"image_id":9,"caption":"nine"}]}""");
        CaptionedImages images = CaptionedImages.Open(file, _folder.File("val2014"));
        Assert.Equal([_folder.File("val2014/a.png"), _folder.File("val2014/b.png")], images.Images);
        Assert.Equal(["nine"], images.Captions[0]);
        Assert.Equal(["seven 0", "seven 1", "seven 2", "seven 3", "seven 4"], images.Captions[1]);
    }

    [Fact]
    public void AKarpathySplitIsChosenAndItsPicturesLieInOneFolderOrSeveral()
    {
        string file = Write("""
            {"dataset":"coco","images":[
              {"filepath":"val2014","filename":"a.png","split":"test","sentences":[{"raw":"one"},{"raw":"two"},{"raw":"three"},{"raw":"four"},{"raw":"five"},{"raw":"six"}]},
              {"filepath":"val2014","filename":"b.png","split":"val","sentences":[{"raw":"other"}]}]}
            """);
        foreach (string folder in (string[])[".", "val2014"])
        {
            CaptionedImages images = CaptionedImages.Open(file, _folder.File(folder));
            Assert.EndsWith("a.png", Assert.Single(images.Images));
            Assert.Equal(["one", "two", "three", "four", "five"], images.Captions[0]);
        }

        Assert.Equal(["other"], CaptionedImages.Open(file, _folder.File("."), "val").Captions[0]);
        Assert.Contains("has no split train; it has test, val", Error(file, ".", "train"));
    }

    [Fact]
    public void WhatIsMissingIsNamedWithTheLayout()
    {
        Assert.Contains("there is no file", Error(_folder.File("captions_val2017.json"), "."));
        Assert.Contains("captions_*.json of COCO", Error(_folder.File("captions_val2017.json"), "."));
        string file = Write("""{"images":[{"id":1,"file_name":"gone.png"}],"annotations":[{"image_id":1,"caption":"x"}]}""");
        Assert.Contains("there is no picture " + _folder.File("val2014/gone.png"), Error(file, "val2014"));
        Assert.Contains("there is no folder", Error(file, "nowhere"));
        Assert.Contains("holds no captions", Error(Write("""{"images":[{"id":1,"file_name":"a.png"}],"annotations":[]}"""), "val2014"));
        Assert.Contains("captions that can be understood", Error(Write("""{"images":[{"id":1}],"annotations":[]}"""), "val2014"));
        Assert.Contains("captions that can be understood", Error(Write("nothing"), "val2014"));
    }

    private string Error(string file, string folder, string split = "test") => Assert.Throws<DinoSharpException>(() => CaptionedImages.Open(file, _folder.File(folder), split)).Message;

    private string Write(string json)
    {
        File.WriteAllText(_folder.File("captions.json"), json);
        return _folder.File("captions.json");
    }
}
