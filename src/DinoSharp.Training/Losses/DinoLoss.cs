using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Image-level loss: the student's view of an image should fall on the prototypes that the teacher's view falls on (DINO, Caron et al. 2021).</summary>
public static class DinoLoss
{
    /// <summary>Student temperature of every published recipe.</summary>
    public const double StudentTemperature = 0.1;

    /// <summary>Mean cross-entropy -Σ P·log softmax(Z/τ) over all pairs of a student crop and a teacher crop of the same image.</summary>
    /// <param name="studentLogits">Z, any float type; the loss is float32. [S, B, K]</param>
    /// <param name="targets">P, rows sum to one. [T, B, K]</param>
    /// <param name="ignoreDiagonal">Leave out the pairs of crops with the same number, where both networks see the same pixels.</param>
    /// <param name="studentTemperature">τ</param>
    /// <returns>A scalar.</returns>
    public static Tensor Compute(Tensor studentLogits, Tensor targets, bool ignoreDiagonal, double studentTemperature = StudentTemperature)
    {
        using var scope = NewDisposeScope();
        long students = studentLogits.shape[0], teachers = targets.shape[0], images = studentLogits.shape[1];
        Tensor logs = (studentLogits.to(ScalarType.Float32) / Num(studentTemperature)).log_softmax(-1).flatten(1); // [S, B·K]
        Tensor pairs = logs.matmul(targets.to(ScalarType.Float32).flatten(1).t()); // [S, T]
        Tensor sum = ignoreDiagonal ? pairs.sum() - pairs.diagonal().sum() : pairs.sum();
        long count = students * teachers - (ignoreDiagonal ? Math.Min(students, teachers) : 0);
        return (sum / Num(-(count * images))).MoveToOuterDisposeScope();
    }
}
