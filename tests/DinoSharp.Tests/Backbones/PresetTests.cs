using System.Diagnostics;
using System.Text;
using DinoSharp.Backbones;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Backbones;

public sealed class PresetTests
{
    // The reference gives no counts for the training builders; their names and shapes are approved below.
    public static TheoryData<string> Published() => [.. Presets.All.Where(p => p.Parameters is not null).Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(Published))]
    public void ParameterCountIsExact(string name)
    {
        Preset preset = Presets.Find(name);
        using Backbone backbone = Backbone.Create(preset.Config, META);
        Assert.Equal(preset.Parameters, backbone.parameters().Sum(p => p.numel()));
        int aliases = preset.Config is ConvNeXtConfig ? 2 : 0; // the official ConvNeXt file stores norm.* a second time as norms.3.*
        Assert.Equal(preset.StateDictEntries, backbone.state_dict().Count + aliases);
    }

    /// <summary>Names and shapes of every preset; the approved file changes only with a reason. DINOSHARP_APPROVE=1 writes it.</summary>
    [Fact]
    public void NamesAndShapesAreApproved()
    {
        var actual = new StringBuilder();
        foreach (Preset preset in Presets.All)
        {
            using Backbone backbone = Backbone.Create(preset.Config, META);
            actual.Append("# ").Append(preset.Name).Append('\n');
            foreach ((string name, Tensor tensor) in backbone.state_dict()) actual.Append(name).Append(" [").AppendJoin(", ", tensor.shape).Append("]\n");
        }

        string file = Path.Combine(Repository.Fixtures, "state-dicts.approved.txt");
        if (Environment.GetEnvironmentVariable("DINOSHARP_APPROVE") == "1") File.WriteAllText(file, actual.ToString());
        Assert.Equal(File.ReadAllText(file), actual.ToString());
    }

    [Theory]
    [InlineData("vits16", "dinov3-vits16")]
    [InlineData("DINOv3_ViTL16", "dinov3-vitl16")]
    [InlineData("facebook/dinov3-vitl16-pretrain-sat493m", "dinov3-vitl16-sat493m")]
    [InlineData("facebook/dinov3-convnext-tiny-pretrain-lvd1689m", "dinov3-convnext-tiny")]
    public void NamesAreForgiving(string given, string found) => Assert.Equal(found, Presets.Find(given).Name);

    [Fact]
    public void UnknownNameListsTheKnownOnes() => Assert.Contains("dinov3-vitb16", Assert.Throws<DinoSharpException>(() => Presets.Find("vitz16")).Message);

    [Theory]
    [InlineData(384, 6, 8, 1536)]
    [InlineData(1024, 6, 8, 4096)]
    [InlineData(1280, 6, 8, 5120)]
    [InlineData(4096, 3, 64, 8192)]
    [InlineData(1024, 4, 64, 2752)]
    public void SwiGluWidthFollowsTheOfficialRule(int width, double ratio, int alignment, int hidden) =>
        Assert.Equal(hidden, VisionTransformerConfig.SwiGluWidth(width, ratio, alignment));

    /// <summary>Construction touches no memory, so even 27 GB of parameters are made at once; the time is reported, not judged.</summary>
    [Fact]
    public void SevenBillionParametersAreConstructedWithoutTouchingThem()
    {
        long before = Process.GetCurrentProcess().WorkingSet64;
        var clock = Stopwatch.StartNew();
        using Backbone backbone = Backbone.Create(Presets.Find("vit7b16").Config);
        clock.Stop();
        using Process process = Process.GetCurrentProcess();
        TestContext.Current.TestOutputHelper?.WriteLine($"constructed in {clock.ElapsedMilliseconds} ms, resident memory grew by {(process.WorkingSet64 - before) >> 20} MB");
        Assert.InRange(process.WorkingSet64 - before, long.MinValue, 1L << 30);
    }
}
