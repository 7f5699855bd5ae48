using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Numbers as arguments of tensor operations, kept alive until the operation has read them.</summary>
/// <remarks>
/// TorchSharp 0.107 passes the native handle of a <see cref="Scalar"/> to libtorch and forgets the object before the call returns. A garbage collection in these
/// microseconds lets its finalizer free the number that libtorch is about to read: "Unknown scalar type", "Expected false to be true", or a wrong number without a word.
/// The last <see cref="Kept"/> numbers of a thread therefore stay referenced. Some operations of TorchSharp make such a number of their own, even a + b of two tensors
/// (it multiplies b by 1); they have a stand-in here. docs/decisions/0031-scalars.md; <c>ScalarsTests</c> finds every place that goes around.
/// </remarks>
internal static class Scalars
{
    /// <summary>An operation reads its numbers on the thread that made them, at once; no line of ours makes this many before it.</summary>
    private const int Kept = 256;

    [ThreadStatic] private static Scalar?[]? _recent;
    [ThreadStatic] private static int _next;

    /// <summary>A floating-point number.</summary>
    public static Scalar Num(double value) => Keep(value);

    /// <summary>A whole number.</summary>
    public static Scalar Num(long value) => Keep(value);

    /// <summary>A truth value.</summary>
    public static Scalar Num(bool value) => Keep(value);

    /// <summary>a + b; c - x is (-x).Plus(c).</summary>
    public static Tensor Plus(this Tensor a, Tensor b) => a.add(b, Num(1));

    /// <summary>a + b.</summary>
    public static Tensor Plus(this Tensor a, Scalar b) => a.add(b, Num(1));

    private static Scalar Keep(Scalar value)
    {
        Scalar?[] recent = _recent ??= new Scalar?[Kept];
        recent[_next] = value;
        _next = (_next + 1) % Kept;
        return value;
    }
}
