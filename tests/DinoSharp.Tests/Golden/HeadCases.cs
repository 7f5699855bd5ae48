using DinoSharp.Training.Pretraining;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>dino_head</c>.</summary>
internal static class HeadCases
{
    public static void Run(GoldenCase golden)
    {
        var c = golden.Config;
        var config = new ProjectionHeadConfig
        {
            Prototypes = c.GetProperty("out_dim").GetInt32(),
            BottleneckDim = c.GetProperty("bottleneck_dim").GetInt32(),
            HiddenDim = c.GetProperty("hidden_dim").GetInt32(),
            Layers = c.GetProperty("nlayers").GetInt32(),
        };
        using var head = new ProjectionHead(
            c.GetProperty("in_dim").GetInt32(),
            config,
            batchNorm: c.TryGetProperty("use_bn", out var norm) && norm.GetBoolean(),
            bias: !c.TryGetProperty("mlp_bias", out var bias) || bias.GetBoolean());
        BackboneCalls.Load(head, golden.WeightsFile);
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            head.train(call.Flag("training"));
            if (call.Op == "backward")
            {
                Backward(call, head);
                continue;
            }

            using var quiet = no_grad();
            Tensor x = call.Input("x")!;
            call.Check("y", call.Flag("no_last_layer") ? head.Bottleneck(x) : call.Flag("only_last_layer") ? head.Logits(x) : head.call(x));
        }
    }

    private static void Backward(GoldenCall call, ProjectionHead head)
    {
        foreach (Parameter parameter in head.parameters()) parameter.requires_grad_(true);
        Tensor x = call.Input("x")!.clone().requires_grad_(true);
        Tensor y = head.call(x);
        (y * call.Input("w")!).sum().backward();
        Dictionary<string, Parameter> parameters = head.named_parameters().ToDictionary(p => p.name, p => p.parameter);
        foreach ((string key, _) in call.Outputs.ToList())
        {
            call.Check(key, key switch
            {
                "y" => y,
                "grad_x" => x.grad!,
                _ when key.StartsWith("buffer_after:", StringComparison.Ordinal) => head.state_dict()[key["buffer_after:".Length..]],
                _ => parameters[key["grad_param:".Length..]].grad!,
            });
        }
    }
}
