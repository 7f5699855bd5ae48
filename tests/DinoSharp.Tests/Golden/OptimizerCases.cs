using System.Text.Json;
using DinoSharp.Training.Optimization;
using TorchSharp.Modules;
using static TorchSharp.torch;
using AdamW = DinoSharp.Training.Optimization.AdamW;

namespace DinoSharp.Tests.Golden;

/// <summary>Kinds <c>param_groups</c> and <c>optimizer</c>.</summary>
internal static class OptimizerCases
{
    public static void ParameterGroups(GoldenCase golden)
    {
        var config = new OptimizerConfig
        {
            LayerwiseDecay = golden.Config.GetProperty("lr_decay_rate").GetDouble(),
            PatchEmbeddingMultiplier = golden.Config.GetProperty("patch_embed_lr_mult").GetDouble(),
            DinoHeadDecayMultiplier = golden.Config.GetProperty("dino_head_wd_multiplier").GetDouble(),
        };
        foreach (JsonProperty list in golden.Values.EnumerateObject())
        {
            bool fused = list.Name.EndsWith("/fused", StringComparison.Ordinal);
            string[] names = [.. list.Value.EnumerateArray().SelectMany(e => fused ? e.GetProperty("names").EnumerateArray().Select(n => n.GetString()!) : [e.GetProperty("name").GetString()!])];
            int blocks = ParameterGroup.BlockCount(names);
            if (fused) Fused(golden, list, names, blocks, config);
            else foreach (JsonElement e in list.Value.EnumerateArray()) Compare(golden, $"{list.Name}/{e.GetProperty("name").GetString()}", ParameterGroup.MultipliersOf(e.GetProperty("name").GetString()!, blocks, config), e);
        }
    }

    public static void AdamW(GoldenCase golden)
    {
        JsonElement[] groups = [.. golden.Calls[0].Arg("groups").EnumerateArray()];
        Parameter[] parameters = [.. groups.Select((_, i) => new Parameter(golden.Tensor($"out/init/p{i}").clone()))];
        for (int i = 0; i < parameters.Length; i++) golden.Calls[0].Check($"p{i}", parameters[i]);
        double[] betas = [.. golden.Config.GetProperty("betas").EnumerateArray().Select(b => b.GetDouble())];
        using var optimizer = new AdamW(
            [.. groups.Select((g, i) => new ParameterGroup(g.GetProperty("lr_multiplier").GetDouble(), g.GetProperty("wd_multiplier").GetDouble(), g.GetProperty("is_last_layer").GetBoolean(), [($"p{i}", parameters[i])]))],
            betas[0],
            betas[1]);
        foreach (GoldenCall call in golden.Calls.Skip(1))
        {
            for (int i = 0; i < parameters.Length; i++) parameters[i].grad = call.Input($"grad{i}")!.clone();
            Tensor norm = Gradients.Norm(parameters);
            call.Check("grad_norm", norm);
            Gradients.Clip(parameters, norm.item<float>(), call.Arg("max_norm").GetDouble());
            optimizer.Step(new StepValues(call.Arg("lr").GetDouble(), call.Arg("last_layer_lr").GetDouble(), call.Arg("weight_decay").GetDouble(), 0, 1));
            Dictionary<string, Tensor> state = new(optimizer.State);
            for (int i = 0; i < parameters.Length; i++)
            {
                call.Check($"clipped_grad{i}", parameters[i].grad!);
                call.Check($"p{i}", parameters[i]);
                call.Check($"exp_avg{i}", state[$"p{i}.first"]);
                call.Check($"exp_avg_sq{i}", state[$"p{i}.second"]);
            }
        }
    }

    private static void Fused(GoldenCase golden, JsonProperty list, string[] names, int blocks, OptimizerConfig config)
    {
        // Order of first appearance is that of the list this one was made from.
        string source = list.Name[..^"/fused".Length];
        IEnumerable<string> ordered = golden.Values.GetProperty(source).EnumerateArray().Select(e => e.GetProperty("name").GetString()!);
        var groups = ordered.GroupBy(name => ParameterGroup.MultipliersOf(name, blocks, config)).ToArray();
        golden.CheckValue($"{list.Name}/count", groups.Length, list.Value.GetArrayLength());
        foreach ((var group, JsonElement expected) in groups.Zip(list.Value.EnumerateArray()))
        {
            Compare(golden, list.Name, group.Key, expected);
            golden.CheckText(list.Name, string.Join(' ', group), string.Join(' ', expected.GetProperty("names").EnumerateArray().Select(n => n.GetString())));
        }
    }

    private static void Compare(GoldenCase golden, string name, (double LearningRate, double WeightDecay, bool IsLastLayer) actual, JsonElement expected)
    {
        golden.CheckValue(name + "/lr", actual.LearningRate, expected.GetProperty("lr_multiplier").GetDouble());
        golden.CheckValue(name + "/wd", actual.WeightDecay, expected.GetProperty("wd_multiplier").GetDouble());
        golden.CheckText(name + "/is_last_layer", actual.IsLastLayer.ToString(), expected.GetProperty("is_last_layer").GetBoolean().ToString());
    }
}
