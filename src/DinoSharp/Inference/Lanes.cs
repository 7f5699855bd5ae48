using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Inference;

/// <summary>A vector of floats and what the kernels need of it. Written once per width; the kernels are generic and cost nothing for it.</summary>
/// <typeparam name="V">The vector type.</typeparam>
internal unsafe interface ILanes<V>
    where V : struct
{
    /// <summary>Floats per vector.</summary>
    public static abstract int Count { get; }

    /// <summary>Rows of a register tile; with three vectors a row, tile, operands and broadcast fill the register file.</summary>
    public static abstract int Rows { get; }

    public static abstract V Load(float* source);

    public static abstract void Store(float* target, V value);

    /// <summary>The lower half of the lanes goes to one place, the upper half to another.</summary>
    public static abstract void StoreHalves(float* lower, float* upper, V value);

    public static abstract V All(float value);

    public static abstract V Add(V a, V b);

    public static abstract V Subtract(V a, V b);

    public static abstract V Multiply(V a, V b);

    public static abstract V Divide(V a, V b);

    /// <summary>a·b + c with one rounding.</summary>
    public static abstract V Fma(V a, V b, V c);

    /// <summary>The larger of each two; the second where either is NaN.</summary>
    public static abstract V Max(V a, V b);

    /// <summary>The smaller of each two; the second where either is NaN.</summary>
    public static abstract V Min(V a, V b);

    public static abstract V Round(V a);

    /// <summary>Whether any lane of a is above that of b.</summary>
    public static abstract bool AnyAbove(V a, V b);

    /// <summary>x·2ⁿ for whole n in [-126, 127].</summary>
    public static abstract V Scale(V x, V n);

    public static abstract V Sqrt(V a);

    /// <summary>Lanes of 32 bits as integers, converted.</summary>
    public static abstract V FromIntegers(V bits);

    /// <summary>Two bfloat16 numbers in each lane, the first in the lower half; rounded to nearest; NaN stays NaN on 512 bits, the only width that multiplies them.</summary>
    public static abstract V PackHalves(V first, V second);

    /// <summary>Each number as bfloat16, rounded as by <see cref="PackHalves"/>, side by side.</summary>
    public static abstract void StoreNarrow(ushort* target, V value);

    /// <summary>Four unsigned bytes in each lane, the first lowest, of numbers in [0, 255]; rounded to nearest.</summary>
    public static abstract V PackBytes(V first, V second, V third, V fourth);
}

/// <summary>AVX-512: 16 floats, 32 registers.</summary>
internal readonly unsafe struct Lanes512 : ILanes<Vector512<float>>
{
    public static bool IsSupported => Avx512F.IsSupported && Vector512.IsHardwareAccelerated;

    public static int Count => 16;

    public static int Rows => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* source) => Vector512.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector512<float> value) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreHalves(float* lower, float* upper, Vector512<float> value)
    {
        value.GetLower().Store(lower);
        value.GetUpper().Store(upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> All(float value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Subtract(Vector512<float> a, Vector512<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> a, Vector512<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Divide(Vector512<float> a, Vector512<float> b) => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Fma(Vector512<float> a, Vector512<float> b, Vector512<float> c) => Avx512F.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Max(Vector512<float> a, Vector512<float> b) => Avx512F.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Min(Vector512<float> a, Vector512<float> b) => Avx512F.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyAbove(Vector512<float> a, Vector512<float> b) => Vector512.GreaterThanAny(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Round(Vector512<float> a) => Avx512F.RoundScale(a, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Scale(Vector512<float> x, Vector512<float> n) => Avx512F.Scale(x, n);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sqrt(Vector512<float> a) => Avx512F.Sqrt(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> FromIntegers(Vector512<float> bits) => Vector512.ConvertToSingle(bits.AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> PackHalves(Vector512<float> first, Vector512<float> second) => ((Rounded(first) >>> 16) | (Rounded(second) & Vector512.Create(0xFFFF0000u))).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreNarrow(ushort* target, Vector512<float> value) => Avx512F.ConvertToVector256UInt16(Rounded(value) >>> 16).Store(target);

    // Carried into the exponent and out of it, a NaN of all ones would become zero; so any becomes that with one bit.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Rounded(Vector512<float> value) => Avx512F.Fixup(value, value, Vector512.Create(0x33), 0).AsUInt32() + Vector512.Create(0x8000u);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> PackBytes(Vector512<float> first, Vector512<float> second, Vector512<float> third, Vector512<float> fourth) =>
        (Avx512F.ConvertToVector512Int32(first) | (Avx512F.ConvertToVector512Int32(second) << 8) | (Avx512F.ConvertToVector512Int32(third) << 16) | (Avx512F.ConvertToVector512Int32(fourth) << 24)).AsSingle();
}

/// <summary>AVX2 with FMA: 8 floats, 16 registers.</summary>
internal readonly unsafe struct Lanes256 : ILanes<Vector256<float>>
{
    public static bool IsSupported => Avx2.IsSupported && System.Runtime.Intrinsics.X86.Fma.IsSupported;

    public static int Count => 8;

    public static int Rows => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* source) => Vector256.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* target, Vector256<float> value) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreHalves(float* lower, float* upper, Vector256<float> value)
    {
        value.GetLower().Store(lower);
        value.GetUpper().Store(upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> All(float value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Add(Vector256<float> a, Vector256<float> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Subtract(Vector256<float> a, Vector256<float> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Multiply(Vector256<float> a, Vector256<float> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Divide(Vector256<float> a, Vector256<float> b) => a / b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Fma(Vector256<float> a, Vector256<float> b, Vector256<float> c) => System.Runtime.Intrinsics.X86.Fma.MultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Max(Vector256<float> a, Vector256<float> b) => Avx.Max(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Min(Vector256<float> a, Vector256<float> b) => Avx.Min(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyAbove(Vector256<float> a, Vector256<float> b) => Vector256.GreaterThanAny(a, b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Round(Vector256<float> a) => Avx.RoundToNearestInteger(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Scale(Vector256<float> x, Vector256<float> n) =>
        x * Avx2.ShiftLeftLogical(Avx.ConvertToVector256Int32(n) + Vector256.Create(127), 23).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sqrt(Vector256<float> a) => Avx.Sqrt(a);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> FromIntegers(Vector256<float> bits) => Vector256.ConvertToSingle(bits.AsInt32());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> PackHalves(Vector256<float> first, Vector256<float> second) =>
        (((first.AsUInt32() + Vector256.Create(0x8000u)) >>> 16) | ((second.AsUInt32() + Vector256.Create(0x8000u)) & Vector256.Create(0xFFFF0000u))).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreNarrow(ushort* target, Vector256<float> value)
    {
        Vector256<uint> rounded = (value.AsUInt32() + Vector256.Create(0x8000u)) >>> 16;
        Vector128.Narrow(rounded.GetLower(), rounded.GetUpper()).Store(target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> PackBytes(Vector256<float> first, Vector256<float> second, Vector256<float> third, Vector256<float> fourth) =>
        (Avx.ConvertToVector256Int32(first) | (Avx.ConvertToVector256Int32(second) << 8) | (Avx.ConvertToVector256Int32(third) << 16) | (Avx.ConvertToVector256Int32(fourth) << 24)).AsSingle();
}
