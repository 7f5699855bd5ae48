using DinoSharp.Layers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>One level of the maps that propose boxes: the feature map enlarged or shrunk by learned 2×2 steps, with norm and GELU between two steps.</summary>
internal static class ProposalLevel
{
    public static ModuleList<nn.Module<Tensor, Tensor>> Create(int width, int stride, Device? device)
    {
        var steps = new List<nn.Module<Tensor, Tensor>>();
        bool enlarge = stride < DetrConfig.Stride;
        int ratio = enlarge ? DetrConfig.Stride / stride : stride / DetrConfig.Stride;
        for (; ratio > 1; ratio /= 2)
        {
            if (steps.Count > 0) steps.AddRange([new ChannelNorm(width, device), nn.GELU()]);
            steps.Add(enlarge ? new TransposedConvolution(width, width, kernel: 2, device) : new Convolution(width, width, kernel: 2, stride: 2, device: device));
        }

        return new ModuleList<nn.Module<Tensor, Tensor>>([.. steps]);
    }

    /// <summary>All levels of a map as tokens, one level after the other, and which of them lie in padding.</summary>
    /// <param name="levels">Steps of each level; null: the map itself is the only level.</param>
    /// <param name="map">[B, D, h, w]</param>
    /// <param name="padding">True where a cell is padding [B, h, w].</param>
    /// <returns>Tokens [B, T, D] and the padding of each level [B, h_l, w_l]; in the current dispose scope</returns>
    public static (Tensor Tokens, Tensor[] Padding) Expand(ModuleList<ModuleList<nn.Module<Tensor, Tensor>>>? levels, Tensor map, Tensor padding)
    {
        if (levels is null) return (map.flatten(2).transpose(1, 2), [padding]);
        Tensor[] maps = [.. levels.Select(steps => steps.Aggregate(map, (x, step) => step.call(x)))]; // each [B, D, h_l, w_l]
        Tensor tokens = cat([.. maps.Select(m => m.flatten(2).transpose(1, 2))], 1); // [B, T, D]
        return (tokens, [.. maps.Select(m => Nearest(padding, m.shape[2], m.shape[3]))]);
    }

    /// <summary>Nearest resize of a mask, source index ⌊target · n / m⌋.</summary>
    public static Tensor Nearest(Tensor mask, long height, long width)
    {
        using var scope = NewDisposeScope();
        Tensor resized = nn.functional.interpolate(mask.unsqueeze(1).to(ScalarType.Float32), [height, width], mode: InterpolationMode.Nearest); // [B, 1, height, width]
        return resized.squeeze(1).to(ScalarType.Bool).MoveToOuterDisposeScope(); // [B, height, width]
    }
}
