using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Inference;

/// <summary>Small squares of lanes turned over: rows of features become rows of tokens.</summary>
internal static unsafe class Transposition
{
    /// <summary>Rows and columns of a square.</summary>
    public const int Side = 8;

    /// <summary><c>to[c, r] = from[r, c]</c> for eight rows and the first columns of them; bits are copied as they are. Needs AVX.</summary>
    /// <param name="from">Eight numbers can be read from each of eight rows.</param>
    /// <param name="fromStep">Numbers from one row to the next.</param>
    /// <param name="to">Receives a row of eight for each column.</param>
    /// <param name="toStep">Numbers from one row to the next.</param>
    /// <param name="columns">How many are copied, 1 to 8.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* from, int fromStep, float* to, int toStep, int columns)
    {
        Vector256<float> a = Vector256.Load(from), b = Vector256.Load(from + fromStep), c = Vector256.Load(from + (2 * fromStep)), d = Vector256.Load(from + (3 * fromStep));
        Vector256<float> e = Vector256.Load(from + (4 * fromStep)), f = Vector256.Load(from + (5 * fromStep)), g = Vector256.Load(from + (6 * fromStep)), h = Vector256.Load(from + (7 * fromStep));
        (a, b, c, d) = (Avx.UnpackLow(a, b), Avx.UnpackHigh(a, b), Avx.UnpackLow(c, d), Avx.UnpackHigh(c, d));
        (e, f, g, h) = (Avx.UnpackLow(e, f), Avx.UnpackHigh(e, f), Avx.UnpackLow(g, h), Avx.UnpackHigh(g, h));
        (a, c, b, d) = (Avx.Shuffle(a, c, 0x44), Avx.Shuffle(a, c, 0xEE), Avx.Shuffle(b, d, 0x44), Avx.Shuffle(b, d, 0xEE));
        (e, g, f, h) = (Avx.Shuffle(e, g, 0x44), Avx.Shuffle(e, g, 0xEE), Avx.Shuffle(f, h, 0x44), Avx.Shuffle(f, h, 0xEE));
        Avx.Permute2x128(a, e, 0x20).Store(to);
        if (columns > 1) Avx.Permute2x128(c, g, 0x20).Store(to + toStep);
        if (columns > 2) Avx.Permute2x128(b, f, 0x20).Store(to + (2 * toStep));
        if (columns > 3) Avx.Permute2x128(d, h, 0x20).Store(to + (3 * toStep));
        if (columns > 4) Avx.Permute2x128(a, e, 0x31).Store(to + (4 * toStep));
        if (columns > 5) Avx.Permute2x128(c, g, 0x31).Store(to + (5 * toStep));
        if (columns > 6) Avx.Permute2x128(b, f, 0x31).Store(to + (6 * toStep));
        if (columns > 7) Avx.Permute2x128(d, h, 0x31).Store(to + (7 * toStep));
    }
}
