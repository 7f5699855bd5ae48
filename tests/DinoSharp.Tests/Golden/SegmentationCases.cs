using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kinds <c>ms_deform_attn</c>, <c>mask2former</c> and <c>segmentation_inference</c>.</summary>
internal static class SegmentationCases
{
    public static void DeformableAttention(GoldenCase golden)
    {
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            if (call.Op == "ms_deform_attn") Attention(golden, call);
            else call.Check("pos", Positions(call));
        }
    }

    public static void Mask2Former(GoldenCase golden)
    {
        JsonElement c = golden.Config, adapter = c.GetProperty("adapter"), pixels = c.GetProperty("pixel_decoder"), masks = c.GetProperty("transformer_decoder");
        Require(adapter, "add_vit_feature", true);
        Require(adapter, "use_extra_extractor", true);
        Require(masks, "pre_norm", false);
        using var backbone = new VisionTransformer(ConfigReader.Vit(c.GetProperty("backbone")));
        using var head = new Mask2FormerHead(new Mask2FormerConfig
        {
            BackboneWidth = backbone.Config.EmbedDim,
            StemChannels = Int(adapter, "conv_inplane"),
            AdapterHeads = Int(adapter, "deform_num_heads"),
            AdapterPoints = Int(adapter, "n_points"),
            AdapterFeedForwardRatio = adapter.GetProperty("cffn_ratio").GetDouble(),
            AdapterValueRatio = adapter.GetProperty("deform_ratio").GetDouble(),
            Width = Int(masks, "hidden_dim"),
            MaskWidth = Int(masks, "mask_dim"),
            Heads = Int(masks, "nheads"),
            PixelHeads = Int(pixels, "transformer_nheads"),
            FeedForwardWidth = Int(masks, "dim_feedforward"),
            PixelFeedForwardWidth = Int(pixels, "transformer_dim_feedforward"),
            EncoderLayers = Int(pixels, "transformer_enc_layers"),
            DecoderLayers = Int(masks, "dec_layers"),
            Queries = Int(masks, "num_queries"),
            Classes = Int(masks, "num_classes"),
        });
        PrefixedWeights.Load(golden.WeightsFile, ("segmentation_model.0.backbone.", backbone), ("", head));
        LayerSelection layers = LayerSelection.Create(DenseHeadCases.Ints(adapter.GetProperty("interaction_indexes")));
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor x = call.Input("x")!;
            IReadOnlyList<MaskPredictions> predictions = head.Forward(x, backbone.GetLayers(x, layers));
            for (int i = 0; i < predictions.Count - 1; i++)
            {
                call.CheckIfGiven($"aux_pred_logits.{i}", predictions[i].Logits);
                call.CheckIfGiven($"aux_pred_masks.{i}", predictions[i].Masks);
            }

            if (call.Op == "mask2former_semantic")
            {
                int[] size = DenseHeadCases.Ints(call.Arg("rescale_to"));
                call.Check("semantic", Mask2FormerHead.Semantic(predictions[^1], size[0], size[1]));
                continue;
            }

            call.Check("pred_logits", predictions[^1].Logits);
            Tensor pixelMasks = predictions[^1].Masks;
            if (call.Op == "mask2former_predict") pixelMasks = MapResize.Bilinear(pixelMasks, DenseHeadCases.Ints(call.Arg("rescale_to"))[0], DenseHeadCases.Ints(call.Arg("rescale_to"))[1]);
            call.Check("pred_masks", pixelMasks);
        }
    }

    public static void Inference(GoldenCase golden)
    {
        JsonElement c = golden.Config;
        using var backbone = new VisionTransformer(ConfigReader.Vit(c.GetProperty("backbone")));
        LayerSelection layers = DenseHeadCases.Layers(c.GetProperty("backbone_out_layers"), backbone.Config.LayerCount);
        int[] channels = [.. layers.Resolve(backbone.Config.LayerCount).Select(_ => backbone.Config.EmbedDim)];
        using var head = new LinearSegmentationHead(channels, Int(c, "num_classes"), Flag(c, "use_batchnorm", true), Flag(c, "use_cls_token", false));
        PrefixedWeights.Load(golden.WeightsFile, ("segmentation_model.0.feature_model.", backbone), ("segmentation_model.1.", head));
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor x = call.Input("x")!;
            if (call.Op == "forward")
            {
                call.Check("logits", head.Forward(backbone.GetLayers(x, layers)));
                continue;
            }

            int[] crop = call.Arg("crop_size").ValueKind == JsonValueKind.Array ? DenseHeadCases.Ints(call.Arg("crop_size")) : [0, 0];
            int[] stride = call.Arg("stride").ValueKind == JsonValueKind.Array ? DenseHeadCases.Ints(call.Arg("stride")) : [0, 0];
            int[] size = call.Arg("rescale_to").ValueKind == JsonValueKind.Array ? DenseHeadCases.Ints(call.Arg("rescale_to")) : [(int)x.shape[2], (int)x.shape[3]];
            bool whole = call.Op == "make_inference" && call.Arg("mode").GetString() == "whole";
            Tensor scores = call.Op == "predict" ? Score(x, size[0], size[1])
                : whole ? Score(MapResize.Bilinear(x, 512, 512), size[0], size[1])
                : MapResize.Bilinear(new SlidingWindow(crop[0], crop[1], stride[0], stride[1]).Run(x, window => Score(window, window.shape[2], window.shape[3])), size[0], size[1]);
            if (call.Flag("apply_horizontal_flip")) scores = scores.flip(3);
            if (call.Arg("output_activation").ValueKind == JsonValueKind.String) scores = scores.softmax(1);
            call.Check(call.Outputs.Single().Key, scores);
        }

        Tensor Score(Tensor image, long height, long width) => head.Predict(backbone.GetLayers(image, layers), height, width);
    }

    private static void Attention(GoldenCase golden, GoldenCall call)
    {
        using var attention = new DeformableAttention(call.Int("d_model"), call.Int("n_levels"), call.Int("n_heads"), call.Int("n_points"), call.Arg("ratio").GetDouble());
        BackboneCalls.Load(attention, golden.File(call.Arg("weights").GetString()!));
        Tensor shapes = call.Input("spatial_shapes")!;
        (long, long)[] sizes = [.. Enumerable.Range(0, (int)shapes.shape[0]).Select(l => (shapes[l, 0].item<long>(), shapes[l, 1].item<long>()))];
        call.Check("y", attention.Forward(call.Input("query")!, call.Input("reference_points")!, call.Input("input_flatten")!, sizes, call.Input("input_padding_mask")));
    }

    private static Tensor Positions(GoldenCall call)
    {
        int width = 2 * call.Int("num_pos_feats");
        if (call.Arg("variant").GetString() == "segmentation")
        {
            if (!call.Flag("normalize")) throw new InvalidOperationException("the positions of the segmentor are always normalised");
            return SinePositions.Grid(call.Int("H"), call.Int("W"), width).expand(call.Int("B"), -1, -1, -1);
        }

        return SinePositions.Padded(call.Input("mask")!.logical_not(), width, call.Flag("normalize"));
    }

    // Options that the published model has and no other is known of: another value is told, not passed over.
    private static void Require(JsonElement c, string name, bool value)
    {
        if (Flag(c, name, value) != value) throw new InvalidOperationException($"{name} {!value} is not supported");
    }

    private static bool Flag(JsonElement c, string name, bool otherwise) => c.TryGetProperty(name, out JsonElement value) ? value.GetBoolean() : otherwise;

    private static int Int(JsonElement c, string name) => c.GetProperty(name).GetInt32();
}
