using static TorchSharp.torch;

namespace DinoSharp.Evaluation;

/// <summary>Test-time augmentation by mirroring: each picture is predicted as it is and mirrored.</summary>
public static class FlipAugmentation
{
    /// <summary>The pictures, then the same mirrored left to right. [2·B, C, H, W]</summary>
    /// <param name="images">[B, C, H, W]</param>
    public static Tensor Add(Tensor images)
    {
        using Tensor mirrored = images.flip(-1);
        return cat([images, mirrored]);
    }

    /// <summary>Mean of the predictions for the pictures and of those for the mirrored ones, mirrored back. [B, …, H, W]</summary>
    /// <param name="predictions">[2·B, …, H, W]</param>
    public static Tensor Merge(Tensor predictions)
    {
        if (predictions.shape[0] % 2 != 0) throw new DinoSharpException($"{predictions.shape[0]} predictions are no pairs of plain and mirrored ones");
        using var scope = NewDisposeScope();
        Tensor[] halves = predictions.chunk(2);
        return (halves[0].Plus(halves[1].flip(-1)) / Num(2)).MoveToOuterDisposeScope();
    }
}
