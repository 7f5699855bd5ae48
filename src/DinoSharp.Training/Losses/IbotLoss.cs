using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Patch-level loss: the student, which does not see a patch, should name the prototypes that the teacher sees there (iBOT, Zhou et al. 2022).</summary>
public static class IbotLoss
{
    /// <summary>Cross-entropy of the hidden patches, averaged within each crop, then over all crops. Crops without a hidden patch count as zero.</summary>
    /// <param name="studentLogits">One row per hidden patch, any float type; the loss is float32. [M, K]</param>
    /// <param name="targets">Rows sum to one. [M, K]</param>
    /// <param name="weights">One over the number of hidden patches in the patch's crop. [M]</param>
    /// <param name="crops">Number of all global crops, those without hidden patches included.</param>
    /// <param name="studentTemperature">τ</param>
    /// <returns>A scalar.</returns>
    public static Tensor Compute(Tensor studentLogits, Tensor targets, Tensor weights, long crops, double studentTemperature = DinoLoss.StudentTemperature)
    {
        using var scope = NewDisposeScope();
        Tensor logs = (studentLogits.to(ScalarType.Float32) / Num(studentTemperature)).log_softmax(-1); // [M, K]
        Tensor perPatch = (logs * targets).sum(-1); // [M]
        return ((perPatch * weights).sum() / Num(-crops)).MoveToOuterDisposeScope();
    }
}
