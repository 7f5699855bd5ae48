using DinoSharp.Training.Distributed;
using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Turns the teacher's logits into the distributions that the student has to match. Nothing here is differentiated.</summary>
public static class TeacherTargets
{
    /// <summary>Sinkhorn-Knopp centring (Caron et al. 2020, SwAV; paper section 3.2): every prototype gets an equal share of the batch, every sample a distribution.</summary>
    /// <remarks>The exponential is taken without subtracting a maximum. The usual rescaling by the number of samples and prototypes cancels in the
    /// last division, so it is left out; with it goes the need to count the samples of all processes.</remarks>
    /// <param name="logits">Samples of this process by prototypes, any float type. [n, K]</param>
    /// <param name="temperature">Teacher temperature, above 0.</param>
    /// <param name="collectives">Prototypes are balanced over the samples of all processes.</param>
    /// <param name="iterations">Rounds of alternating normalisation, at least 1.</param>
    /// <returns>Rows that sum to one, float32. [n, K]</returns>
    public static Tensor SinkhornKnopp(Tensor logits, double temperature, Collectives collectives, int iterations = 3)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(temperature);
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, 1);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor scaled = logits.to(ScalarType.Float32).div(Num(temperature)); // [n, K]
        Tensor highest = scaled.shape[0] > 0 ? scaled.amax([0], keepdim: true) : full([1, scaled.shape[1]], Num(double.NegativeInfinity), device: scaled.device); // [1, K]
        collectives.Max(highest);
        Tensor q = scaled.sub_(highest).exp_(); // [n, K]; a factor per prototype cancels in the first division, and exp stays within float32 however long prototypes grow
        for (int i = 0; i < iterations; i++)
        {
            Tensor perPrototype = q.sum(0, keepdim: true); // [1, K]
            collectives.Sum(perPrototype);
            q.div_(perPrototype);
            q.div_(q.sum(1, keepdim: true));
        }

        return q.MoveToOuterDisposeScope();
    }

    /// <summary>Softmax of centred logits, the older alternative (DINO, Caron et al. 2021).</summary>
    /// <param name="logits">[n, K]</param>
    /// <param name="center">Running mean of the logits. [1, K]</param>
    /// <param name="temperature">Teacher temperature, above 0.</param>
    /// <returns>Rows that sum to one, in the type of the logits. [n, K]</returns>
    public static Tensor CenteredSoftmax(Tensor logits, Tensor center, double temperature)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(temperature);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return ((logits - center) / Num(temperature)).softmax(-1).MoveToOuterDisposeScope(); // [n, K]
    }

    /// <summary>The centre for the next step: c·m + mean·(1 - m) with the mean over the samples of all processes.</summary>
    /// <param name="center">[1, K]</param>
    /// <param name="logits">The samples of this process; every process has equally many. [n, K]</param>
    /// <param name="momentum">m, 0..1.</param>
    /// <param name="collectives">The processes to average over.</param>
    /// <returns>A new tensor. [1, K]</returns>
    public static Tensor UpdateCenter(Tensor center, Tensor logits, double momentum, Collectives collectives)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor sum = logits.sum(0, keepdim: true); // [1, K]
        collectives.Sum(sum);
        return (center * Num(momentum)).Plus(sum * Num((1 - momentum) / (logits.shape[0] * collectives.WorldSize))).MoveToOuterDisposeScope();
    }
}
