using static TorchSharp.torch;

namespace DinoSharp.Images;

/// <summary>
/// A picture ready for a model: normalised float32 [C, H, W], with the normalisation it was given and its place on the original. Made by
/// <see cref="Preprocessing"/>, so that a tensor and what was done to it cannot be mixed up. Owns its tensor.
/// </summary>
public sealed class ImageTensor : IDisposable
{
    internal ImageTensor(Tensor tensor, Normalization normalization, ImageGeometry geometry, string name)
    {
        Tensor = tensor;
        Normalization = normalization;
        Geometry = geometry;
        Name = name;
    }

    /// <summary>Normalised pixels, float32 [C, H, W]; disposed with this object.</summary>
    public Tensor Tensor { get; }

    /// <summary>What the pixels were normalised with.</summary>
    public Normalization Normalization { get; }

    /// <summary>Where the pixels lie on the original picture.</summary>
    public ImageGeometry Geometry { get; }

    /// <summary>Where the picture came from.</summary>
    public string Name { get; }

    /// <summary>Takes a tensor that was prepared elsewhere.</summary>
    /// <param name="tensor">float32 [C, H, W], normalised; this object takes it over.</param>
    /// <param name="normalization">What it was normalised with.</param>
    /// <param name="name">A name for messages.</param>
    /// <exception cref="ArgumentException">Another shape or type.</exception>
    public static ImageTensor FromNormalized(Tensor tensor, Normalization normalization, string name = "tensor")
    {
        if (tensor.dim() != 3 || tensor.dtype != ScalarType.Float32 || tensor.shape[0] != normalization.Channels)
        {
            throw new ArgumentException(
                $"expected float32 [{normalization.Channels}, H, W], found {tensor.dtype} [{string.Join(", ", tensor.shape)}]", nameof(tensor));
        }

        (int height, int width) = ((int)tensor.shape[1], (int)tensor.shape[2]);
        return new ImageTensor(tensor, normalization, new ImageGeometry(width, height, width, height, 1, 1, 0, 0), name);
    }

    /// <summary>Frees the tensor.</summary>
    public void Dispose() => Tensor.Dispose();
}
