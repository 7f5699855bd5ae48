using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Activations decide the number format of a computation: float32 weights are rounded on their way in, and gradients come back to them as float32.</summary>
internal static class Casting
{
    /// <summary>The tensor in another format, differentiable; the tensor itself if it has that format already.</summary>
    public static Tensor As(this Tensor tensor, ScalarType type) => tensor.dtype == type ? tensor : tensor.to(type);
}
