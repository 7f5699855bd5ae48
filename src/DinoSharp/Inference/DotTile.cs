using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Inference;

/// <summary>The tile for reduced precision: <see cref="Tile{L,V}"/> where each 32-bit lane holds four bytes or two bfloat16 numbers, whose products are summed.</summary>
/// <typeparam name="L">The lanes.</typeparam>
/// <typeparam name="V">The vector type.</typeparam>
internal static unsafe class DotTile<L, V>
    where L : struct, ILanes<V>
    where V : struct
{
    /// <summary>Whether bytes can be multiplied: AVX-512 VNNI, or AVX2 on 256 bits.</summary>
    public static bool SupportsBytes => L.Count == 16 ? DotCode.SupportsBytes : Avx2.IsSupported;

    /// <summary>Whether <see cref="Bytes"/> adds two products in 16 bits, as AVX2 without VNNI does: the sum of the signed bytes 2i and 2i + 1 must then lie in [-128, 128].</summary>
    public static bool SumsPairsIn16Bits => L.Count == 8 && !AvxVnni.IsSupported;

    /// <summary>Whether bfloat16 numbers can be multiplied: AVX-512 BF16.</summary>
    public static bool SupportsHalves => L.Count == 16 && DotCode.SupportsHalves;

    /// <summary>Signed bytes of A (see <see cref="SumsPairsIn16Bits"/>) times unsigned bytes of B; int32 sums in C.</summary>
    /// <param name="vectors">Vectors a row, 1 to 3.</param>
    /// <param name="depth">Steps of four bytes, at least 1.</param>
    /// <param name="a">A row of <see cref="ILanes{V}.Rows"/> lanes for each step.</param>
    /// <param name="aStep">Lanes from one step of A to the next.</param>
    /// <param name="b">Three vectors for each step.</param>
    /// <param name="c">The tile, three vectors to a row.</param>
    public static void Bytes(int vectors, int depth, float* a, int aStep, float* b, float* c)
    {
        if (L.Count == 16) DotCode.Bytes(vectors, depth, a, aStep, b, c);
        else if (vectors == 3) Rows4x3(depth, (int*)a, aStep, (byte*)b, (int*)c);
        else for (int j = 0; j < vectors; j++) Rows4x1(depth, (int*)a, aStep, (byte*)b + (32 * j), (int*)c + (8 * j));
    }

    /// <summary>bfloat16 numbers of A and B; float32 sums in C.</summary>
    /// <param name="vectors">Vectors a row, 1 to 3.</param>
    /// <param name="depth">Steps of two numbers, at least 1.</param>
    /// <param name="a">A row of lanes for each step.</param>
    /// <param name="aStep">Lanes from one step of A to the next.</param>
    /// <param name="b">Three vectors for each step.</param>
    /// <param name="c">The tile, three vectors to a row.</param>
    /// <param name="accumulate">Add to what is in C.</param>
    public static void Halves(int vectors, int depth, float* a, int aStep, float* b, float* c, bool accumulate) => DotCode.Halves(vectors, depth, a, aStep, b, c, accumulate);

    /// <summary>One vector against two groups of rows, each of which gives the same bits as alone; the second tile follows the first in C. On 512 bits.</summary>
    /// <param name="bytes">Bytes; bfloat16 otherwise.</param>
    /// <param name="depth">Steps, at least 1.</param>
    /// <param name="a">A row of lanes for each step.</param>
    /// <param name="aBelow">That of the second group.</param>
    /// <param name="aStep">Lanes from one step of A to the next.</param>
    /// <param name="b">Three vectors for each step, of which the first counts.</param>
    /// <param name="c">Both tiles, three vectors to a row.</param>
    public static void Pair(bool bytes, int depth, float* a, float* aBelow, int aStep, float* b, float* c) => DotCode.Pair(bytes, depth, a, aBelow, aStep, b, c);

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows4x3(int depth, int* a, int aStep, byte* b, int* c)
    {
        Vector256<int> c00 = default, c01 = default, c02 = default, c10 = default, c11 = default, c12 = default, c20 = default, c21 = default, c22 = default, c30 = default, c31 = default, c32 = default;
        for (int k = 0; k < depth; k++)
        {
            // B is read anew for each row: registers are fewer than loads.
            Vector256<sbyte> x = Vector256.Create(a[0]).AsSByte();
            (c00, c01, c02) = (Dot(c00, b, x), Dot(c01, b + 32, x), Dot(c02, b + 64, x));
            x = Vector256.Create(a[1]).AsSByte();
            (c10, c11, c12) = (Dot(c10, b, x), Dot(c11, b + 32, x), Dot(c12, b + 64, x));
            x = Vector256.Create(a[2]).AsSByte();
            (c20, c21, c22) = (Dot(c20, b, x), Dot(c21, b + 32, x), Dot(c22, b + 64, x));
            x = Vector256.Create(a[3]).AsSByte();
            (c30, c31, c32) = (Dot(c30, b, x), Dot(c31, b + 32, x), Dot(c32, b + 64, x));
            a += aStep;
            b += 96;
        }

        Store3(c, c00, c01, c02);
        Store3(c + 24, c10, c11, c12);
        Store3(c + 48, c20, c21, c22);
        Store3(c + 72, c30, c31, c32);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Rows4x1(int depth, int* a, int aStep, byte* b, int* c)
    {
        Vector256<int> c0 = default, c1 = default, c2 = default, c3 = default;
        for (int k = 0; k < depth; k++)
        {
            (c0, c1) = (Dot(c0, b, Vector256.Create(a[0]).AsSByte()), Dot(c1, b, Vector256.Create(a[1]).AsSByte()));
            (c2, c3) = (Dot(c2, b, Vector256.Create(a[2]).AsSByte()), Dot(c3, b, Vector256.Create(a[3]).AsSByte()));
            a += aStep;
            b += 96;
        }

        c0.Store(c);
        c1.Store(c + 24);
        c2.Store(c + 48);
        c3.Store(c + 72);
    }

    // Without VNNI pairs of products are summed in 16 bits first. Two weights of one sign that sum up to 128 give 255 · 128 at most; of two signs, one product alone is the most.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<int> sum, byte* unsigned, Vector256<sbyte> signed) => AvxVnni.IsSupported
        ? AvxVnni.MultiplyWideningAndAdd(sum, Vector256.Load(unsigned), signed)
        : sum + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Vector256.Load(unsigned), signed), Vector256<short>.One);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store3(int* c, Vector256<int> x, Vector256<int> y, Vector256<int> z)
    {
        x.Store(c);
        y.Store(c + 8);
        z.Store(c + 16);
    }
}
