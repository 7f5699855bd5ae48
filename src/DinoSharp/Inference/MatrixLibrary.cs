using System.Runtime.InteropServices;
using DinoSharp.Diagnostics;

namespace DinoSharp.Inference;

/// <summary>The bfloat16 product of MKL, which is part of libtorch for x64: it uses AMX tiles where the processor has them, also in virtual machines that hide their size from
/// libtorch's own layers (CPUID leaf 0x1D).</summary>
internal static unsafe class MatrixLibrary
{
    private const int RowMajor = 101, NotTransposed = 111;

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
    public static void Multiply(int m, int n, int k, ushort* a, ushort* b, float* c) =>
        ((delegate* unmanaged<int, int, int, int, int, int, float, ushort*, int, ushort*, int, float, float*, int, void>)Product.Value)(
            RowMajor, NotTransposed, NotTransposed, m, n, k, 1, a, k, b, n, 0, c, n);
}
