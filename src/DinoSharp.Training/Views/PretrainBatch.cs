using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Training.Views;

/// <summary>All views of B images that one training step consumes. Owns its tensors.</summary>
/// <remarks>Crops are stored crop-major: crop 1 of all images, then crop 2 of all images, and so on.</remarks>
/// <param name="GlobalCrops">The G = 2 global crops of every image, normalised. [G·B, C, S, S]</param>
/// <param name="LocalCrops">The L local crops of every image, normalised. [L·B, C, s, s]</param>
/// <param name="GramCrops">The regions of the global crops again, for the Gram teacher; null if there is none. [G·B, C, T, T]</param>
/// <param name="Masks">True where a patch of a global crop is hidden from the student. [G·B, P] bool</param>
/// <param name="MaskedIndices">Flat positions of the hidden patches in <paramref name="Masks"/>, ascending. [M] int64</param>
/// <param name="MaskWeights">For each hidden patch one over the number of hidden patches in its crop. [M] float32</param>
public sealed record PretrainBatch(Tensor GlobalCrops, Tensor LocalCrops, Tensor? GramCrops, Tensor Masks, Tensor MaskedIndices, Tensor MaskWeights) : IDisposable
{
    /// <summary>Number of global crops per image.</summary>
    public const int GlobalCropsPerImage = 2;

    /// <summary>Number of images B.</summary>
    public int Images => (int)(GlobalCrops.shape[0] / GlobalCropsPerImage);

    /// <summary>Number of local crops L per image.</summary>
    public int LocalCropsPerImage => (int)(LocalCrops.shape[0] / Images);

    /// <summary>Builds a batch from crops and masks; the positions and weights follow from the masks.</summary>
    /// <param name="globalCrops">[G·B, C, S, S]; the batch takes it over</param>
    /// <param name="localCrops">[L·B, C, s, s]; the batch takes it over</param>
    /// <param name="gramCrops">[G·B, C, T, T] or null; the batch takes it over</param>
    /// <param name="masks">[G·B, P] bool on the CPU; the batch takes it over</param>
    public static PretrainBatch Create(Tensor globalCrops, Tensor localCrops, Tensor? gramCrops, Tensor masks)
    {
        using var scope = NewDisposeScope();
        Tensor counts = masks.sum(-1).to(ScalarType.Float32).clamp(min: Num(1)); // [G·B]
        Tensor weights = (Num(1) / counts).unsqueeze(-1).expand(masks.shape)[masks]; // [M]
        Tensor indices = masks.flatten().nonzero().squeeze(-1); // [M]
        return new PretrainBatch(globalCrops, localCrops, gramCrops, masks, indices.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope());
    }

    /// <summary>Part <paramref name="index"/> of <paramref name="count"/> equal parts: consecutive images with all their crops and masks.</summary>
    /// <param name="index">0 to count - 1.</param>
    /// <param name="count">Must divide B.</param>
    /// <returns>A batch of B / count images that owns copies; dispose it.</returns>
    public PretrainBatch Part(int index, int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, count);
        if (Images % count != 0) throw new ArgumentException($"{Images} images cannot be divided into {count} equal parts", nameof(count));
        return Create(Rows(GlobalCrops), Rows(LocalCrops), GramCrops is null ? null : Rows(GramCrops), Rows(Masks));

        Tensor Rows(Tensor crops)
        {
            using var scope = NewDisposeScope();
            int images = Images / count;
            Tensor byImage = crops.unflatten(0, [crops.shape[0] / Images, Images]); // [crops, B, ...]
            return byImage.narrow(1, index * images, images).flatten(0, 1).clone().MoveToOuterDisposeScope(); // [crops·B/count, ...]
        }
    }

    /// <summary>Copies the batch to a device and the crops to a compute type.</summary>
    /// <param name="device">Target of all tensors.</param>
    /// <param name="computeType">Type of the crops.</param>
    /// <returns>A new batch; dispose both.</returns>
    public PretrainBatch To(Device device, ScalarType computeType)
    {
        return new(Copy(GlobalCrops, computeType), Copy(LocalCrops, computeType), GramCrops is null ? null : Copy(GramCrops, computeType), Copy(Masks), Copy(MaskedIndices), Copy(MaskWeights));

        Tensor Copy(Tensor x, ScalarType? type = null)
        {
            using var scope = NewDisposeScope();
            return x.SendTo(device).to(type ?? x.dtype, copy: true).MoveToOuterDisposeScope();
        }
    }

    /// <summary>The patches that are hidden from the student; nothing waits for the device.</summary>
    /// <param name="patches">[G·B, P, D]</param>
    /// <returns>[M, D]</returns>
    internal Tensor SelectHidden(Tensor patches) => patches.flatten(0, 1).index_select(0, MaskedIndices); // [M, D]

    /// <summary>The patches that the student sees; nothing waits for the device.</summary>
    /// <param name="patches">[G·B, P, D]</param>
    /// <returns>[G·B·P - M, D]</returns>
    internal Tensor SelectShown(Tensor patches)
    {
        using var scope = NewDisposeScope();
        long all = Masks.numel(), shown = all - MaskedIndices.shape[0];
        Tensor positions = arange(Num(0), Num(all), Num(1), ScalarType.Int64, device: Masks.device).Plus(Masks.flatten().to(ScalarType.Int64) * Num(all)); // [G·B·P]; the hidden ones come last
        Tensor indices = positions.sort(0, false, false).Item1.narrow(0, 0, shown); // [G·B·P - M]
        return patches.flatten(0, 1).index_select(0, indices).MoveToOuterDisposeScope(); // [G·B·P - M, D]
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        GlobalCrops.Dispose();
        LocalCrops.Dispose();
        GramCrops?.Dispose();
        Masks.Dispose();
        MaskedIndices.Dispose();
        MaskWeights.Dispose();
    }
}
