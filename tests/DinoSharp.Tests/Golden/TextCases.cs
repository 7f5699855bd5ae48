using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Heads.Text;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kinds <c>dinotxt</c> and <c>tokenizer</c>.</summary>
internal static class TextCases
{
    public static void DinoText(GoldenCase golden)
    {
        JsonElement c = golden.Config;
        using var backbone = new VisionTransformer(ConfigReader.Vit(c.GetProperty("vision_backbone")));
        using var head = new DinoTextHead(Config(c, (VisionTransformerConfig)backbone.Config));
        PrefixedWeights.Load(golden.WeightsFile, ("visual_model.backbone.", backbone), ("", head));
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            TextAlignedImage? image = call.Input("image") is { } pixels ? head.Vision.Forward(backbone.GetLayers(pixels, head.Vision.Layers)) : null;
            Tensor? text = call.Input("token_indices") is { } ids ? head.Text.Forward(ids) : null;
            switch (call.Op)
            {
                case "encode_image":
                    call.Check("features", image!.Embedding);
                    call.Check("patch_tokens", image.Patches);
                    call.Check("backbone_patch_tokens", image.BackbonePatches);
                    call.Check("normalized", DinoTextHead.Unit(image.Embedding));
                    break;
                case "encode_text":
                    call.Check("features", text!);
                    call.Check("normalized", DinoTextHead.Unit(text!));
                    break;
                case "get_logits":
                    call.Check("image_logits", head.Logits(image!.Embedding, text!));
                    call.Check("text_logits", head.Logits(image.Embedding, text!).t());
                    call.Check("logit_scale_exp", head.LogitScale.exp());
                    break;
                case "dinotxt_train":
                    Train(call, head, image!, text!);
                    break;
                default:
                    throw new InvalidOperationException($"no handler for {call.Op}");
            }
        }
    }

    public static void Tokenizer(GoldenCase golden)
    {
        string[] texts = [.. golden.Values.GetProperty("texts").EnumerateArray().Select(t => t.GetString()!)];
        string[] cleaned = [.. golden.Values.GetProperty("cleaned").EnumerateArray().Select(t => t.GetString()!)];
        for (int i = 0; i < texts.Length; i++) golden.CheckText($"text {i} cleaned", TextCleaning.Clean(texts[i]), cleaned[i]);

        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            if (call.Op == "tokenize") call.Check("ids", stack([.. texts.Select(t => tensor(ClipTokenizer.Default.Tokenize(t, call.Int("context_length"))))]));
            else call.Check("n", tensor(texts.Select(t => ClipTokenizer.Default.Encode(t).Count + 2L).ToArray()));
        }
    }

    private static void Train(GoldenCall call, DinoTextHead head, TextAlignedImage image, Tensor text)
    {
        head.zero_grad();
        Tensor contrastive = ContrastiveLoss.Compute(DinoTextHead.Unit(image.Embedding), DinoTextHead.Unit(text), head.LogitScale.exp(), Collectives.Single);
        Tensor gram = GramLoss.Compute(image.Patches, image.BackbonePatches, new GramLossOptions());
        Tensor total = contrastive + gram;
        total.backward();
        call.Check("clip_loss", contrastive);
        call.Check("gram_loss", gram);
        call.Check("total", total);
        Dictionary<string, Tensor> state = head.state_dict();
        foreach ((string key, _) in call.Outputs.Where(o => o.Key.StartsWith("grad_param:", StringComparison.Ordinal)).ToList()) call.Check(key, state[key["grad_param:".Length..]].grad!);
    }

    private static DinoTextConfig Config(JsonElement c, VisionTransformerConfig vision)
    {
        JsonElement model = c.GetProperty("model"), text = c.GetProperty("text_backbone");
        return new DinoTextConfig
        {
            EmbedDim = Int(model, "embed_dim"),
            VisionWidth = vision.Width,
            VisionHeads = vision.Heads,
            VisionBlocks = Int(model, "vision_model_num_head_blocks"),
            UseClassToken = Flag(model, "vision_model_use_class_token"),
            UsePatchTokens = Flag(model, "vision_model_use_patch_tokens"),
            PatchPooling = Enum.Parse<PatchPooling>(model.GetProperty("vision_model_patch_tokens_pooler_type").GetString()!, ignoreCase: true),
            PatchTokenLayer = Int(model, "vision_model_patch_token_layer"),
            VisionProjection = Flag(model, "vision_model_use_linear_projection"),
            ContextLength = Int(text, "context_length"),
            VocabularySize = Int(text, "vocab_size"),
            TextWidth = Int(text, "dim"),
            TextHeads = Int(text, "num_heads"),
            TextLayers = Int(text, "num_layers"),
            TextFeedForwardRatio = text.GetProperty("ffn_ratio").GetDouble(),
            TextCausal = Flag(text, "is_causal"),
            TextLayerScale = text.GetProperty("ls_init_value").ValueKind == JsonValueKind.Number,
            TextHeadBlocks = Int(model, "text_model_num_head_blocks"),
            TextHeadCausal = !model.TryGetProperty("text_model_head_blocks_is_causal", out JsonElement causal) || causal.GetBoolean(),
            TextPooling = model.GetProperty("text_model_tokens_pooler_type").GetString() switch
            {
                "argmax" => TextPooling.EndOfText,
                "first" => TextPooling.First,
                "last" => TextPooling.Last,
                _ => throw new InvalidOperationException("unknown text_model_tokens_pooler_type"),
            },
            TextProjection = Flag(model, "text_model_use_linear_projection"),
        };
    }

    private static int Int(JsonElement c, string name) => c.GetProperty(name).GetInt32();

    private static bool Flag(JsonElement c, string name) => c.GetProperty(name).GetBoolean();
}
