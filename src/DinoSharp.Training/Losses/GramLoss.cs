using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>What happens to negative similarities before student and teacher are compared.</summary>
public enum GramNegatives
{
    /// <summary>Nothing (all published recipes).</summary>
    Keep,

    /// <summary>They become zero on both sides.</summary>
    RemoveBoth,

    /// <summary>They become zero on the teacher's side.</summary>
    RemoveTeacher,
}

/// <summary>Options of the Gram loss. The defaults are those of the published recipes.</summary>
public sealed record GramLossOptions
{
    /// <summary>Compare directions: rows are scaled to unit length first.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>One matrix per image; false: one matrix over all patches of the batch.</summary>
    public bool PerImage { get; init; } = true;

    /// <summary>Treatment of negative similarities.</summary>
    public GramNegatives Negatives { get; init; }
}

/// <summary>Gram anchoring: the similarities between patches should stay those of an earlier, cleaner teacher (paper section 4.2).</summary>
/// <remarks>The mean of squared differences, to which the published weight of 2 belongs; the paper's equation writes their sum.</remarks>
public static class GramLoss
{
    /// <summary>mean (X·Xᵀ - Y·Yᵀ)² in float32.</summary>
    /// <param name="student">X: patch features [B, P, D], or chosen patches [n, D] if not per image.</param>
    /// <param name="teacher">Y, of the same shape; not differentiated.</param>
    /// <param name="options">Modes.</param>
    /// <returns>A scalar.</returns>
    public static Tensor Compute(Tensor student, Tensor teacher, GramLossOptions options)
    {
        if (options.PerImage && student.dim() != 3) throw new ArgumentException($"one Gram matrix per image needs patches [B, P, D], found [{string.Join(", ", student.shape)}]", nameof(student));
        using var scope = NewDisposeScope();
        Tensor own = Similarities(student, options); // [B, P, P] or [n, n]
        Tensor target = Similarities(teacher.detach(), options); // the same
        if (options.Negatives != GramNegatives.Keep) target = target.clamp(min: Num(0));
        if (options.Negatives == GramNegatives.RemoveBoth) own = own.relu();
        return (own - target).pow(Num(2)).mean().MoveToOuterDisposeScope();
    }

    private static Tensor Similarities(Tensor features, GramLossOptions options)
    {
        Tensor x = features.to(ScalarType.Float32);
        if (options.Normalize) x = nn.functional.normalize(x, dim: -1, eps: 1e-12);
        if (!options.PerImage && x.dim() == 3) x = x.flatten(0, 1); // [B·P, D]
        return x.matmul(x.transpose(-1, -2)); // [B, P, P] or [n, n]
    }
}
