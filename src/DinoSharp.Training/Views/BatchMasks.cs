using static TorchSharp.torch;

namespace DinoSharp.Training.Views;

/// <summary>The masks of all global crops of a batch.</summary>
/// <param name="Rows">One mask per crop, crop-major. [G·B][P]</param>
/// <param name="UpperBound">The number of hidden patches the ratios ask for, over the batch.</param>
internal sealed record BatchMasks(IReadOnlyList<bool[]> Rows, int UpperBound)
{
    /// <summary>Draws the masks of a batch as the original's collation does.</summary>
    /// <param name="crops">Number of global crops in the batch, G·B.</param>
    /// <param name="masking">The grid of one crop.</param>
    /// <param name="options">How many crops are masked, and how much of each.</param>
    /// <param name="draws">The random choices.</param>
    /// <remarks>
    /// The share of hidden patches is not random: the masked crops get the upper edges of equal bins between the two ratios, and a shuffle decides which crop gets which.
    /// Both crops of an image may be masked, or none.
    /// </remarks>
    public static BatchMasks Draw(int crops, BlockMasking masking, MaskOptions options, MaskDraws draws)
    {
        int[] counts = HiddenPatches(crops, masking.Patches, options);
        var drawn = new bool[crops][];
        for (int i = 0; i < crops; i++)
        {
            drawn[i] = masking.Generate(i < counts.Length ? counts[i] : 0, draws);
            if (i < counts.Length && options.RandomCircularShift) drawn[i] = masking.Shift(drawn[i], draws);
        }

        return new BatchMasks([.. draws.Shuffle(crops).Select(i => drawn[i])], counts.Sum());
    }

    /// <summary>The masks as one tensor, dense. [G·B, P] bool</summary>
    public Tensor ToTensor()
    {
        int patches = Rows[0].Length;
        bool[] all = new bool[Rows.Count * patches];
        for (int i = 0; i < Rows.Count; i++) Rows[i].CopyTo(all, i * patches);
        return tensor(all, [Rows.Count, patches]);
    }

    /// <summary>Hidden patches of each masked crop, before the shuffle.</summary>
    private static int[] HiddenPatches(int crops, int patches, MaskOptions options)
    {
        int masked = (int)(crops * options.CropProbability);
        using var scope = NewDisposeScope();
        float[] edges = [.. linspace(options.MinRatio, options.MaxRatio, masked + 1, ScalarType.Float32).data<float>()]; // the product below is float32 too
        return [.. edges[1..].Select(edge => (int)(patches * edge))];
    }
}
