using DinoSharp.Backbones;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Weights;

namespace DinoSharp.Heads;

/// <summary>The shape of a head, read off the tensors of its file.</summary>
internal static class InferredConfig
{
    private const int TextHeadWidth = 64;

    public static DptConfig Dpt(HeadWeights weights, DptReadout? readout) => new()
    {
        InputChannels = [.. Enumerable.Range(0, 4).Select(i => weights.Axis($"reassemble_blocks.projects.{i}.conv.weight", 1))],
        LevelChannels = [.. Enumerable.Range(0, 4).Select(i => weights.Axis($"reassemble_blocks.projects.{i}.conv.weight", 0))],
        Channels = weights.Axis("convs.0.conv.weight", 0),
        Outputs = weights.Axis("conv_depth.head.4.weight", 0),
        HiddenChannels = weights.Axis("conv_depth.head.2.weight", 0),
        Readout = weights.Has("reassemble_blocks.readout_projects.0.0.weight") ? DptReadout.Project : readout ?? DptReadout.Ignore,
        BatchNorm = weights.Has("reassemble_blocks.batchnorm_layers.0.weight"),
        FusionBias = weights.Has("fusion_blocks.0.res_conv_unit2.conv1.conv.bias"),
        ProjectAfterFusion = weights.Has("project.conv.weight"),
    };

    /// <summary>The number of heads follows from the number of points, which is 4 in every published model.</summary>
    public static Mask2FormerConfig Mask2Former(HeadWeights weights)
    {
        const string adapter = "segmentation_model.0.", pixels = "segmentation_model.1.pixel_decoder.", masks = "segmentation_model.1.predictor.";
        int width = weights.Axis(adapter + "up.weight", 0);
        return new Mask2FormerConfig
        {
            BackboneWidth = width,
            StemChannels = weights.Axis(adapter + "spm.stem.0.weight", 0),
            AdapterHeads = weights.Axis(adapter + "interactions.0.extractor.attn.attention_weights.weight", 0) / 4,
            AdapterFeedForwardRatio = weights.Axis(adapter + "interactions.0.extractor.ffn.fc1.weight", 0) / (double)width,
            AdapterValueRatio = weights.Axis(adapter + "interactions.0.extractor.attn.value_proj.weight", 0) / (double)width,
            Width = weights.Axis(masks + "query_feat.weight", 1),
            MaskWidth = weights.Axis(pixels + "mask_feature.weight", 0),
            Heads = weights.Axis(pixels + "encoder.encoder.layers.0.self_attn.attention_weights.weight", 0) / 12,
            PixelHeads = weights.Axis(pixels + "encoder.encoder.layers.0.self_attn.attention_weights.weight", 0) / 12,
            FeedForwardWidth = weights.Axis(masks + "transformer_ffn_layers.0.linear1.weight", 0),
            PixelFeedForwardWidth = weights.Axis(pixels + "encoder.encoder.layers.0.linear1.weight", 0),
            EncoderLayers = weights.Count(pixels + "encoder.encoder.layers.#.norm1.weight"),
            DecoderLayers = weights.Count(masks + "transformer_ffn_layers.#.norm.weight"),
            Queries = weights.Axis(masks + "query_feat.weight", 0),
            Classes = weights.Axis(masks + "class_embed.weight", 0) - 1,
        };
    }

    /// <summary>
    /// Half of the queries are those of training; the released models cut windows of a third of the image on the 7B backbone and of a half on others. A decoder without relative bias has 8 heads, as all published ones.
    /// </summary>
    public static DetrConfig Detr(HeadWeights weights, BackboneConfig backbone)
    {
        int channels = weights.Axis("input_proj.0.0.weight", 1), width = backbone.EmbedDim, queries = weights.Axis("query_embed.weight", 0);
        if (channels != 4 * width && channels != 8 * width)
            throw new DinoSharpException($"{weights.File.Path}: this detector reads features of width {channels}, four layers of the backbone offer {4 * width}, or {8 * width} in windows; load the backbone that it was made for");
        const string bias = "transformer.decoder.layers.0.cross_attn.cpb_mlp1.2.weight";
        bool relative = weights.Has(bias);
        return new DetrConfig
        {
            BackboneWidth = width,
            Layers = [.. Enumerable.Range(1, 4).Select(i => i * backbone.LayerCount / 4 - 1)],
            WindowsPerSide = channels == 4 * width ? 0 : width == 4096 ? 3 : 2,
            Width = weights.Axis("query_embed.weight", 1),
            Heads = relative ? weights.Axis(bias, 0) : 8,
            EncoderLayers = weights.Count("transformer.encoder.layers.#.norm1.weight"),
            DecoderLayers = weights.Count("transformer.decoder.layers.#.norm1.weight"),
            FeedForwardWidth = weights.Axis("transformer.decoder.layers.0.linear1.weight", 0),
            PreNorm = weights.Has("transformer.decoder.final_layer_norm.weight"),
            Queries = queries / 2,
            TrainingQueries = queries - queries / 2,
            Classes = weights.Axis("class_embed.0.weight", 0),
            BiasWidth = relative ? weights.Axis(bias, 1) : 0,
            PixelBoxes = relative,
        };
    }

    /// <summary>Attention heads of the published text tower are 64 wide; of another the tensors do not say how many there are.</summary>
    public static DinoTextConfig DinoText(HeadWeights weights, VisionTransformerConfig backbone, int? textHeads)
    {
        int textWidth = weights.Axis("text_model.backbone.token_embedding.weight", 1);
        bool projects = weights.Has("text_model.head.linear_projection.weight");
        int heads = textHeads ?? (textWidth % TextHeadWidth == 0 ? textWidth / TextHeadWidth : throw new DinoSharpException(
            $"{weights.File.Path}: the text tower is {textWidth} wide, which is no multiple of the {TextHeadWidth} that a head has in the published one, and the file does not say how many heads there are; give {nameof(DinoTextOptions)}.{nameof(DinoTextOptions.TextHeads)}"));
        if (heads < 1 || textWidth % heads != 0) throw new DinoSharpException($"{weights.File.Path}: the text tower is {textWidth} wide, which {heads} heads do not divide");
        return new DinoTextConfig
        {
            EmbedDim = projects ? weights.Axis("text_model.head.linear_projection.weight", 0) : textWidth,
            VisionWidth = backbone.Width,
            VisionHeads = backbone.Heads,
            VisionBlocks = weights.Count("visual_model.head.blocks.#.norm1.weight"),
            VisionProjection = weights.Has("visual_model.head.linear_projection.weight"),
            ContextLength = weights.Axis("text_model.backbone.positional_embedding", 0),
            VocabularySize = weights.Axis("text_model.backbone.token_embedding.weight", 0),
            TextWidth = textWidth,
            TextHeads = heads,
            TextLayers = weights.Count("text_model.backbone.blocks.#.attention_norm.weight"),
            TextFeedForwardRatio = weights.Axis("text_model.backbone.blocks.0.feed_forward.fc1.weight", 0) / (double)textWidth,
            TextLayerScale = weights.Has("text_model.backbone.blocks.0.ls1.gamma"),
            TextHeadBlocks = weights.Count("text_model.head.blocks.#.attention_norm.weight"),
            TextProjection = projects,
        };
    }
}
