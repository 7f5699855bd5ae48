using static TorchSharp.torch;

namespace DinoSharp.Training.Distributed;

/// <summary>Every exchange between the processes of one training run. This class is the single process: all exchanges are the identity.</summary>
/// <remarks>Losses and targets that depend on the whole batch go through here and nowhere else, so that a run on many machines differs in one object.</remarks>
public class Collectives
{
    /// <summary>Creates the single-process form; other forms override every member.</summary>
    protected Collectives()
    {
    }

    /// <summary>One process that talks to nobody.</summary>
    public static Collectives Single { get; } = new();

    /// <summary>Number of this process, 0 to <see cref="WorldSize"/> - 1.</summary>
    public virtual int Rank => 0;

    /// <summary>Number of processes W.</summary>
    public virtual int WorldSize => 1;

    /// <summary>Replaces a tensor by its sum over all processes.</summary>
    /// <param name="tensor">Of equal shape everywhere; no gradient flows.</param>
    public virtual void Sum(Tensor tensor)
    {
    }

    /// <summary>Replaces a tensor by its elementwise maximum over all processes.</summary>
    /// <param name="tensor">Of equal shape everywhere; no gradient flows.</param>
    public virtual void Max(Tensor tensor)
    {
    }

    /// <summary>Replaces tensors by their means over all processes.</summary>
    /// <param name="tensors">Of equal shapes and in equal order everywhere; no gradient flows.</param>
    public virtual void Mean(IReadOnlyList<Tensor> tensors)
    {
    }

    /// <summary>The rows of all processes in the order of their ranks. Differentiable: each process gets back the sum of the gradients of all.</summary>
    /// <param name="rows">[n, ...], equal n everywhere</param>
    /// <returns>[W·n, ...]; the argument itself where there is only one process</returns>
    public virtual Tensor GatherRows(Tensor rows) => rows;
}
