using System.Text;
using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

/// <summary>
/// The published networks at their real sizes, as files whose tensors are holes: nothing is read but the header, the periods and the biases.
/// The expected counts are those of the published Hugging Face and timm files.
/// </summary>
public sealed class PublishedWeightsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, int, long, int, long> Published => new()
    {
        { "dinov3-vits16", 211, 21_596_544, 162, 21_586_944 },
        { "dinov3-vits16plus", 235, 28_692_864, 186, 28_683_264 },
        { "dinov3-vitb16", 211, 85_660_416, 162, 85_641_216 },
        { "dinov3-vitl16", 415, 303_129_600, 318, 303_079_424 },
        { "dinov3-vitl16-sat493m", 415, 303_129_600, 318, 303_079_424 },
        { "dinov3-vith16plus", 615, 840_592_640, 486, 840_509_440 },
        { "dinov3-vit7b16", 687, 6_716_035_072, 606, 6_716_030_976 },
        { "dinov3-convnext-tiny", 180, 27_820_128, 180, 27_820_128 },
        { "dinov3-convnext-small", 342, 49_454_688, 342, 49_454_688 },
        { "dinov3-convnext-base", 342, 87_566_464, 342, 87_566_464 },
        { "dinov3-convnext-large", 342, 196_230_336, 342, 196_230_336 },
    };

    [Theory]
    [MemberData(nameof(Published))]
    public void Published_networks_are_recognised_and_translated_tensor_by_tensor(string name, int huggingFaceTensors, long huggingFaceParameters, int timmTensors, long timmParameters)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "files with holes are made on Linux only");
        Preset preset = Presets.Find(name);
        string path = _folder.File("model.safetensors");
        WriteWithHoles(path, preset.Config, Official(preset.Config));
        WeightInfo info = WeightInfo.Read(path);
        Assert.Equal(preset.StateDictEntries, info.Tensors);
        Assert.Equal(preset.Parameters, info.Parameters);
        Assert.True(info.Check!.IsComplete, info.Check.ToString());
        Assert.Contains(name, info.Presets);
        Assert.All(info.Presets, other => Assert.Contains(other, new[] { name, $"{name}-sat493m" }));
        if (name == "dinov3-vitl16-sat493m") Assert.Equal((Normalization.Sat, false), (info.Normalization!.Values, info.Normalization.IsGuess));
        else Assert.True(info.Normalization!.IsGuess);

        AssertTranslation(path, preset, WeightLayout.HuggingFace, huggingFaceTensors, huggingFaceParameters);
        AssertTranslation(path, preset, WeightLayout.Timm, timmTensors, timmParameters);
        AssertTranslation(path, preset, WeightLayout.Official, preset.StateDictEntries!.Value, expectedElements: null);
    }

    // The translated file is recognised without any description beside it or in it.
    private void AssertTranslation(string path, Preset preset, WeightLayout target, int expectedTensors, long? expectedElements)
    {
        using BackboneWeights weights = BackboneWeights.Open(path);
        using Backbone shapes = Backbone.Create(weights.Config, META);
        var translation = new LayoutTranslation(path, weights.Config, weights.Plan(shapes).Sources, target, type: null);
        Assert.Equal(expectedTensors, translation.Entries.Count);
        if (expectedElements is { } elements) Assert.Equal(elements, translation.Entries.Sum(entry => entry.ElementCount));
        string translated = _folder.File($"{target}.safetensors");
        WriteWithHoles(translated, preset.Config, translation.Entries.Select(entry => (entry.Name, entry.Shape.ToArray())));
        WeightInfo info = WeightInfo.Read(translated);
        Assert.Equal(target, info.Layout);
        Assert.Contains(preset.Name, info.Presets);
        Assert.True(info.Check!.IsComplete, info.Check.ToString());
        if (preset.Config is VisionTransformerConfig vit) Assert.Equal(vit.Heads, ((VisionTransformerConfig)info.Architecture!).Heads);
    }

    private static IEnumerable<(string Name, long[] Shape)> Official(BackboneConfig config)
    {
        using Backbone shapes = Backbone.Create(config, META);
        List<(string Name, long[] Shape)> tensors = [.. shapes.state_dict().Select(pair => (pair.Key, pair.Value.shape))];
        if (config is ConvNeXtConfig) tensors.AddRange([("norms.3.weight", [config.EmbedDim]), ("norms.3.bias", [config.EmbedDim])]);
        return tensors;
    }

    private static void WriteWithHoles(string path, BackboneConfig config, IEnumerable<(string Name, long[] Shape)> tensors)
    {
        long offset = 0, periods = -1;
        var header = new Dictionary<string, object>();
        foreach ((string name, long[] shape) in tensors)
        {
            long bytes = 4 * shape.Aggregate(1L, (product, size) => product * size);
            if (name == "rope_embed.periods") periods = offset;
            header.Add(name, new { dtype = "F32", shape, data_offsets = new[] { offset, offset += bytes } });
        }

        byte[] json = Encoding.UTF8.GetBytes(JsonSerializer.Serialize(header));
        using var stream = new FileStream(path, FileMode.Create);
        stream.Write(BitConverter.GetBytes((ulong)json.Length));
        stream.Write(json);
        stream.SetLength(8 + json.Length + offset);
        if (periods < 0 || config is not VisionTransformerConfig vit) return;
        stream.Position = 8 + json.Length + periods;
        for (int i = 0; i < vit.HeadWidth / 4; i++) stream.Write(BitConverter.GetBytes((float)Math.Pow(100, 4.0 * i / vit.HeadWidth)));
    }
}
