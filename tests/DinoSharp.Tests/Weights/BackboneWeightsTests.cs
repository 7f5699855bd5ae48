using DinoSharp.Backbones;
using DinoSharp.Images;
using DinoSharp.Tests.Golden;
using DinoSharp.Weights;
using Xunit;
using static DinoSharp.Tests.Weights.TensorAssert;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

public sealed class BackboneWeightsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> GoldenBackbones =>
        [.. GoldenFolder.Entries(GoldenFolder.All[0]).Where(entry => entry.Kind is "vit_backbone" or "convnext_backbone").Select(entry => entry.Name)];

    [Theory]
    [MemberData(nameof(GoldenBackbones))]
    public void The_architecture_is_read_off_the_tensors(string name)
    {
        using var golden = new GoldenCase(GoldenFolder.Entries(GoldenFolder.All[0]).First(entry => entry.Name == name));
        using BackboneWeights weights = BackboneWeights.Open(golden.WeightsFile);
        Assert.Equal(WeightLayout.Official, weights.Layout);
        Assert.Equal(WithoutWhatTensorsCannotShow(golden.Entry.Kind == "vit_backbone" ? ConfigReader.Vit(golden.Config) : ConfigReader.ConvNeXt(golden.Config)), WithoutWhatTensorsCannotShow(weights.Config));
        using Backbone backbone = weights.CreateBackbone();
        using var scope = NewDisposeScope();
        foreach ((string key, Tensor value) in backbone.state_dict()) AssertSame(weights.File.Read(key).to(value.dtype), value);
    }

    private static BackboneConfig WithoutWhatTensorsCannotShow(BackboneConfig config) => config switch
    {
        VisionTransformerConfig vit => vit with
        {
            NormEpsilon = 0,
            DropPathRate = 0,
            LayerScale = vit.LayerScale is null ? null : 1,
            MaskKeyBias = vit.QkvBias && vit.MaskKeyBias,
            Rotary = vit.Rotary.Base is double b
                ? new RotaryConfig { Base = Math.Round(b, 3) }
                : new RotaryConfig { Base = null, MinPeriod = Math.Round(vit.Rotary.MinPeriod!.Value, 3), MaxPeriod = Math.Round(vit.Rotary.MaxPeriod!.Value, 3) },
        },
        ConvNeXtConfig convNeXt => convNeXt with { DropPathRate = 0, PatchSize = null, LayerScale = convNeXt.LayerScale > 0 ? 1 : 0 },
        _ => throw new InvalidOperationException(),
    };

    [Fact]
    public void Every_missing_unexpected_and_misshapen_tensor_is_named_and_nothing_is_loaded()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> state = TinyState();
        state.Remove("blocks.1.norm2.bias");
        state["blocks.0.norm1.weight"] = zeros(7);
        state["stranger"] = zeros(1);
        using BackboneWeights weights = BackboneWeights.Open(Save(state));
        using var network = new VisionTransformer((VisionTransformerConfig)weights.Config);
        foreach ((_, Tensor value) in network.state_dict()) using (no_grad()) value.fill_(42);

        var error = Assert.Throws<WeightLoadException>(() => weights.LoadInto(network));
        Assert.Equal(["blocks.1.norm2.bias"], error.Report.Missing);
        Assert.Equal(["stranger"], error.Report.Unexpected);
        Assert.Equal("blocks.0.norm1.weight", Assert.Single(error.Report.Mismatched).Name);
        Assert.All(new[] { "blocks.1.norm2.bias", "stranger", "blocks.0.norm1.weight: is [7] in the file, expected [32]" }, name => Assert.Contains(name, error.Message));
        Assert.All(network.state_dict().Values, value => Assert.True(value.eq(42).all().item<bool>()));
        Assert.Throws<WeightLoadException>(() => weights.CreateBackbone());
    }

    [Fact]
    public void A_zero_bias_mask_is_loaded_as_it_is_and_one_that_was_never_set_is_refused()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> state = TinyState();
        state["blocks.0.attn.qkv.bias_mask"].zero_();
        using (BackboneWeights weights = BackboneWeights.Open(Save(state)))
        using (Backbone backbone = weights.CreateBackbone()) Assert.Equal(0, backbone.state_dict()["blocks.0.attn.qkv.bias_mask"].abs().sum().item<float>());

        state["blocks.1.attn.qkv.bias_mask"].fill_(float.NaN);
        using BackboneWeights unset = BackboneWeights.Open(Save(state));
        Assert.Contains("blocks.1.attn.qkv.bias_mask: holds values that are not finite", Assert.Throws<WeightLoadException>(() => unset.CreateBackbone()).Message);
    }

    [Fact]
    public void Rounded_periods_are_kept_and_computed_in_float32()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> state = TinyState();
        Tensor rounded = state["rope_embed.periods"].to(ScalarType.BFloat16);
        state["rope_embed.periods"] = rounded;
        using BackboneWeights weights = BackboneWeights.Open(Save(state));
        using Backbone backbone = weights.CreateBackbone();
        AssertSame(rounded.to(ScalarType.Float32), backbone.state_dict()["rope_embed.periods"]);
        Assert.Equal(100, ((VisionTransformerConfig)weights.Config).Rotary.Base);
    }

    [Fact]
    public void A_training_checkpoint_gives_its_teacher()
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> teacher = TinyState(seed: 1), student = TinyState(seed: 2);
        var all = new Dictionary<string, Tensor>();
        foreach ((string key, Tensor value) in student) all[$"model.student.backbone.{key}"] = value;
        foreach ((string key, Tensor value) in teacher) all[$"model.teacher.module.backbone._orig_mod.{key.Replace("blocks.0.", "blocks.0._checkpoint_wrapped_module.")}"] = value;
        all["model.teacher.dino_head.last_layer.weight"] = zeros(4, 4);
        using BackboneWeights weights = BackboneWeights.Open(Save(all));
        using Backbone backbone = weights.CreateBackbone();
        AssertSame(teacher["cls_token"], backbone.state_dict()["cls_token"]);
        AssertSame(teacher["blocks.0.attn.qkv.weight"], backbone.state_dict()["blocks.0.attn.qkv.weight"]);
        LoadReport report = weights.Check(backbone);
        Assert.True(report.IsComplete);
        Assert.Contains(report.Ignored, item => item.Name == "model.teacher.dino_head.last_layer.weight");
        Assert.Equal(student.Count + 1, report.Ignored.Count);
    }

    [Fact]
    public void Several_equal_backbones_are_not_guessed_at()
    {
        using var scope = NewDisposeScope();
        var all = new Dictionary<string, Tensor>();
        foreach ((string key, Tensor value) in TinyState()) all[$"a.{key}"] = all[$"b.{key}"] = value;
        Assert.Contains("'b.', 'a.'", Assert.Throws<TensorFileException>(() => BackboneWeights.Open(Save(all))).Message);
    }

    [Fact]
    public void The_copy_of_the_final_norm_of_a_convnext_must_be_a_copy()
    {
        using var scope = NewDisposeScope();
        using var network = new ConvNeXt(new ConvNeXtConfig { Depths = (1, 1, 1, 1), Dims = (8, 8, 8, 8) });
        network.Initialize(new Generator(3));
        var state = network.state_dict();
        state["norms.3.weight"] = state["norm.weight"].clone();
        state["norms.3.bias"] = state["norm.bias"].clone();
        using (BackboneWeights weights = BackboneWeights.Open(Save(state))) Assert.True(weights.LoadInto(network).IsComplete);
        using (no_grad()) state["norms.3.bias"].add_(1);
        using BackboneWeights different = BackboneWeights.Open(Save(state));
        Assert.Contains("norms.3.bias", Assert.Throws<WeightLoadException>(() => different.LoadInto(network)).Message);
    }

    [Theory]
    [InlineData("blocks.5.norm1.weight", "block 2 is missing")]
    [InlineData("pos_embed", "learned positions")]
    public void Tensors_that_contradict_the_architecture_are_named(string extra, string expected)
    {
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> state = TinyState();
        state[extra] = zeros(32);
        Assert.Contains(expected, Assert.Throws<TensorFileException>(() => BackboneWeights.Open(Save(state))).Message);
    }

    [Theory]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 2, "hidden_size": 64}""", "'hidden_size' is 64, but the tensors")]
    [InlineData("""{"model_type": "dinov3_vit", "hidden_size": NaN}""", "no valid JSON")]
    [InlineData("""{"model_type": "dinov3_vit", "layer_norm_eps": 1e999}""", "'layer_norm_eps' must be")]
    [InlineData("""{"model_type": "dinov3_vit", "layer_norm_eps": -1e-5}""", "'layer_norm_eps' must be")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 1e9}""", "'num_attention_heads' must be")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": "2"}""", "'num_attention_heads' must be")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 3}""", "multiple of 4 x Heads")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 2, "num_attention_heads": 4}""", "no valid JSON")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 2, "rope_theta": 0}""", "'rope_theta' must be")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 2, "use_gated_mlp": true}""", "'use_gated_mlp' is True")]
    [InlineData("""{"model_type": "dinov3_vit", "num_attention_heads": 2, "hidden_act": "relu"}""", "'hidden_act' is 'relu'")]
    [InlineData("""{"model_type": "dinov2", "num_attention_heads": 2}""", "model_type is 'dinov2'")]
    [InlineData("[]", "expected a JSON object")]
    public void A_config_that_lies_is_refused_by_key(string config, string expected)
    {
        using var scope = NewDisposeScope();
        SaveHuggingFace(config);
        Assert.Contains(expected, Assert.Throws<TensorFileException>(() => BackboneWeights.Open(_folder.Path)).Message);
    }

    [Fact]
    public void Unknown_keys_of_a_config_are_passed_over()
    {
        using var scope = NewDisposeScope();
        SaveHuggingFace("""{"model_type": "dinov3_vit", "num_attention_heads": 2, "rope_theta": 50.0, "layer_norm_eps": 1e-6, "something_new": {"a": [1]}}""");
        File.WriteAllText(_folder.File("preprocessor_config.json"), """{"image_mean": [0.43, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}""");
        using BackboneWeights weights = BackboneWeights.Open(_folder.Path);
        var vit = Assert.IsType<VisionTransformerConfig>(weights.Config);
        Assert.Equal((50.0, 1e-6, 2), (vit.Rotary.Base!.Value, vit.NormEpsilon, vit.Heads));
        Assert.Equal(Normalization.Sat, weights.Normalization.Values);
        Assert.False(weights.Normalization.IsGuess);
    }

    [Fact]
    public void A_backbone_inside_a_larger_hugging_face_model_is_found()
    {
        using var scope = NewDisposeScope();
        SaveHuggingFace("""{"model_type": "chmv2", "layer_norm_eps": 1e-6, "backbone_config": {"model_type": "dinov3_vit", "num_attention_heads": 2, "layer_norm_eps": 1e-5}}""");
        var all = new Dictionary<string, Tensor> { ["head.conv_depth.head.0.weight"] = zeros(2, 2) };
        using (TensorFile file = TensorFile.Open(_folder.Path))
        {
            foreach (string name in file.Entries.Keys) all[$"backbone.{name}"] = file.Read(name);
        }

        SafetensorsWriter.Write(_folder.File("model.safetensors"), all);
        using BackboneWeights weights = BackboneWeights.Open(_folder.Path);
        Assert.Equal("backbone.", weights.Prefix);
        Assert.Equal(1e-5, ((VisionTransformerConfig)weights.Config).NormEpsilon);
        using Backbone backbone = weights.CreateBackbone();
        Assert.Equal("head.conv_depth.head.0.weight", Assert.Single(weights.Check(backbone).Ignored).Name);
    }

    [Fact]
    public void Any_module_is_saved_and_loaded_by_its_names()
    {
        using var scope = NewDisposeScope();
        nn.Module first = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), second = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4));
        string path = _folder.File("head.safetensors");
        StateDict.Save(first, path, [new("note", "a head")]);
        using TensorFile file = TensorFile.Open(path);
        Assert.Equal(first.state_dict().Count, StateDict.Load(second, file).Matched.Count);
        foreach ((string name, Tensor value) in second.state_dict()) AssertSame(first.state_dict()[name], value);
        Assert.Equal(2, StateDict.Load(nn.Linear(3, 4), file, "0.").Matched.Count);
        var error = Assert.Throws<WeightLoadException>(() => StateDict.Load(nn.BatchNorm1d(4), file, "0."));
        Assert.Equal(["running_mean", "running_var", "num_batches_tracked"], error.Report.Missing);
        Assert.Equal("weight", Assert.Single(error.Report.Mismatched).Name);
    }

    [Fact]
    public void Opening_and_loading_leaves_no_tensor_and_no_open_file_behind()
    {
        string path;
        using (var scope = NewDisposeScope()) path = Save(TinyState());
        LiveTensors.AssertUnchangedBy(() =>
        {
            using BackboneWeights weights = BackboneWeights.Open(path);
            using Backbone backbone = weights.CreateBackbone();
        });
        File.WriteAllText(path, "broken"); // would fail on Windows if the file were still open
        Assert.Throws<TensorFileException>(() => BackboneWeights.Open(path));
        File.Delete(path);
    }

    private static Dictionary<string, Tensor> TinyState(int seed = 0)
    {
        using var network = new VisionTransformer(new VisionTransformerConfig { Width = 32, Depth = 2, Heads = 2, FeedForwardWidth = 48 });
        network.Initialize(new Generator((ulong)seed));
        return network.state_dict().ToDictionary(pair => pair.Key, pair => pair.Value.detach().clone());
    }

    private string Save(IEnumerable<KeyValuePair<string, Tensor>> state)
    {
        string path = _folder.File($"{Guid.NewGuid():N}.safetensors");
        SafetensorsWriter.Write(path, state);
        return path;
    }

    // The tiny network under Hugging Face's names; written out by hand, so that the tables are not tested with themselves.
    private void SaveHuggingFace(string config)
    {
        Dictionary<string, Tensor> state = TinyState(), renamed = [];
        renamed["embeddings.cls_token"] = state["cls_token"];
        renamed["embeddings.mask_token"] = state["mask_token"].unsqueeze(0);
        renamed["embeddings.register_tokens"] = state["storage_tokens"];
        foreach (string part in new[] { "weight", "bias" })
        {
            renamed[$"embeddings.patch_embeddings.{part}"] = state[$"patch_embed.proj.{part}"];
            renamed[$"norm.{part}"] = state[$"norm.{part}"];
            for (int i = 0; i < 2; i++)
            {
                renamed[$"layer.{i}.norm1.{part}"] = state[$"blocks.{i}.norm1.{part}"];
                renamed[$"layer.{i}.norm2.{part}"] = state[$"blocks.{i}.norm2.{part}"];
                renamed[$"layer.{i}.attention.o_proj.{part}"] = state[$"blocks.{i}.attn.proj.{part}"];
                renamed[$"layer.{i}.mlp.up_proj.{part}"] = state[$"blocks.{i}.mlp.fc1.{part}"];
                renamed[$"layer.{i}.mlp.down_proj.{part}"] = state[$"blocks.{i}.mlp.fc2.{part}"];
                Tensor[] thirds = state[$"blocks.{i}.attn.qkv.{part}"].chunk(3, 0);
                renamed[$"layer.{i}.attention.q_proj.{part}"] = thirds[0];
                if (part == "weight") renamed[$"layer.{i}.attention.k_proj.{part}"] = thirds[1];
                renamed[$"layer.{i}.attention.v_proj.{part}"] = thirds[2];
            }
        }

        for (int i = 0; i < 2; i++)
        {
            renamed[$"layer.{i}.layer_scale1.lambda1"] = state[$"blocks.{i}.ls1.gamma"];
            renamed[$"layer.{i}.layer_scale2.lambda1"] = state[$"blocks.{i}.ls2.gamma"];
        }

        SafetensorsWriter.Write(_folder.File("model.safetensors"), renamed);
        File.WriteAllText(_folder.File("config.json"), config);
    }
}
