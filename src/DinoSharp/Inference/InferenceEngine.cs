using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Another way to compute a backbone when nothing is trained.</summary>
internal abstract class InferenceEngine : IDisposable
{
    /// <summary>Precision of the large products.</summary>
    public virtual ComputeType Type => ComputeType.Float32;

    // Images of a batch are computed a few at a time: a layer reads all tokens once for each of its tasks, from the last-level cache if they fit.
    // The buffer that is read, the one that is written and the weights share it: of 32 MiB, 16 are too many (docs/log.md, 2026-11-24).
    private const long MostBytesAtOnce = 8 << 20;

    /// <summary>How many images of a batch are computed at once.</summary>
    /// <param name="batch">Images of the batch.</param>
    /// <param name="bytes">What the largest buffer would take for all of them.</param>
    public static int AtOnce(long batch, long bytes)
    {
        long parts = Math.Clamp((bytes + MostBytesAtOnce - 1) / MostBytesAtOnce, 1, batch);
        return (int)((batch + parts - 1) / parts);
    }

    /// <summary>Whether images are what this engine computes.</summary>
    public virtual bool Takes(Tensor images) => images.dtype == ScalarType.Float32 && images.device_type == DeviceType.CPU;

    /// <summary>Bytes of the buffers that images take; null if libtorch computes and holds what it needs.</summary>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="batch">Images of a call.</param>
    public virtual long? BufferBytes(int height, int width, int batch = 1) => null;

    /// <summary>What chosen layers give, before the final norm.</summary>
    /// <param name="images">Images that it takes [B, C, H, W].</param>
    /// <param name="layers">Indices, ascending.</param>
    /// <returns>For each a new tensor: tokens [B, N, D] of a transformer, a map [B, C, h, w] of a ConvNeXt.</returns>
    public abstract Tensor[] Forward(Tensor images, IReadOnlyList<int> layers);

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>The images of a batch that are computed together. An image gives the same bits in every batch.</summary>
    /// <param name="batch">Images of the batch.</param>
    /// <param name="bytes">What the largest buffer would take for all of them.</param>
    protected static IEnumerable<(int First, int Count)> Parts(int batch, long bytes)
    {
        int atOnce = AtOnce(batch, bytes);
        for (int first = 0; first < batch; first += atOnce) yield return (first, Math.Min(atOnce, batch - first));
    }

    /// <summary>The first number of a contiguous tensor. A span over all of a tensor ends at 2 GiB.</summary>
    internal static unsafe float* Start(Tensor tensor)
    {
        using Tensor first = tensor.view(-1).narrow(0, 0, 1); // [1]
        fixed (byte* start = first.bytes) return (float*)start; // native memory: nothing moves it
    }
}
