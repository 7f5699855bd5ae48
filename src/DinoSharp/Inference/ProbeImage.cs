using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>A picture to try precisions on: edges, a slope and texture of several sizes, in the range that normalised photographs have.</summary>
internal static class ProbeImage
{
    /// <summary>14 × 14 patches for a transformer, 224 × 224 pixels for a ConvNeXt. [1, C, H, W]</summary>
    public static Tensor Draw(Backbone network)
    {
        BackboneConfig config = network.Config;
        int side = config is VisionTransformerConfig vit ? 14 * vit.PatchSize : 224;
        float[] pixels = new float[config.InputChannels * side * side];
        for (int c = 0, i = 0; c < config.InputChannels; c++)
        {
            for (int y = 0; y < side; y++)
            {
                for (int x = 0; x < side; x++, i++)
                {
                    (double u, double v) = ((double)x / side, (double)y / side);
                    double waves = Math.Sin((7 + c) * u * 6.3) * Math.Cos(5 * v * 6.3) + (0.5 * Math.Sin((31 * u + 23 * v) * 6.3)) + (0.3 * Math.Sin(x * 2.1 + y * 1.3 + c));
                    bool disk = ((u - 0.6) * (u - 0.6)) + ((v - 0.4) * (v - 0.4)) < 0.05;
                    bool box = u is > 0.1 and < 0.35 && v is > 0.55 and < 0.9;
                    pixels[i] = (float)Math.Clamp((disk ? 1.6 - c : box ? -1.5 + (0.8 * c) : v - 0.5) + (0.5 * waves), -2.1, 2.6);
                }
            }
        }

        return tensor(pixels).view(1, config.InputChannels, side, side);
    }
}
