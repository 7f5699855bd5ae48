using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Training.Optimization;

/// <summary>Norm and clipping of the gradients of one part of a network.</summary>
internal static class Gradients
{
    /// <summary>Euclidean norm over all gradients; NaN or infinite if one of them is. A scalar on the parameters' device; nothing waits for it.</summary>
    public static Tensor Norm(IReadOnlyList<Parameter> parameters)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor[] norms = [.. parameters.Select(p => p.grad).OfType<Tensor>().Select(g => g.to(ScalarType.Float32).norm())];
        return (norms.Length == 0 ? zeros([], device: parameters[0].device) : stack(norms).norm()).MoveToOuterDisposeScope();
    }

    /// <summary>Multiplies all gradients by min(1, limit / (norm + 1e-6)).</summary>
    public static void Clip(IEnumerable<Parameter> parameters, double norm, double limit)
    {
        double coefficient = limit / (norm + 1e-6);
        if (coefficient >= 1) return;
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        foreach (Parameter parameter in parameters) parameter.grad?.mul_(Num(coefficient));
    }
}
