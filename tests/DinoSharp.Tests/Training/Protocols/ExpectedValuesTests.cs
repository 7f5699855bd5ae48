using DinoSharp.Backbones;
using DinoSharp.Training.Protocols;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

public class ExpectedValuesTests
{
    [Fact]
    public void TheDocumentIsUpToDate()
    {
        string file = Path.Combine(Repository.Root, "docs", "expected.md"), text = ExpectedValues.ToMarkdown();
        if (Environment.GetEnvironmentVariable("DINOSHARP_APPROVE") == "1") File.WriteAllText(file, text);
        Assert.True(File.ReadAllText(file) == text, "docs/expected.md differs from expected-values.csv; run this test with DINOSHARP_APPROVE=1");
    }

    [Fact]
    public void EveryFigureBelongsToAPresetAndStandsOnlyOnce()
    {
        Assert.All(ExpectedValues.All, v => Assert.Equal(v.Model, Presets.Find(v.Model).Name));
        Assert.All(ExpectedValues.All, v => Assert.Contains(v.Unit, (string[])["%", "m"]));
        Assert.All(ExpectedValues.All, v => Assert.InRange(v.Value, 0.1, 100));
        Assert.Equal(ExpectedValues.All.Count, ExpectedValues.All.Select(v => (v.Task, v.Benchmark, v.Model, v.Metric)).Distinct().Count());
    }

    [Theory]
    [InlineData("dinov3-vit7b16", "expected 55.9, got 55.1 (ADE20K, miou in %, Tab. 3-13 of the paper)")]
    [InlineData("dinov3_vitb16", "expected 51.8, got 55.1 (ADE20K, miou in %, Tab. 14 of the paper)")]
    [InlineData("/weights/dinov3_vits16plus_pretrain_lvd1689m-4057cbaa.pth", "expected 48.8, got 55.1 (ADE20K, miou in %, Tab. 14 of the paper)")]
    [InlineData("dinov3-convnext-tiny", "expected 42.7, got 55.1 (ADE20K, miou in %, Tab. 15 of the paper)")]
    [InlineData("vitl16", "expected 54.9, got 55.1 (ADE20K, miou in %, Tab. 14 of the paper)")]
    public void AModelIsRecognisedByName(string model, string text) => Assert.Equal(text, Assert.Single(ExpectedValues.Find("segment", "ade20k", model)).Compare(0.551));

    [Theory]
    [InlineData("random:vitl16")]
    [InlineData("dinov3-vitl16-pretrain-sat493m")] // other weights of the same network
    [InlineData("my-own.safetensors")]
    [InlineData("baseline:hog")]
    public void OtherWeightsHaveNoFigure(string model) => Assert.Empty(ExpectedValues.Find("segment", "ADE20K", model));

    [Fact]
    public void AnUnknownBenchmarkIsNamedWithTheKnownOnes()
    {
        Assert.Contains("known are ADE20K, Cityscapes, VOC12", Assert.Throws<DinoSharpException>(() => ExpectedValues.RequireBenchmark("segment", "ADE")).Message);
        Assert.Contains("leave it out", Assert.Throws<DinoSharpException>(() => ExpectedValues.RequireBenchmark("knn", "ImageNet")).Message);
        ExpectedValues.RequireBenchmark("depth", "nyu");
    }
}
