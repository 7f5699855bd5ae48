using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>y = x·Wᵀ + b with gradients, multiplied by our own register tile (float32) or by MKL (bfloat16): what libtorch computes, in another order of additions.</summary>
internal sealed class TrainedLinear : autograd.SingleTensorFunction<TrainedLinear>
{
    private const long MostFloats = int.MaxValue / sizeof(float); // TorchSharp shows the memory of a tensor as one span

    // libtorch takes its own references to what a backward pass returns only after it has returned. Activations are large, so the handles go when the next pass begins,
    // not with the dispose scope around the whole step.
    [ThreadStatic] private static Tensor?[]? _returned;

    public override string Name => nameof(TrainedLinear);

    /// <summary>The layer, by the products asked for where they are those of its number type and fit.</summary>
    /// <param name="x">[..., in]</param>
    /// <param name="weight">[out, in], in the type of x.</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="products">Our own multiply float32, MKL's bfloat16; everything else is left to libtorch.</param>
    /// <returns>[..., out]</returns>
    public static Tensor Run(Tensor x, Tensor weight, Tensor? bias, Products products)
    {
        if (x.dtype != TypeOf(products) || x.device_type != TorchSharp.DeviceType.CPU || x.numel() == 0
            || Math.Max(x.numel(), Math.Max(weight.numel(), x.numel() / weight.shape[1] * weight.shape[0])) > MostFloats) return nn.functional.linear(x, weight, bias); // [..., out]
        using var scope = NewDisposeScope();
        return (is_grad_enabled() ? apply(x, weight, bias!) : Forward(x, weight, bias)).MoveToOuterDisposeScope(); // [..., out]
    }

    /// <summary>The number type that products multiply here; null: libtorch's take every one.</summary>
    public static ScalarType? TypeOf(Products products) => products switch { Products.Own => ScalarType.Float32, Products.Mkl => ScalarType.BFloat16, _ => null };

    /// <summary>Lets all linear layers of a network use these products.</summary>
    public static void Use(nn.Module network, Products products)
    {
        foreach (Linear linear in network.modules().OfType<Linear>()) linear.Products = products;
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
        Tensor? dx = ofInput ? empty(x.shape, dtype: x.dtype) : null, dw = ofWeight ? empty(weight.shape, dtype: x.dtype) : null; // [..., in], [out, in]
        if (dx is not null) Multiply(new(dy, rows, true), new(weight, inputs, false), outputs, null, dx);
        if (dw is not null) Multiply(new(dy, outputs, false), new(x, inputs, false), rows, null, dw);
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
        Tensor y = empty([.. x.shape[..^1], outputs], dtype: x.dtype); // [..., out]
        Multiply(new(x.contiguous(), rows, true), new(weight.contiguous(), outputs, true), inputs, bias?.contiguous(), y);
        return y.MoveToOuterDisposeScope();
    }

    private static void Multiply(Matrix left, Matrix right, int depth, Tensor? bias, Tensor result)
    {
        if (result.dtype == ScalarType.Float32) MultiplyOnTiles(left, right, depth, bias, result);
        else MultiplyByLibrary(left, right, depth, bias, result);
    }

    private static unsafe void MultiplyOnTiles(Matrix left, Matrix right, int depth, Tensor? bias, Tensor result)
    {
        fixed (byte* l = left.Numbers.bytes, r = right.Numbers.bytes, b = bias is null ? default : bias.bytes, y = result.bytes)
        {
            var (ls, rs) = (new Side((float*)l, left.Lines, depth, left.AlongDepth), new Side((float*)r, right.Lines, depth, right.AlongDepth));
            lock (Workers.Shared.Turn)
            {
                if (Kernels.AreWide(ComputeType.Float32)) MatrixProduct<Lanes512, Vector512<float>>.Multiply(Workers.Shared, ls, rs, (float*)b, (float*)y);
                else MatrixProduct<Lanes256, Vector256<float>>.Multiply(Workers.Shared, ls, rs, (float*)b, (float*)y);
            }
        }
    }

    // Sums and bias in float32, rounded once.
    private static unsafe void MultiplyByLibrary(Matrix left, Matrix right, int depth, Tensor? bias, Tensor result)
    {
        using var scope = NewDisposeScope();
        Tensor sums = empty([left.Lines, right.Lines]); // [M, N]
        fixed (byte* l = left.Numbers.bytes, r = right.Numbers.bytes, y = sums.bytes)
        {
            MatrixLibrary.Multiply(left.Lines, right.Lines, depth, (ushort*)l, !left.AlongDepth, (ushort*)r, right.AlongDepth, (float*)y);
        }

        if (bias is not null) sums.add_(bias, Num(1));
        result.copy_(sums.view(result.shape)); // [..., N]
    }

    // One side of a product result[i, j] = bias[j] + Σₖ left[i, k]·right[j, k]: [lines, depth], or stored as [depth, lines].
    private readonly record struct Matrix(Tensor Numbers, int Lines, bool AlongDepth);
}
