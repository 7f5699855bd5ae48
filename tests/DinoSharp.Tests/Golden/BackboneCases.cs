using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Golden;

/// <summary>Kind <c>vit_backbone</c>.</summary>
internal static class VitBackboneCases
{
    public static void Run(GoldenCase golden)
    {
        using var model = new VisionTransformer(ConfigReader.Vit(golden.Config));
        BackboneCalls.Load(model, golden.WeightsFile);
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            if (call.Op == "rope")
            {
                (Tensor sin, Tensor cos) = model.Rotary.Compute(call.Int("H"), call.Int("W"));
                call.Check("sin", sin);
                call.Check("cos", cos);
            }
            else if (call.Op == "backward")
            {
                Backward(call, model);
            }
            else if (!BackboneCalls.TryRun(call, model))
            {
                throw new InvalidOperationException($"no handler for {call.Op}");
            }

            if (call.Op == "forward_features" && call.Intermediates.Any()) Intermediates(call, model);
        }

        // The same once more on the route that inference takes after loading, where the processor has one.
        model.PrepareForInference();
        foreach (GoldenCall call in golden.Calls.Where(c => c.Op != "backward"))
        {
            using var scope = NewDisposeScope();
            BackboneCalls.TryRun(call, model);
        }
    }

    private static void Backward(GoldenCall call, VisionTransformer model)
    {
        foreach (Parameter parameter in model.parameters())
        {
            parameter.requires_grad_(true);
            parameter.grad = null;
        }

        Tensor global = call.Inputs("x")[0]!.clone().requires_grad_(true), local = call.Inputs("x")[1]!.clone().requires_grad_(true);
        using var random = new Generator(0);
        BackboneOutput[] outputs = model.ForwardTraining([global, local], call.Inputs("masks"), random);
        Tensor loss = (outputs[0].ClassToken * call.Input("w_cls_global")!).sum()
            + (outputs[0].Patches * call.Input("w_patch_global")!).sum() / 10
            + (outputs[1].ClassToken * call.Input("w_cls_local")!).sum();
        loss.backward();
        call.Check("loss", loss);
        call.Check("grad_x_global", global.grad!);
        call.Check("grad_x_local", local.grad!);
        Dictionary<string, Parameter> parameters = model.named_parameters().ToDictionary(p => p.name, p => p.parameter);
        foreach ((string key, _) in call.Outputs.Where(o => o.Key.StartsWith("grad_param:", StringComparison.Ordinal)).ToList())
        {
            call.Check(key, parameters[key["grad_param:".Length..]].grad ?? throw new InvalidOperationException($"{key} has no gradient"));
        }
    }

    // Walks the network by hand, to find where a difference starts.
    private static void Intermediates(GoldenCall call, VisionTransformer model)
    {
        using var quiet = no_grad();
        Tensor x = model.Embed(call.Input("x")!, call.Input("masks"), training: false);
        using RotaryTables rope = model.Tables(call.Input("x")!);
        call.CheckIfGiven("tokens", x);
        Block first = model.Blocks[0];
        Tensor normed = first.Norm1.call(x);
        call.CheckIfGiven("block0_norm1", normed);
        call.CheckIfGiven("block0_qkv", first.Attention.Qkv.call(normed));
        (Tensor q, Tensor k, _) = first.Attention.ProjectAndRotate(normed, rope);
        call.CheckIfGiven("block0_q_rope", q);
        call.CheckIfGiven("block0_k_rope", k);
        call.CheckIfGiven("block0_attn", first.Attention.Forward(normed, rope));
        for (int i = 0; i < model.Blocks.Count; i++)
        {
            x = model.Blocks[i].Forward(x, rope);
            call.CheckIfGiven("after_block" + i.ToString(CultureInfo.InvariantCulture), x);
        }
    }
}

/// <summary>Kind <c>convnext_backbone</c>.</summary>
internal static class ConvNeXtCases
{
    public static void Run(GoldenCase golden)
    {
        using var model = new ConvNeXt(ConfigReader.ConvNeXt(golden.Config));
        BackboneCalls.Load(model, golden.WeightsFile);
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            if (call.Op == "backward") Backward(call, model);
            else if (!BackboneCalls.TryRun(call, model)) throw new InvalidOperationException($"no handler for {call.Op}");
        }

        model.PrepareForInference();
        foreach (GoldenCall call in golden.Calls.Where(c => c.Op != "backward"))
        {
            using var scope = NewDisposeScope();
            BackboneCalls.TryRun(call, model);
        }
    }

    private static void Backward(GoldenCall call, ConvNeXt model)
    {
        Tensor x = call.Input("x")!.clone().requires_grad_(true);
        BackboneOutput output = model.ForwardFeatures(x);
        Tensor loss = (output.ClassToken * call.Input("w_cls")!).sum() + (output.Patches * call.Input("w_patch")!).sum() / 10;
        loss.backward();
        Dictionary<string, Parameter> parameters = model.named_parameters().ToDictionary(p => p.name, p => p.parameter);
        foreach ((string key, _) in call.Outputs.ToList())
        {
            Tensor actual = key switch
            {
                "loss" => loss,
                "grad_x" => x.grad!,
                _ => parameters[key["grad_param:".Length..].Replace("norms.3.", "norm.", StringComparison.Ordinal)].grad!,
            };
            call.Check(key, actual);
        }
    }
}

/// <summary>Kinds <c>rope_table</c> and <c>rope_augment</c>.</summary>
internal static class RotaryCases
{
    public static void Run(GoldenCase golden)
    {
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            RotaryConfig config = ConfigReader.Rotary(call.Args, "");
            var rotary = new RotaryPositions(call.Int("embed_dim") / call.Int("num_heads"), config);
            call.Check("periods", rotary.Periods);
            if (call.Op == "rope")
            {
                (Tensor sin, Tensor cos) = rotary.Compute(call.Int("H"), call.Int("W"));
                call.Check("sin", sin);
                call.Check("cos", cos);
            }
            else
            {
                using var random = new Generator((ulong)call.Int("torch_seed"));
                (Tensor sin, Tensor cos) = rotary.Compute(call.Int("H"), call.Int("W"), random);
                call.Check("sin", sin);
                call.Check("cos", cos);
                (sin, cos) = rotary.Compute(call.Int("H"), call.Int("W"));
                call.Check("sin_eval", sin);
                call.Check("cos_eval", cos);
            }
        }
    }
}

/// <summary>Kind <c>block_drop_path</c>: the seed must give the recorded permutations, and the block the recorded result.</summary>
internal static class DropPathCases
{
    public static void Run(GoldenCase golden)
    {
        var c = golden.Config;
        string ffn = c.GetProperty("ffn_layer").GetString()!;
        int width = c.GetProperty("dim").GetInt32();
        using var block = new Block(new VisionTransformerConfig
        {
            Width = width,
            Heads = c.GetProperty("num_heads").GetInt32(),
            FeedForward = ffn == "mlp" ? FeedForwardKind.Mlp : FeedForwardKind.SwiGlu,
            FeedForwardWidth = ConfigReader.FeedForwardWidth(ffn, width, c.GetProperty("ffn_ratio").GetDouble()),
            QkvBias = c.GetProperty("qkv_bias").GetBoolean(),
            MaskKeyBias = c.GetProperty("mask_k_bias").GetBoolean(),
            LayerScale = ConfigReader.Number(c, "init_values"),
            NormEpsilon = c.GetProperty("norm_eps").GetDouble(),
            DropPathRate = c.GetProperty("drop_path").GetDouble(),
        });
        BackboneCalls.Load(block, golden.WeightsFile);
        using var quiet = no_grad();
        foreach (GoldenCall call in golden.Calls)
        {
            using var scope = NewDisposeScope();
            Tensor[] groups = [.. call.Inputs("x").Select(x => x!)];
            RotaryTables[] ropes = [.. groups.Select((x, i) =>
            {
                Tensor sin = call.Inputs("rope_sin")[i]!, cos = call.Inputs("rope_cos")[i]!;
                return RotaryTables.Create(sin, cos, (int)(x.shape[1] - sin.shape[0]));
            })];
            using Generator? random = call.Op.StartsWith("block_train", StringComparison.Ordinal) ? new Generator((ulong)call.Int("torch_seed")) : null;
            Tensor[] results = block.Forward(groups, ropes, random);
            bool list = call.Outputs.First().Key != "y";
            for (int i = 0; i < results.Length; i++) call.Check(list ? $"y.{i}" : "y", results[i]);
        }
    }
}
