using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Weights;
using Xunit;
using static DinoSharp.Tests.Weights.TensorAssert;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class WeightConverterTests : IDisposable
{
    private static readonly VisionTransformerConfig Plain = new() { Width = 64, Depth = 2, Heads = 2, FeedForwardWidth = 96 };
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string, BackboneConfig> Networks => new()
    {
        { "mlp", Plain },
        { "swiglu", Plain with { FeedForward = FeedForwardKind.SwiGlu, FeedForwardWidth = 72 } },
        { "7b-like", Plain with { FeedForward = FeedForwardKind.SwiGlu, QkvBias = false } },
        { "convnext", new ConvNeXtConfig { Depths = (1, 2, 1, 1), Dims = (8, 16, 24, 32) } },
    };

    [Theory]
    [MemberData(nameof(Networks))]
    public void Official_to_hugging_face_and_back_changes_no_bit(string name, BackboneConfig config)
    {
        string official = Save(name, config);
        ConversionReport there = Convert(official, "hf", WeightLayout.HuggingFace);
        ConversionReport back = Convert(_folder.File("hf"), "back.safetensors", WeightLayout.Official);
        Assert.Empty(there.Lost);
        Assert.Empty(back.Lost);
        AssertSameFile(official, back.Files[0]);
        using BackboneWeights weights = BackboneWeights.Open(_folder.File("hf"));
        Assert.Equal(WeightLayout.HuggingFace, weights.Layout);
        Assert.All(new[] { "config.json", "preprocessor_config.json", "model.safetensors" }, file => Assert.True(File.Exists(_folder.File("hf", file))));
    }

    [Theory]
    [MemberData(nameof(Networks))]
    public void Official_to_timm_and_back_loses_only_the_mask_token(string name, BackboneConfig config)
    {
        string official = Save(name, config);
        ConversionReport there = Convert(official, "timm", WeightLayout.Timm);
        Assert.Equal(config is ConvNeXtConfig ? [] : ["mask_token"], there.Lost.Select(item => item.Name));
        ConversionReport back = Convert(_folder.File("timm"), "back.safetensors", WeightLayout.Official);
        AssertSameFile(official, back.Files[0], except: "mask_token");
    }

    [Theory]
    [MemberData(nameof(Networks))]
    public void Every_layout_gives_the_same_features(string name, BackboneConfig config)
    {
        string official = Save(name, config);
        Convert(official, "hf", WeightLayout.HuggingFace);
        Convert(_folder.File("hf"), "timm", WeightLayout.Timm);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor images = rand(1, 3, 64, 64), expected = Forward(official, images);
        AssertSame(expected, Forward(_folder.File("hf"), images));
        AssertSame(expected, Forward(_folder.File("timm"), images));
    }

    [Fact]
    public void A_pth_file_becomes_a_safetensors_file_with_the_same_bytes()
    {
        string source = Repository.Shared("golden/ckpt_vit.pth/model_module_backbone.pth");
        ConversionReport report = WeightConverter.Convert(source, _folder.File("out.safetensors"), new WeightConversion { To = WeightLayout.Official });
        AssertSameFile(Repository.Shared("golden/ckpt_vit.weights.safetensors"), report.Files[0]);
        using TensorFile file = TensorFile.Open(report.Files[0]);
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Contains("model_module_backbone.pth", file.Metadata[WeightMetadata.SourceKey]);
        Assert.Contains("DINOv3 License", file.Metadata["license"]);
        Assert.DoesNotContain("iteration", file.Metadata.Keys);
    }

    [Fact]
    public void The_golden_hugging_face_folder_is_written_again_name_by_name()
    {
        foreach (string name in new[] { "ckpt_vit", "ckpt_vit_swiglu", "ckpt_vit_7b_like", "ckpt_convnext" })
        {
            ConversionReport report = Convert(Repository.Shared($"golden/{name}.weights.safetensors"), name, WeightLayout.HuggingFace);
            AssertSameFile(Repository.Shared($"golden/{name}.hf/model.safetensors"), report.Files[0]);
            Assert.Equal(name == "ckpt_vit_7b_like" ? ["local_cls_norm.weight", "local_cls_norm.bias"] : [], report.Lost.Select(item => item.Name).Where(item => item.StartsWith("local")));
            using BackboneWeights expected = BackboneWeights.Open(Repository.Shared($"golden/{name}.hf")), actual = BackboneWeights.Open(_folder.File(name));
            Assert.Equal(expected.Config is VisionTransformerConfig vit ? vit with { LayerScale = 1e-5 } : expected.Config, actual.Config);
            Assert.Equal(expected.Normalization.Values, actual.Normalization.Values);
        }
    }

    [Fact]
    public void Shards_and_types_are_as_asked_for()
    {
        string official = Save("shards", Plain);
        ConversionReport report = WeightConverter.Convert(official, _folder.File("hf"), new WeightConversion { To = WeightLayout.HuggingFace, Type = ElementType.BFloat16, ShardBytes = 40_000 });
        Assert.True(report.Files.Count > 4);
        Assert.Contains(report.Lost, item => item.Reason.Contains("rounded to BFloat16"));
        Assert.Contains("\"torch_dtype\": \"bfloat16\"", File.ReadAllText(_folder.File("hf", "config.json")));
        using var scope = NewDisposeScope();
        using BackboneWeights weights = BackboneWeights.Open(_folder.File("hf"));
        Assert.All(weights.File.Entries.Values, entry => Assert.Equal(ElementType.BFloat16, entry.Type));
        using Backbone backbone = weights.CreateBackbone();
        using TensorFile source = TensorFile.Open(official);
        AssertSame(source.Read("blocks.1.attn.qkv.weight").to(ScalarType.BFloat16).to(ScalarType.Float32), backbone.state_dict()["blocks.1.attn.qkv.weight"]);
    }

    [Fact]
    public void Rounded_periods_a_zero_mask_and_the_normalisation_travel_through_a_layout_that_has_no_place_for_them()
    {
        using var scope = NewDisposeScope();
        string official = Save("published", Plain, state =>
        {
            state["rope_embed.periods"] = state["rope_embed.periods"].to(ScalarType.BFloat16).to(ScalarType.Float32);
            foreach (string key in state.Keys.Where(key => key.Contains("qkv.bias"))) state[key].zero_();
        });
        Convert(official, "hf", WeightLayout.HuggingFace);
        File.WriteAllText(_folder.File("hf", "preprocessor_config.json"), """{"image_mean": [0.42, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}""");
        Convert(_folder.File("hf"), "timm", WeightLayout.Timm);
        ConversionReport back = Convert(_folder.File("timm"), "back.safetensors", WeightLayout.Official);
        using BackboneWeights timm = BackboneWeights.Open(_folder.File("timm"));
        Assert.DoesNotContain(timm.File.Entries.Keys, key => key.EndsWith("q_bias"));
        Assert.Equal(2, ((VisionTransformerConfig)timm.Config).Heads);
        using BackboneWeights result = BackboneWeights.Open(back.Files[0]);
        using TensorFile expected = TensorFile.Open(official);
        AssertSame(expected.Read("rope_embed.periods"), result.File.Read("rope_embed.periods"));
        Assert.Equal(Normalization.Chmv2, result.Normalization.Values);
    }

    [Fact]
    public void What_a_layout_would_compute_differently_is_refused()
    {
        foreach (VisionTransformerConfig config in new[] { Plain with { Norm = NormKind.RmsNorm }, Plain with { UntieClassAndPatchNorms = true }, Plain with { LayerScale = null }, Plain with { Rotary = new RotaryConfig { Base = null, MinPeriod = 0.5, MaxPeriod = 90 } } })
        {
            string source = Save($"{Guid.NewGuid():N}", config);
            Assert.Contains("does not compute", Assert.Throws<TensorFileException>(() => Convert(source, "hf", WeightLayout.HuggingFace)).Message);
        }

        string keys = Save("keys", Plain with { MaskKeyBias = false });
        Assert.Contains("keys have a bias", Assert.Throws<TensorFileException>(() => Convert(keys, "timm", WeightLayout.Timm)).Message);
        Convert(keys, "hf", WeightLayout.HuggingFace);
        AssertSameFile(keys, Convert(_folder.File("hf"), "back.safetensors", WeightLayout.Official).Files[0]);
    }

    [Fact]
    public void A_model_that_is_there_is_replaced_only_when_allowed_and_then_completely()
    {
        string official = Save("a", Plain);
        var sharded = new WeightConversion { To = WeightLayout.HuggingFace, ShardBytes = 40_000 };
        WeightConverter.Convert(official, _folder.File("hf"), sharded);
        Assert.Contains("holds a model already", Assert.Throws<TensorFileException>(() => Convert(official, "hf", WeightLayout.HuggingFace)).Message);
        WeightConverter.Convert(official, _folder.File("hf"), new WeightConversion { To = WeightLayout.HuggingFace, Overwrite = true });
        Assert.Equal(["config.json", "model.safetensors", "preprocessor_config.json"], Directory.GetFiles(_folder.File("hf")).Select(Path.GetFileName).Order());
        Assert.Contains("is there already", Assert.Throws<TensorFileException>(() => WeightConverter.Convert(official, official, new WeightConversion { To = WeightLayout.Official })).Message);
        Assert.Contains("name a folder", Assert.Throws<TensorFileException>(() => Convert(official, "x.safetensors", WeightLayout.HuggingFace)).Message);
        Assert.Contains("write safetensors", Assert.Throws<TensorFileException>(() => Convert(official, "x.pth", WeightLayout.Official)).Message);
    }

    [Fact]
    public void A_cancelled_conversion_leaves_nothing()
    {
        string official = Save("a", Plain);
        using var stop = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => WeightConverter.Convert(official, _folder.File("out.safetensors"), new WeightConversion { To = WeightLayout.Official }, new StopAfter(5, stop), stop.Token));
        Assert.Equal([official], Directory.GetFiles(_folder.Path));
    }

    private sealed class StopAfter(int count, CancellationTokenSource stop) : IProgress<long>
    {
        public void Report(long value)
        {
            if (value == count) stop.Cancel();
        }
    }

    private static Tensor Forward(string path, Tensor images)
    {
        using BackboneWeights weights = BackboneWeights.Open(path);
        using Backbone backbone = weights.CreateBackbone();
        return backbone.call(images);
    }

    private ConversionReport Convert(string input, string output, WeightLayout to) => WeightConverter.Convert(input, _folder.File(output), new WeightConversion { To = to });

    // Every parameter random and the masked biases zero, as training keeps them.
    private string Save(string name, BackboneConfig config, Action<Dictionary<string, Tensor>>? change = null)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var random = new Generator(7);
        using Backbone backbone = Backbone.Create(config);
        foreach ((_, var parameter) in backbone.named_parameters()) parameter.normal_(0, 0.3, random);
        Dictionary<string, Tensor> state = backbone.state_dict();
        foreach (string key in state.Keys.Where(key => key.EndsWith("qkv.bias_mask"))) state[key[..^"_mask".Length]].masked_fill_(state[key].eq(0), 0);
        if (config is ConvNeXtConfig) (state["norms.3.weight"], state["norms.3.bias"]) = (state["norm.weight"], state["norm.bias"]);
        change?.Invoke(state);
        string path = _folder.File($"{name}.safetensors");
        SafetensorsWriter.Write(path, state);
        return path;
    }

    private static void AssertSameFile(string expectedPath, string actualPath, string except = "")
    {
        using var scope = NewDisposeScope();
        using TensorFile expected = TensorFile.Open(expectedPath), actual = TensorFile.Open(actualPath);
        Assert.Equal(expected.Entries.Keys.Order(), actual.Entries.Keys.Order());
        foreach (string name in expected.Entries.Keys.Where(name => name != except)) AssertSame(expected.Read(name), actual.Read(name), name);
    }
}
