using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Inference;

/// <summary>The inner loop of everything: a small matrix product whose result stays in registers.</summary>
/// <remarks><c>C[r, j] (+)= Σₖ A[k, r]·B[k, j]</c> for the rows of a tile and one to three vectors j. A is read one float at a time (weights, keys or
/// values; the rows of a step lie together, step after step), B by whole vectors (a panel of tokens), and rows of B and C are those of a panel.
/// AVX-512 with 8 rows: 24 FMAs a step need 11 loads; 98 % of what the processor can do while B stays in the first-level cache.</remarks>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static unsafe class Tile<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    /// <summary>Computes a tile of <see cref="ILanes{V}.Rows"/> rows.</summary>
    /// <param name="vectors">Vectors a row, 1 to 3.</param>
    /// <param name="depth">Steps k.</param>
    /// <param name="a">Rows of step 0.</param>
    /// <param name="ahead">As many numbers as A has, which the next call will read: they are fetched meanwhile.</param>
    /// <param name="b">Vectors of step 0.</param>
    /// <param name="soon">As many numbers that a later call will read: fetched in turn with those ahead, because a cache line holds more than a step needs.</param>
    /// <param name="c">The tile.</param>
    /// <param name="accumulate">Add to what is in C.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply(int vectors, int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        if (L.Rows == 8)
        {
            if (vectors == 3) Rows8x3(depth, a, ahead, b, soon, c, accumulate);
            else if (vectors == 2) Rows8x2(depth, a, ahead, b, soon, c, accumulate);
            else Rows8x1(depth, a, ahead, b, soon, c, accumulate);
        }
        else
        {
            if (vectors == 3) Rows4x3(depth, a, ahead, b, soon, c, accumulate);
            else if (vectors == 2) Rows4x2(depth, a, ahead, b, soon, c, accumulate);
            else Rows4x1(depth, a, ahead, b, soon, c, accumulate);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows8x3(int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        V c00 = default, c01 = default, c02 = default, c10 = default, c11 = default, c12 = default, c20 = default, c21 = default, c22 = default, c30 = default, c31 = default, c32 = default;
        V c40 = default, c41 = default, c42 = default, c50 = default, c51 = default, c52 = default, c60 = default, c61 = default, c62 = default, c70 = default, c71 = default, c72 = default;
        int n = L.Count, row = 3 * n;
        for (int k = 0; k < depth; k++)
        {
            Sse.Prefetch0(ahead);
            V b0 = L.Load(b), b1 = L.Load(b + n), b2 = L.Load(b + (2 * n));
            V x = L.All(a[0]);
            (c00, c01, c02) = (L.Fma(x, b0, c00), L.Fma(x, b1, c01), L.Fma(x, b2, c02));
            x = L.All(a[1]);
            (c10, c11, c12) = (L.Fma(x, b0, c10), L.Fma(x, b1, c11), L.Fma(x, b2, c12));
            x = L.All(a[2]);
            (c20, c21, c22) = (L.Fma(x, b0, c20), L.Fma(x, b1, c21), L.Fma(x, b2, c22));
            x = L.All(a[3]);
            (c30, c31, c32) = (L.Fma(x, b0, c30), L.Fma(x, b1, c31), L.Fma(x, b2, c32));
            x = L.All(a[4]);
            (c40, c41, c42) = (L.Fma(x, b0, c40), L.Fma(x, b1, c41), L.Fma(x, b2, c42));
            x = L.All(a[5]);
            (c50, c51, c52) = (L.Fma(x, b0, c50), L.Fma(x, b1, c51), L.Fma(x, b2, c52));
            x = L.All(a[6]);
            (c60, c61, c62) = (L.Fma(x, b0, c60), L.Fma(x, b1, c61), L.Fma(x, b2, c62));
            x = L.All(a[7]);
            (c70, c71, c72) = (L.Fma(x, b0, c70), L.Fma(x, b1, c71), L.Fma(x, b2, c72));
            a += 8;
            b += row;
            float* fetched = ahead;
            ahead = soon;
            soon = fetched + 16;
        }

        Store3(c, c00, c01, c02, accumulate);
        Store3(c + row, c10, c11, c12, accumulate);
        Store3(c + (2 * row), c20, c21, c22, accumulate);
        Store3(c + (3 * row), c30, c31, c32, accumulate);
        Store3(c + (4 * row), c40, c41, c42, accumulate);
        Store3(c + (5 * row), c50, c51, c52, accumulate);
        Store3(c + (6 * row), c60, c61, c62, accumulate);
        Store3(c + (7 * row), c70, c71, c72, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows8x2(int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        V c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default, c60 = default, c61 = default, c70 = default, c71 = default;
        int n = L.Count, row = 3 * n;
        for (int k = 0; k < depth; k++)
        {
            Sse.Prefetch0(ahead);
            V b0 = L.Load(b), b1 = L.Load(b + n);
            V x = L.All(a[0]), y = L.All(a[1]);
            (c00, c01, c10, c11) = (L.Fma(x, b0, c00), L.Fma(x, b1, c01), L.Fma(y, b0, c10), L.Fma(y, b1, c11));
            (x, y) = (L.All(a[2]), L.All(a[3]));
            (c20, c21, c30, c31) = (L.Fma(x, b0, c20), L.Fma(x, b1, c21), L.Fma(y, b0, c30), L.Fma(y, b1, c31));
            (x, y) = (L.All(a[4]), L.All(a[5]));
            (c40, c41, c50, c51) = (L.Fma(x, b0, c40), L.Fma(x, b1, c41), L.Fma(y, b0, c50), L.Fma(y, b1, c51));
            (x, y) = (L.All(a[6]), L.All(a[7]));
            (c60, c61, c70, c71) = (L.Fma(x, b0, c60), L.Fma(x, b1, c61), L.Fma(y, b0, c70), L.Fma(y, b1, c71));
            a += 8;
            b += row;
            float* fetched = ahead;
            ahead = soon;
            soon = fetched + 16;
        }

        Store2(c, c00, c01, accumulate);
        Store2(c + row, c10, c11, accumulate);
        Store2(c + (2 * row), c20, c21, accumulate);
        Store2(c + (3 * row), c30, c31, accumulate);
        Store2(c + (4 * row), c40, c41, accumulate);
        Store2(c + (5 * row), c50, c51, accumulate);
        Store2(c + (6 * row), c60, c61, accumulate);
        Store2(c + (7 * row), c70, c71, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows8x1(int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        V c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        int n = L.Count, row = 3 * n;
        for (int k = 0; k < depth; k++)
        {
            Sse.Prefetch0(ahead);
            V b0 = L.Load(b);
            (c0, c1, c2, c3) = (L.Fma(L.All(a[0]), b0, c0), L.Fma(L.All(a[1]), b0, c1), L.Fma(L.All(a[2]), b0, c2), L.Fma(L.All(a[3]), b0, c3));
            (c4, c5, c6, c7) = (L.Fma(L.All(a[4]), b0, c4), L.Fma(L.All(a[5]), b0, c5), L.Fma(L.All(a[6]), b0, c6), L.Fma(L.All(a[7]), b0, c7));
            a += 8;
            b += row;
            float* fetched = ahead;
            ahead = soon;
            soon = fetched + 16;
        }

        Store(c, c0, accumulate);
        Store(c + row, c1, accumulate);
        Store(c + (2 * row), c2, accumulate);
        Store(c + (3 * row), c3, accumulate);
        Store(c + (4 * row), c4, accumulate);
        Store(c + (5 * row), c5, accumulate);
        Store(c + (6 * row), c6, accumulate);
        Store(c + (7 * row), c7, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows4x3(int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        V c00 = default, c01 = default, c02 = default, c10 = default, c11 = default, c12 = default, c20 = default, c21 = default, c22 = default, c30 = default, c31 = default, c32 = default;
        int n = L.Count, row = 3 * n;
        for (int k = 0; k < depth; k++)
        {
            Sse.Prefetch0(ahead);
            V b0 = L.Load(b), b1 = L.Load(b + n), b2 = L.Load(b + (2 * n));
            V x = L.All(a[0]);
            (c00, c01, c02) = (L.Fma(x, b0, c00), L.Fma(x, b1, c01), L.Fma(x, b2, c02));
            x = L.All(a[1]);
            (c10, c11, c12) = (L.Fma(x, b0, c10), L.Fma(x, b1, c11), L.Fma(x, b2, c12));
            x = L.All(a[2]);
            (c20, c21, c22) = (L.Fma(x, b0, c20), L.Fma(x, b1, c21), L.Fma(x, b2, c22));
            x = L.All(a[3]);
            (c30, c31, c32) = (L.Fma(x, b0, c30), L.Fma(x, b1, c31), L.Fma(x, b2, c32));
            a += 4;
            b += row;
            float* fetched = ahead;
            ahead = soon;
            soon = fetched + 8;
        }

        Store3(c, c00, c01, c02, accumulate);
        Store3(c + row, c10, c11, c12, accumulate);
        Store3(c + (2 * row), c20, c21, c22, accumulate);
        Store3(c + (3 * row), c30, c31, c32, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows4x2(int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        V c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
        int n = L.Count, row = 3 * n;
        for (int k = 0; k < depth; k++)
        {
            Sse.Prefetch0(ahead);
            V b0 = L.Load(b), b1 = L.Load(b + n);
            V x = L.All(a[0]), y = L.All(a[1]);
            (c00, c01, c10, c11) = (L.Fma(x, b0, c00), L.Fma(x, b1, c01), L.Fma(y, b0, c10), L.Fma(y, b1, c11));
            (x, y) = (L.All(a[2]), L.All(a[3]));
            (c20, c21, c30, c31) = (L.Fma(x, b0, c20), L.Fma(x, b1, c21), L.Fma(y, b0, c30), L.Fma(y, b1, c31));
            a += 4;
            b += row;
            float* fetched = ahead;
            ahead = soon;
            soon = fetched + 8;
        }

        Store2(c, c00, c01, accumulate);
        Store2(c + row, c10, c11, accumulate);
        Store2(c + (2 * row), c20, c21, accumulate);
        Store2(c + (3 * row), c30, c31, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows4x1(int depth, float* a, float* ahead, float* b, float* soon, float* c, bool accumulate)
    {
        V c0 = default, c1 = default, c2 = default, c3 = default;
        int n = L.Count, row = 3 * n;
        for (int k = 0; k < depth; k++)
        {
            Sse.Prefetch0(ahead);
            V b0 = L.Load(b);
            (c0, c1, c2, c3) = (L.Fma(L.All(a[0]), b0, c0), L.Fma(L.All(a[1]), b0, c1), L.Fma(L.All(a[2]), b0, c2), L.Fma(L.All(a[3]), b0, c3));
            a += 4;
            b += row;
            float* fetched = ahead;
            ahead = soon;
            soon = fetched + 8;
        }

        Store(c, c0, accumulate);
        Store(c + row, c1, accumulate);
        Store(c + (2 * row), c2, accumulate);
        Store(c + (3 * row), c3, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store3(float* c, V x, V y, V z, bool accumulate)
    {
        Store(c, x, accumulate);
        Store(c + L.Count, y, accumulate);
        Store(c + (2 * L.Count), z, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store2(float* c, V x, V y, bool accumulate)
    {
        Store(c, x, accumulate);
        Store(c + L.Count, y, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* c, V x, bool accumulate) => L.Store(c, accumulate ? L.Add(x, L.Load(c)) : x);
}
