using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Heads.Detection;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>detr</c>.</summary>
internal static class DetectionCases
{
    public static void Run(GoldenCase golden)
    {
        JsonElement c = golden.Config;
        using var backbone = new VisionTransformer(ConfigReader.Vit(c.GetProperty("backbone")));
        DetrConfig config = Config(c, backbone.Config.EmbedDim);
        using var head = new DetrHead(config);
        PrefixedWeights.Load(golden.WeightsFile, (config.WindowsPerSide > 0 ? "backbone.0._backbone.backbone." : "backbone.0.backbone.", backbone), ("", head));
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor[] images = [.. call.Inputs("x").Select(x => x!)];
            if (call.Op == "detect") Detect(call, config, backbone, head, images);
            else Forward(call, config, backbone, head, images);
        }
    }

    private static void Forward(GoldenCall call, DetrConfig config, Backbone backbone, DetrHead head, Tensor[] images)
    {
        int queries = call.Int("num_queries");
        (DetrStage proposals, IReadOnlyList<DetrStage> layers) = head.Forward(backbone, images, queries);
        Compare(call, "enc_", "", proposals);
        for (int i = 0; i < layers.Count; i++)
        {
            string prefix = i == layers.Count - 1 ? "" : $"aux{i}_";
            Compare(call, prefix, "", Part(layers[i], 0, config.Queries));
            if (queries > config.Queries) Compare(call, prefix, "_one2many", Part(layers[i], config.Queries, queries - config.Queries));
        }
    }

    private static void Detect(GoldenCall call, DetrConfig config, Backbone backbone, DetrHead head, Tensor[] images)
    {
        DetrStage answer = head.Forward(backbone, images).Layers[^1];
        for (int i = 0; i < images.Length; i++)
        {
            (Tensor scores, Tensor labels, Tensor boxes) = DetrDetections.Rank(answer, i, images[i].shape[1], images[i].shape[2], call.Int("topk"), config.PixelBoxes);
            call.Check($"scores.{i}", scores);
            call.Check($"labels.{i}", labels);
            call.Check($"boxes.{i}", boxes);
        }
    }

    private static DetrStage Part(DetrStage stage, int start, int count) => new(
        stage.Logits.narrow(1, start, count), stage.Boxes.narrow(1, start, count), stage.References.narrow(1, start, count), stage.Deltas.narrow(1, start, count));

    private static void Compare(GoldenCall call, string prefix, string suffix, DetrStage stage)
    {
        foreach ((string key, Tensor value) in new[] { ("pred_logits", stage.Logits), ("pred_boxes", stage.Boxes), ("pred_boxes_old", stage.References), ("pred_deltas", stage.Deltas) })
        {
            if (call.Outputs.Any(o => o.Key == prefix + key + suffix)) call.Check(prefix + key + suffix, value);
        }
    }

    private static DetrConfig Config(JsonElement c, int width)
    {
        JsonElement head = c.GetProperty("head");
        int levels = Int(head, "proposal_feature_levels");
        return new DetrConfig
        {
            BackboneWidth = width,
            Layers = DenseHeadCases.Ints(head.GetProperty("layers_to_use")),
            WindowsPerSide = Int(c, "n_windows_sqrt"),
            LayerNorms = head.GetProperty("backbone_use_layernorm").GetBoolean(),
            Positions = c.GetProperty("position_embedding").GetString() switch
            {
                "sine" => DetrPositions.Sine,
                "sine_unnorm" => DetrPositions.SineUnnormalized,
                "learned" => DetrPositions.Learned,
                string other => throw new InvalidOperationException($"unknown position_embedding {other}"),
                null => throw new InvalidOperationException("no position_embedding"),
            },
            Width = Int(head, "hidden_dim"),
            Heads = Int(head, "nheads"),
            EncoderLayers = head.GetProperty("add_transformer_encoder").GetBoolean() ? Int(head, "num_encoder_layers") : 0,
            DecoderLayers = Int(head, "dec_layers"),
            FeedForwardWidth = Int(head, "dim_feedforward"),
            PreNorm = Choice(head, "norm_type", ("pre_norm", true), ("post_norm", false)),
            Queries = Int(head, "num_queries_one2one"),
            TrainingQueries = Int(head, "num_queries_one2many"),
            MixedSelection = head.GetProperty("mixed_selection").GetBoolean(),
            Classes = Int(head, "num_classes"),
            ProposalStrides = levels > 1 ? DenseHeadCases.Ints(c.GetProperty("proposal_tgt_strides"))[..levels] : [Int(c, "proposal_in_stride")],
            ProposalSizePixels = Int(head, "proposal_min_size"),
            PixelBoxes = head.GetProperty("reparam").GetBoolean(),
            BiasWidth = Choice(head, "decoder_type", ("global_rpe_decomp", true), ("global_ape", false)) ? Int(head, "decoder_rpe_hidden_dim") : 0,
            BiasDistance = Choice(head, "decoder_rpe_type", ("abs_log8", BoxDistance.Log), ("linear", BoxDistance.Linear)),
        };
    }

    private static T Choice<T>(JsonElement c, string name, params (string Name, T Value)[] choices)
    {
        string given = c.GetProperty(name).GetString()!;
        int index = Array.FindIndex(choices, choice => choice.Name == given);
        return index >= 0 ? choices[index].Value : throw new InvalidOperationException($"unknown {name} {given}");
    }

    private static int Int(JsonElement c, string name) => c.GetProperty(name).GetInt32();
}
