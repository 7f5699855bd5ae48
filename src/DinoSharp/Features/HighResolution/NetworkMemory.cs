using DinoSharp.Backbones;
using DinoSharp.Inference;

namespace DinoSharp.Features.HighResolution;

/// <summary>How much memory a forward pass takes, counted from the arrays that it makes. Checked against measured peaks in the tests; figures in docs/log.md.</summary>
internal static class NetworkMemory
{
    // What libtorch holds at once at the end of a block, in activations [N, D]: every step of the block, as the block's dispose scope ends with it.
    private const double VisionTransformerActivations = 29;

    // The same for the first stage of a ConvNeXt, in activations [C, H/4, W/4].
    private const double ConvNeXtActivations = 17.5;

    // What queries and keys of one layer take before the scores of a few queries are computed, in activations [N, D].
    private const double AttentionActivations = 14;

    // Code that is compiled on first use, decoders, the garbage of a first run.
    private const long Overhead = 28 << 20;

    // What allocators round up and keep of what was given back, seen on large pictures.
    private const double Slack = 1.05;

    /// <summary>Bytes that are added at the peak when the features of a picture are computed, by whatever part of the work needs most.</summary>
    /// <param name="network">The network.</param>
    /// <param name="imageSamples">Width · height · channels of the decoded picture.</param>
    /// <param name="input">Height and width of the network's input in pixels.</param>
    /// <param name="tile">Height and width of what is computed at once.</param>
    /// <param name="layers">Layers that are kept.</param>
    public static long Extraction(Backbone network, long imageSamples, (int Height, int Width) input, (int Height, int Width) tile, IReadOnlyList<int> layers)
    {
        long results = Results(network.Config, input.Height, input.Width, layers);
        long sums = tile == input ? 0 : results + Results(network.Config, tile.Height, tile.Width, layers) + ((long)tile.Height * tile.Width * network.Config.InputChannels * sizeof(float)); // and of a tile its pixels and its weighted results
        long computing = Input(network.Config, input.Height, input.Width) + sums + Pass(network, tile.Height, tile.Width, layers);
        long handingOver = KeptBuffers(network, tile.Height, tile.Width) + (3 * results); // tensor, managed copy, and one for whoever works on it
        return Reading(imageSamples, network.Config, input.Height, input.Width) + (long)(Slack * Math.Max(computing, handingOver));
    }

    /// <summary>The same for the vectors of pictures that are computed together while as many more are decoded.</summary>
    /// <param name="network">The network.</param>
    /// <param name="imageSamples">Width · height · channels of a decoded picture.</param>
    /// <param name="input">Height and width of the network's input in pixels.</param>
    /// <param name="batch">Pictures that are computed together.</param>
    public static long Embedding(Backbone network, long imageSamples, (int Height, int Width) input, int batch)
    {
        const int Inputs = 3; // of the batch, put together, and of the next
        int last = network.Config.LayerCount - 1;
        long pixels = (long)input.Height * input.Width * network.Config.InputChannels * sizeof(float);
        return Overhead + (Math.Min(batch, EmbeddingPipeline.Decoders) * (Reading(imageSamples, network.Config, input.Height, input.Width) - Overhead)) + (long)(Slack * batch * ((Inputs * pixels) + Pass(network, input.Height, input.Width, [last]) + Results(network.Config, input.Height, input.Width, [last])));
    }

    /// <summary>The same for the attention maps of a layer.</summary>
    /// <param name="network">A vision transformer.</param>
    /// <param name="imageSamples">Width · height · channels of the decoded picture.</param>
    /// <param name="height">Height of the input in pixels.</param>
    /// <param name="width">Width of the input in pixels.</param>
    /// <param name="layer">Index of the layer.</param>
    public static long Attention(Backbone network, long imageSamples, int height, int width, int layer)
    {
        long scores = (long)(AttentionActivations * Activation(network.Config, height, width)) + KeptBuffers(network, height, width);
        return Reading(imageSamples, network.Config, height, width) + Input(network.Config, height, width) + Math.Max(scores, layer == 0 ? 0 : Pass(network, height, width, [layer - 1]));
    }

    /// <summary>Bytes of a picture on its way to the network's input.</summary>
    // Decoding holds the picture twice. Resizing goes through a picture of the new width and the old height, whose size is the geometric mean of the two.
    public static long Reading(long imageSamples, BackboneConfig config, int height, int width) =>
        Overhead + (2 * imageSamples) + (long)Math.Sqrt((double)imageSamples * height * width * config.InputChannels);

    /// <summary>Bytes that one pass over one picture or tile adds at its peak, its results included.</summary>
    /// <param name="network">The network.</param>
    /// <param name="height">Height of the input in pixels.</param>
    /// <param name="width">Width of the input in pixels.</param>
    /// <param name="layers">Layers that are kept.</param>
    public static long Pass(Backbone network, int height, int width, IReadOnlyList<int> layers)
    {
        long results = Results(network.Config, height, width, layers);
        if (network.KernelBuffers(height, width) is not { } buffers) return (long)((network.Config is VisionTransformerConfig ? VisionTransformerActivations : ConvNeXtActivations) * Activation(network.Config, height, width)) + results;
        if (network.Config is not VisionTransformerConfig vit) return buffers + results;
        long tokens = Tokens(vit, height, width), kept = layers.Count * tokens * vit.Width * sizeof(float), angles = 8 * tokens * vit.HeadWidth * sizeof(float); // what the rotary tables are computed from
        return Math.Max(buffers + angles + kept, 2 * kept); // before and after the final norm
    }

    /// <summary>Bytes of the features of a whole picture.</summary>
    /// <param name="config">The network.</param>
    /// <param name="height">Height of the input in pixels.</param>
    /// <param name="width">Width of the input in pixels.</param>
    /// <param name="layers">Layers that are kept.</param>
    public static long Results(BackboneConfig config, int height, int width, IReadOnlyList<int> layers) => layers.Sum(layer =>
    {
        int stride = config.LayerStride(layer);
        return (long)(height / stride) * (width / stride) * config.LayerWidth(layer) * sizeof(float);
    });

    /// <summary>Bytes of the network's input: float pixels, and the 8-bit pixels that they are made from.</summary>
    /// <param name="config">The network.</param>
    /// <param name="height">Height of the input in pixels.</param>
    /// <param name="width">Width of the input in pixels.</param>
    public static long Input(BackboneConfig config, int height, int width) => (long)height * width * config.InputChannels * (sizeof(float) + sizeof(byte));

    // What the kernels hold on to after a call.
    private static long KeptBuffers(Backbone network, int height, int width)
    {
        long buffers = network.KernelBuffers(height, width) ?? 0;
        return buffers > NativeBuffer.MostKeptBytes ? 0 : buffers;
    }

    // Bytes of one activation at the widest point of the network.
    private static double Activation(BackboneConfig config, int height, int width) => sizeof(float) * config switch
    {
        VisionTransformerConfig vit => (double)Tokens(vit, height, width) * vit.Width,
        PlainConfig => (double)PlainBackbone.ColorDim * height * width,
        _ => (double)((ConvNeXtConfig)config).Dims.Stage0 * (height / 4) * (width / 4),
    };

    private static long Tokens(VisionTransformerConfig vit, int height, int width) => ((long)(height / vit.PatchSize) * (width / vit.PatchSize)) + 1 + vit.Registers;
}
