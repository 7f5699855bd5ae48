using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Training.Optimization;

/// <summary>Parameters that share their multipliers.</summary>
/// <param name="LearningRateMultiplier">Factor on the learning rate.</param>
/// <param name="WeightDecayMultiplier">Factor on the weight decay.</param>
/// <param name="IsLastLayer">Whether these are prototypes, which have a learning rate of their own.</param>
/// <param name="Parameters">Full names and parameters in network order.</param>
internal sealed record ParameterGroup(double LearningRateMultiplier, double WeightDecayMultiplier, bool IsLastLayer, IReadOnlyList<(string Name, Parameter Parameter)> Parameters)
{
    /// <summary>Whether they belong to the backbone of a network that also has heads; it may be frozen.</summary>
    public bool IsBackbone { get; init; }

    /// <summary>Groups the trainable parameters of a network by their multipliers, in order of first appearance.</summary>
    /// <param name="network">A backbone, a head, or both in one.</param>
    /// <param name="config">Decay and multipliers.</param>
    public static IReadOnlyList<ParameterGroup> Of(nn.Module network, OptimizerConfig config)
    {
        (string Name, Parameter Parameter)[] trainable = [.. network.named_parameters().Where(p => p.parameter.requires_grad)];
        int blocks = BlockCount(trainable.Select(p => p.Name));
        return [.. trainable
            .GroupBy(p => (Of: MultipliersOf(p.Name, blocks, config), IsBackbone: p.Name.StartsWith("backbone.", StringComparison.Ordinal)))
            .Select(g => new ParameterGroup(g.Key.Of.LearningRate, g.Key.Of.WeightDecay, g.Key.Of.IsLastLayer, [.. g]) { IsBackbone = g.Key.IsBackbone })];
    }

    /// <summary>The multipliers of one parameter. No decay for biases, norms and layer scales; class, register and mask tokens do decay.</summary>
    /// <param name="name">Name in the state dict.</param>
    /// <param name="blocks">Transformer blocks of the network; 0 for a head or a ConvNeXt.</param>
    /// <param name="config">Decay and multipliers.</param>
    public static (double LearningRate, double WeightDecay, bool IsLastLayer) MultipliersOf(string name, int blocks, OptimizerConfig config)
    {
        double rate = Math.Pow(config.LayerwiseDecay, blocks + 1 - LayerOf(name, blocks));
        if (name.Contains("patch_embed", StringComparison.Ordinal)) rate *= config.PatchEmbeddingMultiplier;
        bool decays = !name.EndsWith("bias", StringComparison.Ordinal) && !name.Contains("norm", StringComparison.Ordinal) && !name.Contains("gamma", StringComparison.Ordinal);
        double decay = !decays ? 0 : name.Contains("dino_head", StringComparison.Ordinal) ? config.DinoHeadDecayMultiplier : 1;
        return (rate, decay, name.Contains("last_layer", StringComparison.Ordinal));
    }

    /// <summary>Number of transformer blocks that the names speak of.</summary>
    public static int BlockCount(IEnumerable<string> names) => names.Max(name => BlockOf(name) ?? -1) + 1;

    // 0 for what comes before the first block, i + 1 for block i, blocks + 1 for what comes after the last.
    private static int LayerOf(string name, int blocks)
    {
        if (blocks == 0) return 1;
        if (BlockOf(name) is int block) return block + 1;
        bool embeds = name.Contains("patch_embed", StringComparison.Ordinal) || name.Contains("cls_token", StringComparison.Ordinal)
            || name.Contains("storage_tokens", StringComparison.Ordinal) || name.Contains("mask_token", StringComparison.Ordinal);
        return embeds ? 0 : blocks + 1;
    }

    private static int? BlockOf(string name)
    {
        string[] parts = name.Split('.');
        int i = Array.IndexOf(parts, "blocks");
        return i >= 0 && i + 1 < parts.Length && int.TryParse(parts[i + 1], out int block) ? block : null;
    }
}
