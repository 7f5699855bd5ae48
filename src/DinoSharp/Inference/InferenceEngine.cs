using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>Another way to compute a backbone when nothing is trained.</summary>
internal abstract class InferenceEngine : IDisposable
{
    /// <summary>Precision of the large products.</summary>
    public virtual ComputeType Type => ComputeType.Float32;

    /// <summary>Whether images are what this engine computes.</summary>
    public virtual bool Takes(Tensor images) => images.dtype == ScalarType.Float32 && images.device_type == DeviceType.CPU;

    /// <summary>Bytes of the buffers that one image takes; null if libtorch computes and holds what it needs.</summary>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    public virtual long? BufferBytes(int height, int width) => null;

    /// <summary>What chosen layers give, before the final norm.</summary>
    /// <param name="images">Images that it takes [B, C, H, W].</param>
    /// <param name="layers">Indices, ascending.</param>
    /// <returns>For each a new tensor: tokens [B, N, D] of a transformer, a map [B, C, h, w] of a ConvNeXt.</returns>
    public abstract Tensor[] Forward(Tensor images, IReadOnlyList<int> layers);

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>The first number of a contiguous tensor. A span over all of a tensor ends at 2 GiB.</summary>
    internal static unsafe float* Start(Tensor tensor)
    {
        using Tensor first = tensor.view(-1).narrow(0, 0, 1); // [1]
        fixed (byte* start = first.bytes) return (float*)start; // native memory: nothing moves it
    }
}
