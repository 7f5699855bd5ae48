using DinoSharp.Backbones;

namespace DinoSharp.Benchmarks;

/// <summary>Operations of a forward pass, two for a multiply-add, and how many tokens it works on.</summary>
internal static class Arithmetic
{
    /// <summary>Linear layers, attention and depthwise convolutions of one image.</summary>
    public static double Operations(BackboneConfig config, int size) => config switch
    {
        VisionTransformerConfig vit => Of(vit, size),
        ConvNeXtConfig convNeXt => Of(convNeXt, size),
        _ => throw new ArgumentException($"{config.GetType().Name}"),
    };

    /// <summary>Tokens of an image: of a transformer with class token and registers, of a ConvNeXt the pixels of the last map and their mean.</summary>
    public static int Tokens(BackboneConfig config, int size) =>
        config is VisionTransformerConfig vit ? 1 + vit.Registers + (size / vit.PatchSize * (size / vit.PatchSize)) : 1 + (size / 32 * (size / 32));

    private static double Of(VisionTransformerConfig config, int size)
    {
        double tokens = Tokens(config, size), patches = tokens - 1 - config.Registers, d = config.Width;
        double feed = (config.FeedForward == FeedForwardKind.SwiGlu ? 3 : 2) * d * config.FeedForwardWidth;
        return 2 * ((patches * 3 * config.PatchSize * config.PatchSize * d) + (config.Depth * ((tokens * ((4 * d * d) + feed)) + (2 * tokens * tokens * d))));
    }

    private static double Of(ConvNeXtConfig config, int size)
    {
        int[] depths = [config.Depths.Stage0, config.Depths.Stage1, config.Depths.Stage2, config.Depths.Stage3], widths = [config.Dims.Stage0, config.Dims.Stage1, config.Dims.Stage2, config.Dims.Stage3];
        double total = 0;
        for (int s = 0; s < 4; s++)
        {
            double pixels = Math.Pow(size >> (s + 2), 2), inputs = s == 0 ? 16.0 * config.InputChannels : 4.0 * widths[s - 1], c = widths[s];
            total += 2 * pixels * ((inputs * c) + (depths[s] * ((49 * c) + (8 * c * c))));
        }

        return total;
    }
}
