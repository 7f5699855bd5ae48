using System.Text.Json;
using DinoSharp.Backbones;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Calls that both families of backbones answer in the same way.</summary>
internal static class BackboneCalls
{
    /// <summary>Copies a state dict with the official names into a backbone; every name must match.</summary>
    public static void Load(nn.Module module, string file)
    {
        using TensorFile weights = TensorFile.Open(file);
        Dictionary<string, Tensor> state = module.state_dict();
        string[] unexplained = [.. weights.Entries.Keys.Except(state.Keys).Where(k => !k.Contains("norms.3.", StringComparison.Ordinal)), .. state.Keys.Except(weights.Entries.Keys)];
        if (unexplained.Length > 0) throw new InvalidOperationException($"state dict differs: {string.Join(", ", unexplained)}");
        using var quiet = no_grad();
        foreach ((string name, Tensor target) in state) weights.CopyTo(name, target);
    }

    public static bool TryRun(GoldenCall call, Backbone model)
    {
        switch (call.Op)
        {
            case "forward":
                using (no_grad()) call.Check("y", model.call(call.Input("x")!));
                return true;
            case "forward_features":
                if (call.Flag("training")) return false;
                using (no_grad())
                {
                    using BackboneOutput output = model.ForwardFeatures(call.Input("x")!, call.Input("masks"));
                    Compare(call, output, "");
                }

                return true;
            case "forward_features_list":
                using (no_grad())
                {
                    int i = 0;
                    foreach (BackboneOutput output in ForwardList(call, model)) Compare(call, output, $".{i++}");
                }

                return true;
            case "get_intermediate_layers":
                using (no_grad()) Layers(call, model);
                return true;
            default:
                return false;
        }
    }

    public static BackboneOutput[] ForwardList(GoldenCall call, Backbone model)
    {
        IReadOnlyList<Tensor?> images = call.Inputs("x"), masks = call.Inputs("masks");
        if (call.Flag("training"))
        {
            using var random = new Generator(0);
            return model.ForwardTraining([.. images.Select(x => x!)], masks, random);
        }

        return [.. images.Select((x, i) => model.ForwardFeatures(x!, masks[i]))];
    }

    public static void Compare(GoldenCall call, BackboneOutput output, string suffix)
    {
        call.Check("x_norm_clstoken" + suffix, output.ClassToken);
        if (call.Outputs.Any(o => o.Key == "x_storage_tokens" + suffix)) call.Check("x_storage_tokens" + suffix, output.Registers);
        call.Check("x_norm_patchtokens" + suffix, output.Patches);
        call.Check("x_prenorm" + suffix, output.PreNorm);
    }

    private static void Layers(GoldenCall call, Backbone model)
    {
        JsonElement n = call.Arg("n");
        LayerSelection layers = n.ValueKind switch
        {
            JsonValueKind.Array => LayerSelection.Create([.. n.EnumerateArray().Select(i => i.GetInt32())]),
            JsonValueKind.Number => LayerSelection.Last(n.GetInt32()),
            _ => LayerSelection.Final,
        };
        LayerFeatures[] features = model.GetLayers(call.Input("x")!, layers, call.Flag("norm", otherwise: true));
        for (int i = 0; i < features.Length; i++)
        {
            call.Check($"patches.{i}", call.Flag("reshape") ? features[i].PatchMap() : features[i].Patches);
            if (call.Flag("return_class_token")) call.Check($"cls.{i}", features[i].ClassToken);
            if (call.Flag("return_extra_tokens")) call.Check($"extra.{i}", features[i].Registers);
            features[i].Dispose();
        }
    }
}
