using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>y = x·Wᵀ + b on our own register tile, with gradients: what libtorch computes, in another order of additions.</summary>
internal sealed class TileLinear : autograd.SingleTensorFunction<TileLinear>
{
    private const long MostFloats = int.MaxValue / sizeof(float); // TorchSharp shows the memory of a tensor as one span

    // libtorch takes its own references to what a backward pass returns only after it has returned. Activations are large, so the handles go when the next pass begins,
    // not with the dispose scope around the whole step.
    [ThreadStatic] private static Tensor?[]? _returned;

    public override string Name => nameof(TileLinear);

    /// <summary>The layer, on tiles where asked for and possible.</summary>
    /// <param name="x">[..., in]</param>
    /// <param name="weight">[out, in], in the type of x.</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="onTiles">Whether to use tiles for float32 on this processor.</param>
    /// <returns>[..., out]</returns>
    public static Tensor Run(Tensor x, Tensor weight, Tensor? bias, bool onTiles)
    {
        if (!onTiles || x.dtype != ScalarType.Float32 || x.device_type != TorchSharp.DeviceType.CPU || x.numel() == 0
            || Math.Max(x.numel(), Math.Max(weight.numel(), x.numel() / weight.shape[1] * weight.shape[0])) > MostFloats) return nn.functional.linear(x, weight, bias); // [..., out]
        using var scope = NewDisposeScope();
        return (is_grad_enabled() ? apply(x, weight, bias!) : Forward(x, weight, bias)).MoveToOuterDisposeScope(); // [..., out]
    }

    /// <summary>Lets all linear layers of a network compute on tiles, or on libtorch.</summary>
    public static void Use(nn.Module network, bool onTiles)
    {
        foreach (nn.Module module in network.modules())
        {
            if (module is Linear linear) linear.OnTiles = onTiles;
        }
    }

    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        (Tensor x, Tensor weight, Tensor? bias) = ((Tensor)vars[0], (Tensor)vars[1], (Tensor?)vars[2]);
        ctx.set_materialize_grads(false);
        ctx.save_for_backward([x, weight]);
        ctx.save_data("differentiable", (x.requires_grad, weight.requires_grad, bias is { requires_grad: true }));
        return Forward(x, weight, bias); // [..., out]
    }

    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor gradient)
    {
        foreach (Tensor? tensor in _returned ?? []) tensor?.Dispose();
        using var scope = NewDisposeScope();
        List<Tensor> saved = ctx.get_saved_variables();
        (Tensor x, Tensor weight) = (saved[0].contiguous(), saved[1].contiguous());
        var (ofInput, ofWeight, ofBias) = ((bool, bool, bool))ctx.get_data("differentiable");
        Tensor dy = gradient.contiguous(); // [..., out]
        (int inputs, int outputs) = ((int)weight.shape[1], (int)weight.shape[0]);
        int rows = (int)(x.numel() / inputs);
        Tensor? dx = ofInput ? empty(x.shape) : null, dw = ofWeight ? empty(weight.shape) : null; // [..., in], [out, in]
        if (dx is not null) Multiply(dy, rows, true, weight, inputs, false, outputs, null, dx);
        if (dw is not null) Multiply(dy, outputs, false, x, inputs, false, rows, null, dw);
        Tensor? db = ofBias ? dy.view(rows, outputs).sum(0, keepdim: false) : null; // [out]
        _returned = [dx?.MoveToOuterDisposeScope(), dw?.MoveToOuterDisposeScope(), db?.MoveToOuterDisposeScope()];
        gradient.Dispose();
        return [.. _returned.Select(t => t!)];
    }

    private static Tensor Forward(Tensor x, Tensor weight, Tensor? bias)
    {
        using var scope = NewDisposeScope();
        (int inputs, int outputs) = ((int)weight.shape[1], (int)weight.shape[0]);
        int rows = (int)(x.numel() / inputs);
        Tensor y = empty([.. x.shape[..^1], outputs]); // [..., out]
        Multiply(x.contiguous(), rows, true, weight.contiguous(), outputs, true, inputs, bias?.contiguous(), y);
        return y.MoveToOuterDisposeScope();
    }

    private static unsafe void Multiply(Tensor left, int leftLines, bool leftAlongDepth, Tensor right, int rightLines, bool rightAlongDepth, int depth, Tensor? bias, Tensor result)
    {
        fixed (byte* l = left.bytes, r = right.bytes, b = bias is null ? default : bias.bytes, y = result.bytes)
        {
            var (ls, rs) = (new Side((float*)l, leftLines, depth, leftAlongDepth), new Side((float*)r, rightLines, depth, rightAlongDepth));
            lock (Workers.Shared.Turn)
            {
                if (Kernels.AreWide(ComputeType.Float32)) MatrixProduct<Lanes512, Vector512<float>>.Multiply(Workers.Shared, ls, rs, (float*)b, (float*)y);
                else MatrixProduct<Lanes256, Vector256<float>>.Multiply(Workers.Shared, ls, rs, (float*)b, (float*)y);
            }
        }
    }
}
