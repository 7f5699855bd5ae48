using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Trades time for memory (Chen et al. 2016): keeps only the inputs of a piece of a network and computes it again when its gradient is needed.</summary>
internal sealed class Recompute : autograd.MultiTensorFunction<Recompute>
{
    public override string Name => nameof(Recompute);

    /// <summary>Runs a piece of a network without keeping what it computes in between.</summary>
    /// <param name="piece">From inputs to outputs; must give the same every time, so random numbers are inputs. Gradients of its weights are added up as usual.</param>
    /// <param name="differentiable">How many of the first inputs get gradients; at least the first must need one.</param>
    /// <param name="inputs">Everything the piece reads that is no weight.</param>
    public static Tensor[] Run(Func<IReadOnlyList<Tensor>, Tensor[]> piece, int differentiable, IReadOnlyList<Tensor> inputs) =>
        is_grad_enabled() ? [.. apply([piece, differentiable, .. inputs])] : piece(inputs);

    public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var piece = (Func<IReadOnlyList<Tensor>, Tensor[]>)vars[0];
        Tensor[] inputs = [.. vars.Skip(2).Cast<Tensor>()];
        ctx.save_data("piece", piece);
        ctx.save_data("differentiable", vars[1]);
        ctx.save_for_backward([.. inputs]);
        using var quiet = no_grad();
        return [.. piece(inputs)];
    }

    public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> gradients)
    {
        var piece = (Func<IReadOnlyList<Tensor>, Tensor[]>)ctx.get_data("piece");
        int differentiable = (int)ctx.get_data("differentiable");
        using var scope = NewDisposeScope();
        using var loud = enable_grad();
        List<Tensor> saved = ctx.get_saved_variables();
        Tensor[] inputs = [.. saved.Select((t, i) => i < differentiable ? t.detach().requires_grad_(true) : t)];
        autograd.backward(piece(inputs), gradients);
        return [null!, null!, .. inputs.Select((t, i) => i < differentiable ? t.grad!.MoveToOuterDisposeScope() : null!)];
    }
}
