using TorchSharp;

namespace DinoSharp.Layers;

/// <summary>Numbers as arguments of tensor operations, kept alive until the operation has read them.</summary>
/// <remarks>
/// TorchSharp 0.107 passes the native handle of a <see cref="Scalar"/> to libtorch and forgets the object before the call returns. A garbage collection in these
/// microseconds lets its finalizer free the number that libtorch is about to read: "Unknown scalar type", "Expected false to be true", or a wrong number without a word.
/// The last <see cref="Kept"/> numbers of a thread therefore stay referenced. docs/decisions/0031-scalars.md; the implicit conversions are banned in src/BannedSymbols.txt.
/// </remarks>
internal static class Scalars
{
    /// <summary>An operation reads its numbers on the thread that made them, at once; no line of ours makes this many before it.</summary>
    private const int Kept = 256;

    [ThreadStatic] private static Scalar?[]? _recent;
    [ThreadStatic] private static int _next;

#pragma warning disable RS0030 // the one place where numbers become scalars
    /// <summary>A floating-point number.</summary>
    public static Scalar Num(double value) => Keep(value);

    /// <summary>A whole number.</summary>
    public static Scalar Num(long value) => Keep(value);

    /// <summary>A truth value.</summary>
    public static Scalar Num(bool value) => Keep(value);
#pragma warning restore RS0030

    private static Scalar Keep(Scalar value)
    {
        Scalar?[] recent = _recent ??= new Scalar?[Kept];
        recent[_next] = value;
        _next = (_next + 1) % Kept;
        return value;
    }
}
