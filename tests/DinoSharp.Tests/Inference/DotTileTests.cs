using System.Runtime.Intrinsics;
using DinoSharp.Inference;
using Xunit;

namespace DinoSharp.Tests.Inference;

/// <summary>The tiles of reduced precision against plain loops: every number of vectors, depths down to 1, steps of A wider than a tile.</summary>
public sealed unsafe class DotTileTests
{
    [Fact]
    public void Avx512() => Bytes<Lanes512, Vector512<float>>(Lanes512.IsSupported, "AVX-512 VNNI");

    [Fact]
    public void Avx2() => Bytes<Lanes256, Vector256<float>>(Lanes256.IsSupported, "AVX-VNNI");

    [Fact]
    public void Halves()
    {
        Assert.SkipUnless(DotTile<Lanes512, Vector512<float>>.SupportsHalves, "this processor has no AVX-512 BF16, or the system is not Linux");
        var random = new Random(3);
        foreach ((int vectors, int depth, int aStep, bool accumulate) in from v in new[] { 1, 2, 3 } from d in new[] { 1, 2, 7, 96 } from s in new[] { 8, 48 } from add in new[] { false, true } select (v, d, s, add))
        {
            float[] a = new float[depth * aStep], b = new float[depth * 48], c = new float[8 * 48];
            foreach (float[] array in new[] { a, b })
            {
                for (int i = 0; i < array.Length; i++) array[i] = BitConverter.UInt32BitsToSingle(((uint)Half(random) << 16) | Half(random));
            }

            for (int i = 0; i < c.Length; i++) c[i] = random.Next(-8, 8);
            float[] expected = [.. c];
            for (int r = 0; r < 8; r++)
            {
                for (int j = 0; j < 16 * vectors; j++)
                {
                    double sum = accumulate ? c[(r * 48) + j] : 0;
                    for (int k = 0; k < depth; k++)
                    {
                        (uint x, uint y) = (BitConverter.SingleToUInt32Bits(a[(k * aStep) + r]), BitConverter.SingleToUInt32Bits(b[(k * 48) + j]));
                        sum += ((double)BitConverter.UInt32BitsToSingle(x << 16) * BitConverter.UInt32BitsToSingle(y << 16))
                            + ((double)BitConverter.UInt32BitsToSingle(x & 0xFFFF0000) * BitConverter.UInt32BitsToSingle(y & 0xFFFF0000));
                    }

                    expected[(r * 48) + j] = (float)sum;
                }
            }

            fixed (float* pa = a, pb = b, pc = c) DotTile<Lanes512, Vector512<float>>.Halves(vectors, depth, pa, aStep, pb, pc, accumulate);
            for (int i = 0; i < c.Length; i++) Assert.True(Math.Abs(c[i] - expected[i]) <= 1e-5 * Math.Max(depth, 8), $"{vectors} vectors, depth {depth}, {i}: {c[i]}, expected {expected[i]}");
        }

        static uint Half(Random random) => BitConverter.SingleToUInt32Bits((random.NextSingle() * 2) - 1) >> 16;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public unsafe void PairsGiveTheBitsOfEachAlone(bool bytes)
    {
        Assert.SkipUnless(bytes ? DotTile<Lanes512, Vector512<float>>.SupportsBytes : DotTile<Lanes512, Vector512<float>>.SupportsHalves, "this processor has no dot products on 512 bits");
        var random = new Random(4);
        foreach ((int depth, int aStep, int between) in from d in new[] { 1, 2, 7, 96 } from s in new[] { 8, 48 } from gap in new[] { 0, 24 } select (d, s, gap))
        {
            float[] a = new float[(2 * depth * aStep) + between], b = new float[depth * 48], actual = new float[2 * 8 * 48], expected = new float[2 * 8 * 48];
            foreach (float[] array in new[] { a, b })
            {
                for (int i = 0; i < array.Length; i++) array[i] = BitConverter.UInt32BitsToSingle(((uint)random.Next(0x3F00, 0x4100) << 16) | (uint)random.Next(0x3F00, 0x4100));
            }

            fixed (float* pa = a, pb = b, pc = actual, pe = expected)
            {
                float* below = pa + (depth * aStep) + between;
                DotTile<Lanes512, Vector512<float>>.Pair(bytes, depth, pa, below, aStep, pb, pc);
                for (int tile = 0; tile < 2; tile++)
                {
                    if (bytes) DotTile<Lanes512, Vector512<float>>.Bytes(1, depth, tile == 0 ? pa : below, aStep, pb, pe + (tile * 8 * 48));
                    else DotTile<Lanes512, Vector512<float>>.Halves(1, depth, tile == 0 ? pa : below, aStep, pb, pe + (tile * 8 * 48), accumulate: false);
                }
            }

            Assert.Contains(expected, value => value != 0);
            Assert.Equal(expected, actual);
        }
    }

    private static void Bytes<L, V>(bool supported, string name)
        where L : struct, ILanes<V>
        where V : struct
    {
        Assert.SkipUnless(supported && DotTile<L, V>.SupportsBytes, $"this processor has no {name}");
        var random = new Random(2);
        int width = 3 * L.Count;
        foreach ((int vectors, int depth, int aStep) in from v in new[] { 1, 2, 3 } from d in new[] { 1, 2, 5, 192 } from s in new[] { L.Rows, width } select (v, d, s))
        {
            byte[] a = new byte[4 * depth * aStep], b = new byte[4 * depth * width];
            random.NextBytes(a);
            random.NextBytes(b);
            a.AsSpan(0, 4).Fill(0x80); // the extremes: -128 · 255
            b.AsSpan(0, 4).Fill(0xFF);
            for (int i = 0; DotTile<L, V>.SumsPairsIn16Bits && i < a.Length; i += 2)
            {
                if (Math.Abs((sbyte)a[i] + (sbyte)a[i + 1]) > 128) (a[i], a[i + 1]) = ((byte)((sbyte)a[i] / 2), (byte)((sbyte)a[i + 1] / 2));
            }

            int[] c = [.. Enumerable.Repeat(-7, L.Rows * width)], expected = [.. c];
            for (int r = 0; r < L.Rows; r++)
            {
                for (int j = 0; j < L.Count * vectors; j++)
                {
                    expected[(r * width) + j] = Enumerable.Range(0, depth).Sum(k => Enumerable.Range(0, 4).Sum(i => (sbyte)a[(4 * ((k * aStep) + r)) + i] * b[(4 * ((k * width) + j)) + i]));
                }
            }

            fixed (byte* pa = a, pb = b)
            fixed (int* pc = c) DotTile<L, V>.Bytes(vectors, depth, (float*)pa, aStep, (float*)pb, (float*)pc);
            Assert.Equal(expected, c);
        }
    }
}
