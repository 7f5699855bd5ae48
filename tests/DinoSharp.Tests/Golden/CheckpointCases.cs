using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>
/// Kinds <c>checkpoint_vit</c> and <c>checkpoint_convnext</c>: the architecture is read off every file, never taken from the case, and
/// every file must give the outputs that the case records for its values.
/// </summary>
internal static class CheckpointCases
{
    public static void Run(GoldenCase golden)
    {
        string[] files = [.. golden.Root.GetProperty("files").EnumerateArray().Select(file => file.GetString()!)];
        var loaded = new List<string>();
        foreach (string source in files.Where(IsWeights).Select(file => Source(golden, file)).Distinct())
        {
            using BackboneWeights weights = BackboneWeights.Open(golden.File(source));
            using Backbone model = weights.CreateBackbone();
            bool huggingFace = weights.Layout == WeightLayout.HuggingFace;
            BackboneConfig expected = Expected(golden, huggingFace);
            if (weights.Config != expected) throw new InvalidOperationException($"{source}: inferred {weights.Config}, expected {expected}");
            GoldenCall[] calls = [.. golden.Calls.Where(call => call.Op == (huggingFace ? "hf_forward" : "forward_features") && Precision(call.Id) == Precision(source))];
            if (calls.Length == 0) throw new InvalidOperationException($"no call records the outputs of {source}");
            foreach (GoldenCall call in calls) Compare(call, model, huggingFace);
            loaded.Add(source);
        }

        if (loaded.Count < 2) throw new InvalidOperationException($"only {loaded.Count} files of weights in {golden.Entry.Name}");
    }

    private static bool IsWeights(string file) => Path.GetExtension(file) is ".pth" or ".safetensors";

    // A Hugging Face model is its folder; everything else is a file.
    private static string Source(GoldenCase golden, string file) =>
        Path.GetDirectoryName(file) is { Length: > 0 } folder && File.Exists(golden.File(Path.Combine(folder, "config.json"))) ? folder : file;

    private static string Precision(string name) => name.Contains("bf16", StringComparison.Ordinal) ? "bf16" : name.Contains("fp16", StringComparison.Ordinal) ? "fp16" : "";

    private static void Compare(GoldenCall call, Backbone model, bool huggingFace)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using BackboneOutput output = model.ForwardFeatures(call.Input(huggingFace ? "pixel_values" : "x")!, call.Input(huggingFace ? "bool_masked_pos" : "masks"));
        if (!huggingFace)
        {
            BackboneCalls.Compare(call, output, "");
            return;
        }

        call.Check("last_hidden_state", cat([output.ClassToken.unsqueeze(1), output.Registers, output.Patches], 1)); // [B, N, D]
        call.Check("pooler_output", output.ClassToken);
    }

    // What a layout does not store cannot be read from it: Hugging Face drops the norm of local class tokens; files of weights say nothing of training options.
    private static BackboneConfig Expected(GoldenCase golden, bool huggingFace)
    {
        JsonElement config = golden.Config;
        if (golden.Entry.Kind == "checkpoint_convnext") return ConfigReader.ConvNeXt(config);
        VisionTransformerConfig vit = ConfigReader.Vit(config);
        return vit with
        {
            LayerScale = huggingFace ? 1.0 : vit.LayerScale,
            MaskKeyBias = vit.QkvBias && vit.MaskKeyBias,
            UntieGlobalAndLocalClassNorm = !huggingFace && vit.UntieGlobalAndLocalClassNorm,
            Rotary = vit.Rotary with { RescaleCoordinates = 2 },
        };
    }
}
