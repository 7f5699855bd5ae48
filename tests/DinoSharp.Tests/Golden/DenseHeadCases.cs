using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Layers;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kinds <c>linear_head</c>, <c>features_to_depth</c>, <c>input_adapters</c>, <c>dpt_head</c>, <c>depther</c> and <c>linear_classifier</c>.</summary>
internal static class DenseHeadCases
{
    /// <summary>Maps [B, D, h, w] and class tokens [B, D] of a call as the backbone would deliver them.</summary>
    public static LayerFeatures[] Features(GoldenCall call)
    {
        IReadOnlyList<Tensor?> classTokens = call.Inputs("cls");
        return [.. call.Inputs("patches").Select((map, i) => new LayerFeatures(
            i, i < classTokens.Count ? classTokens[i]! : zeros(map!.shape[0], map.shape[1]), zeros(map!.shape[0], 0, map.shape[1]), map.flatten(2).transpose(1, 2), (int)map.shape[2], (int)map.shape[3]))];
    }

    public static int[] Ints(JsonElement list) => [.. list.EnumerateArray().Select(e => e.GetInt32())];

    /// <summary>A named set of layers, or a list of their indices.</summary>
    public static LayerSelection Layers(JsonElement value, int count) =>
        value.ValueKind == JsonValueKind.Array ? LayerSelection.Create(Ints(value)) : Named(value.GetString()!, count);

    private static LayerSelection Named(string name, int count) => name switch
    {
        "LAST" => LayerSelection.Final,
        "FOUR_LAST" => LayerSelection.Last(4),
        "FOUR_EVEN_INTERVALS" => HeadLayers.FourEvenIntervals(count),
        _ => throw new InvalidOperationException($"unknown layer set {name}"),
    };

    public static void LinearHead(GoldenCase golden)
    {
        JsonElement c = golden.Config;
        int[] channels = Ints(c.GetProperty("in_channels"));
        int outputs = c.GetProperty("n_output_channels").GetInt32();
        bool batchNorm = c.GetProperty("use_batchnorm").GetBoolean(), classToken = c.GetProperty("use_cls_token").GetBoolean();
        using TensorFile weights = TensorFile.Open(golden.WeightsFile);
        using LinearDenseHead head = weights.Entries.ContainsKey("conv_depth.weight")
            ? new LinearDepthHead(channels, outputs, batchNorm, classToken)
            : new LinearSegmentationHead(channels, outputs, batchNorm, classToken, ConfigReader.Number(c, "dropout") ?? 0);
        BackboneCalls.Load(head, golden.WeightsFile);
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            LayerFeatures[] features = Features(call);
            switch (call.Op)
            {
                case "forward":
                    call.Check("y", head.Forward(features));
                    break;
                case "predict":
                    int[] size = Ints(call.Arg("rescale_to"));
                    call.Check("y", head.Predict(features, size[0], size[1]));
                    break;
                case "forward_backward":
                    using (var random = new Generator(0))
                    {
                        Tensor y = head.ForwardTraining(features, random);
                        call.Check("y", y);
                        (y * call.Input("w")!).sum().backward();
                    }

                    Dictionary<string, Tensor> state = head.state_dict();
                    foreach ((string key, _) in call.Outputs.Where(o => o.Key != "y").ToList())
                    {
                        Tensor value = state[key[(key.IndexOf(':', StringComparison.Ordinal) + 1)..]];
                        call.Check(key, key.StartsWith("grad_param:", StringComparison.Ordinal) ? value.grad! : value);
                    }

                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }
        }
    }

    public static void FeaturesToDepth(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            if (call.Op == "chmv2_mixlog_bins")
            {
                call.Check("bins", Bins(call.Args, BinSpacing.MixLog).Centers(call.Int("n_bins")));
                continue;
            }

            call.Check("depth", Bins(call.Args).ToMeters(call.Input("x")!));
        }
    }

    public static void InputAdapters(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            ImageFit fit = call.Op == "center_padding" ? ImageFit.CenterPadding : ImageFit.Stretch;
            call.Check("y", fit.Apply(call.Input("x")!, call.Int("multiple")));
        }

        foreach (JsonProperty depth in golden.Values.GetProperty("backbone_out_indices").EnumerateObject())
        {
            int layers = int.Parse(depth.Name, System.Globalization.CultureInfo.InvariantCulture);
            foreach (JsonProperty set in depth.Value.EnumerateObject())
            {
                LayerSelection selection = Named(set.Name, layers);
                if (!selection.Resolve(layers).SequenceEqual(Ints(set.Value))) throw new InvalidOperationException($"{set.Name} of {layers} layers is {selection}");
            }
        }
    }

    public static void Dpt(GoldenCase golden)
    {
        using var head = new DptHead(DptConfig(golden.Config, Ints(golden.Config.GetProperty("in_channels"))));
        BackboneCalls.Load(head, golden.WeightsFile);
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            call.Check("y", head.Forward(Features(call)));
        }
    }

    public static void Depther(GoldenCase golden)
    {
        JsonElement c = golden.Config;
        using var backbone = new VisionTransformer(ConfigReader.Vit(c.GetProperty("backbone")));
        LayerSelection layers = Layers(c.GetProperty("backbone_out_layers"), backbone.Config.LayerCount);
        int[] channels = [.. layers.Resolve(backbone.Config.LayerCount).Select(_ => backbone.Config.EmbedDim)];
        JsonElement h = c.GetProperty("head");
        bool linear = h.TryGetProperty("head_type", out JsonElement type) && type.GetString() == "linear";
        using var linearHead = linear
            ? new LinearDepthHead(channels, h.GetProperty("n_output_channels").GetInt32(), h.GetProperty("use_batchnorm").GetBoolean(), h.GetProperty("use_cls_token").GetBoolean())
            : null;
        using var dptHead = linear ? null : new DptHead(DptConfig(h, channels));
        PrefixedWeights.Load(golden.WeightsFile, ("encoder.backbone.", backbone), ("decoder.", (nn.Module?)linearHead ?? dptHead!));
        DepthBins bins = Bins(c.GetProperty("depth"));
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor x = call.Input("x")!, images = Fit(c) is { } fit ? fit.Apply(x, c.GetProperty("backbone").GetProperty("patch_size").GetInt32()) : x;
            LayerFeatures[] features = backbone.GetLayers(images, layers, c.GetProperty("use_backbone_norm").GetBoolean());
            for (int i = 0; i < features.Length; i++)
            {
                call.CheckIfGiven($"enc_patches.{i}", features[i].PatchMap());
                call.CheckIfGiven($"enc_cls.{i}", features[i].ClassToken);
            }

            Tensor scores = linearHead?.Forward(features) ?? dptHead!.Forward(features);
            call.CheckIfGiven("logits", scores);
            call.Check("depth", bins.ToMeters(scores));
        }
    }

    private static ImageFit? Fit(JsonElement c) => c.TryGetProperty("adapt_to_patch_size", out JsonElement fit) && fit.ValueKind == JsonValueKind.String
        ? fit.GetString() switch
        {
            "center_padding" => ImageFit.CenterPadding,
            "stretch" or "resize" => ImageFit.Stretch,
            "none" or "noop" or "identity" => null,
            string other => throw new InvalidOperationException($"unknown adapt_to_patch_size {other}"),
            null => null,
        }
        : null;

    public static void LinearClassifier(GoldenCase golden)
    {
        using var backbone = new VisionTransformer(ConfigReader.Vit(golden.Config.GetProperty("backbone")));
        using var head = new Linear(2 * backbone.Config.EmbedDim, golden.Config.GetProperty("num_classes").GetInt32(), bias: true);
        PrefixedWeights.Load(golden.WeightsFile, ("backbone.", backbone), ("linear_head.", head));
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            bool classify = call.Op == "classify";
            LayerFeatures[] features = backbone.GetLayers(call.Input("x")!, LayerSelection.Last(classify ? 1 : call.Int("use_n_blocks")));
            Tensor input = LinearInput.Gather(features, classify || call.Flag("use_avgpool"));
            call.Check(classify ? "logits" : "features", classify ? head.call(input) : input);
        }
    }

    private static DptConfig DptConfig(JsonElement c, int[] inputs) => new()
    {
        InputChannels = inputs,
        LevelChannels = Ints(c.GetProperty("post_process_channels")),
        Channels = c.GetProperty("channels").GetInt32(),
        Outputs = c.GetProperty("n_output_channels").GetInt32(),
        Readout = c.TryGetProperty("readout_type", out JsonElement readout)
            ? Enum.Parse<DptReadout>(readout.GetString()!, ignoreCase: true)
            : c.GetProperty("use_cls_token").GetBoolean() ? DptReadout.Project : DptReadout.Ignore,
        BatchNorm = c.GetProperty("use_batchnorm").GetBoolean(),
        HiddenChannels = (int)(ConfigReader.Number(c, "n_hidden_channels") ?? 32),
        FusionBias = c.TryGetProperty("use_bias", out JsonElement bias) && bias.GetBoolean(),
        ProjectAfterFusion = !c.TryGetProperty("projection_after_fusion", out JsonElement project) || project.GetBoolean(),
    };

    private static DepthBins Bins(JsonElement c, BinSpacing spacing = BinSpacing.Linear)
    {
        if (c.TryGetProperty("bins_strategy", out JsonElement bins)) spacing = Enum.Parse<BinSpacing>(bins.GetString()!.Replace("chmv2_", "", StringComparison.Ordinal), ignoreCase: true);
        BinWeighting weighting = c.TryGetProperty("norm_strategy", out JsonElement norm)
            ? Enum.Parse<BinWeighting>(norm.GetString()!.Replace("chmv2_", "", StringComparison.Ordinal), ignoreCase: true)
            : BinWeighting.Linear;
        return new DepthBins(c.GetProperty("min_depth").GetDouble(), c.GetProperty("max_depth").GetDouble(), spacing, weighting);
    }
}
