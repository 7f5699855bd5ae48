using System.Runtime.InteropServices;
using DinoSharp.Diagnostics;

namespace DinoSharp.Inference;

/// <summary>The bfloat16 product of MKL, which is part of libtorch for x64: it uses AMX tiles where the processor has them, also in virtual machines that hide their size from
/// libtorch's own layers (CPUID leaf 0x1D).</summary>
internal static unsafe class MatrixLibrary
{
    private const int RowMajor = 101, NotTransposed = 111, Transposed = 112;

    private static readonly Lazy<nint> Product = new(() =>
        Libtorch.LoadedFrom() is { } path && NativeLibrary.TryGetExport(NativeLibrary.Load(path), "cblas_gemm_bf16bf16f32", out nint address) ? address : 0);

    /// <summary>Whether this libtorch exports it.</summary>
    public static bool IsThere => Product.Value != 0;

    /// <summary>C = A·B for bfloat16 numbers, sums in float32; on as many threads as libtorch has.</summary>
    /// <param name="m">Rows of A and C.</param>
    /// <param name="n">Columns of B and C.</param>
    /// <param name="k">Columns of A, rows of B.</param>
    /// <param name="a">[m, k]</param>
    /// <param name="b">[k, n]</param>
    /// <param name="c">[m, n]</param>
    public static void Multiply(int m, int n, int k, ushort* a, ushort* b, float* c) => Multiply(m, n, k, a, false, b, false, c);

    /// <summary>The same of matrices that may be stored transposed.</summary>
    /// <param name="m">Rows of A and C.</param>
    /// <param name="n">Columns of B and C.</param>
    /// <param name="k">Columns of A, rows of B.</param>
    /// <param name="a">[m, k], or [k, m] if transposed.</param>
    /// <param name="transposedA">Whether A is stored transposed.</param>
    /// <param name="b">[k, n], or [n, k] if transposed.</param>
    /// <param name="transposedB">Whether B is stored transposed.</param>
    /// <param name="c">[m, n]</param>
    public static void Multiply(int m, int n, int k, ushort* a, bool transposedA, ushort* b, bool transposedB, float* c) =>
        ((delegate* unmanaged<int, int, int, int, int, int, float, ushort*, int, ushort*, int, float, float*, int, void>)Product.Value)(
            RowMajor, transposedA ? Transposed : NotTransposed, transposedB ? Transposed : NotTransposed, m, n, k, 1, a, transposedA ? m : k, b, transposedB ? k : n, 0, c, n);
}
