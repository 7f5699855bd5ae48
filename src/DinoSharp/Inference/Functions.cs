using System.Runtime.CompilerServices;

namespace DinoSharp.Inference;

/// <summary>Elementary functions on vectors, accurate to a few units in the last place of float32. What is not a number stays so.</summary>
/// <remarks>The processor's minimum and maximum of a number and a NaN are their second operand, so the limit comes first.</remarks>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static class Functions<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    /// <summary>eˣ for x in [-87, 88]; outside it is clamped to the ends. Range reduction by ln 2 in two parts, then a polynomial of degree 6 (Cephes).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x)
    {
        x = L.Min(L.All(88f), L.Max(L.All(-87f), x));
        V n = L.Round(L.Multiply(x, L.All(1.44269504088896341f)));
        V r = L.Fma(n, L.All(-0.693359375f), x);
        r = L.Fma(n, L.All(2.12194440e-4f), r);
        V p = L.Fma(L.All(1.9875691500e-4f), r, L.All(1.3981999507e-3f));
        p = L.Fma(p, r, L.All(8.3334519073e-3f));
        p = L.Fma(p, r, L.All(4.1665795894e-2f));
        p = L.Fma(p, r, L.All(1.6666665459e-1f));
        p = L.Fma(p, r, L.All(5.0000001201e-1f));
        p = L.Fma(p, L.Multiply(r, r), L.Add(r, L.All(1f)));
        return L.Scale(p, n);
    }

    /// <summary>2ˣ for x ≤ 127; below -126 it is that of -126. A polynomial of degree 6 through the Chebyshev points of [-½, ½], 2.5e-9 off before rounding.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp2(V x)
    {
        x = L.Max(L.All(-126f), x);
        V n = L.Round(x), r = L.Subtract(x, n);
        V p = L.Fma(L.All(1.5461444696e-4f), r, L.All(1.3400428178e-3f));
        p = L.Fma(p, r, L.All(9.6180566785e-3f));
        p = L.Fma(p, r, L.All(5.5503272267e-2f));
        p = L.Fma(p, r, L.All(2.4022650922e-1f));
        p = L.Fma(p, r, L.All(6.9314720670e-1f));
        p = L.Fma(p, r, L.All(1f));
        return L.Scale(p, n);
    }

    /// <summary>x·Φ(x), the exact GELU: erf as a rational function of x² on [-4, 4], beyond which it is ±1 in float32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Gelu(V x)
    {
        V z = L.Min(L.Max(L.Multiply(x, L.All(0.70710678118654752f)), L.All(-4f)), L.All(4f));
        V s = L.Multiply(z, z);
        V p = L.Fma(L.All(-2.72614225801306e-10f), s, L.All(2.77068142495902e-08f));
        p = L.Fma(p, s, L.All(-2.10102402082508e-06f));
        p = L.Fma(p, s, L.All(-5.69250639462346e-05f));
        p = L.Fma(p, s, L.All(-7.34990630326855e-04f));
        p = L.Fma(p, s, L.All(-2.95459980854025e-03f));
        p = L.Fma(p, s, L.All(-1.60960333262415e-02f));
        V q = L.Fma(L.All(-1.45660718464996e-05f), s, L.All(-2.13374055278905e-04f));
        q = L.Fma(q, s, L.All(-1.68282697438203e-03f));
        q = L.Fma(q, s, L.All(-7.37332916720468e-03f));
        q = L.Fma(q, s, L.All(-1.42647390514189e-02f));
        V erf = L.Divide(L.Multiply(z, p), q);
        V half = L.Multiply(x, L.All(0.5f));
        return L.Fma(half, erf, half);
    }

    /// <summary>x / (1 + e⁻ˣ).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Silu(V x) => L.Divide(x, L.Add(L.All(1f), Exp(L.Subtract(L.All(0f), x))));
}
