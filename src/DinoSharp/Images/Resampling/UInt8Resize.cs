using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Images;

/// <summary>
/// The two passes of 8-bit resizing, in integers: out = clip((2^(p−1) + Σ q·v) ≫ p). Sixteen-bit weights go through one multiply-add of pairs of
/// taps; Pillow's 22-bit weights q are split as q = 2¹¹·high + low and go through two, which gives the same sum.
/// </summary>
internal static unsafe class UInt8Resize
{
    private const int PillowBits = 22, LowBits = 11;

    public static void Horizontal(
        ReadOnlySpan<byte> source, int sourceStride, int width, int height, int channels, Span<byte> target, int targetWidth,
        Interpolation interpolation, ResizeArithmetic arithmetic)
    {
        Axis axis = Prepare(width, targetWidth, interpolation, arithmetic);
        int targetStride = targetWidth * channels, y = 0;
        fixed (byte* from = source, to = target)
        fixed (short* low = axis.Low, high = axis.High)
        fixed (int* first = axis.Taps.First, lengths = axis.Taps.Lengths)
        {
            if (Avx2.IsSupported && channels <= 4)
            {
                // A load takes 16 bytes; so many rows at the end of the picture may not have them behind their last window.
                int tail = Math.Min(height, (axis.Taps.Stride * channels + 16 + sourceStride - 1) / sourceStride);
                Vector256<byte> arrange = ChannelPairs[channels - 1];
                for (; y + 4 <= height - tail; y += 4)
                {
                    byte* row = from + (long)y * sourceStride, result = to + (long)y * targetStride;
                    for (int x = 0; x < targetWidth; x++)
                    {
                        // The store takes 4 bytes; at the end of a row they are not all ours.
                        int bytes = x * channels + 4 <= targetStride ? 4 : channels;
                        byte* window = row + first[x] * channels;
                        int weights = x * axis.Taps.Stride;
                        if (high is null) Window<SixteenBit>(window, sourceStride, lengths[x], channels, arrange, low + weights, null, axis.Bits, result + x * channels, targetStride, bytes);
                        else Window<TwentyTwoBit>(window, sourceStride, lengths[x], channels, arrange, low + weights, high + weights, axis.Bits, result + x * channels, targetStride, bytes);
                    }
                }
            }

            for (; y < height; y++)
            {
                for (int x = 0; x < targetWidth; x++)
                    ScalarWindow(from + (long)y * sourceStride + first[x] * channels, lengths[x], channels, axis, x * axis.Taps.Stride, to + (long)y * targetStride + x * channels);
            }
        }
    }

    public static void Vertical(
        ReadOnlySpan<byte> source, int sourceStride, int rowBytes, int height, Span<byte> target, int targetHeight,
        Interpolation interpolation, ResizeArithmetic arithmetic)
    {
        Axis axis = Prepare(height, targetHeight, interpolation, arithmetic);
        fixed (byte* from = source, to = target)
        fixed (short* low = axis.Low, high = axis.High)
        {
            for (int y = 0; y < targetHeight; y++)
            {
                int weights = y * axis.Taps.Stride, taps = axis.Taps.Lengths[y], x = 0;
                byte* window = from + (long)axis.Taps.First[y] * sourceStride, result = to + (long)y * rowBytes;
                if (Avx2.IsSupported)
                {
                    for (; x + 16 <= rowBytes; x += 16)
                        Columns(window + x, sourceStride, taps, low + weights, high is null ? null : high + weights, axis.Bits).Store(result + x);
                }

                for (; x < rowBytes; x++)
                {
                    long sum = 1L << (axis.Bits - 1);
                    for (int k = 0; k < taps; k++) sum += (long)axis.Weights[weights + k] * window[(long)k * sourceStride + x];
                    result[x] = (byte)Math.Clamp(sum >> axis.Bits, 0, 255);
                }
            }
        }
    }

    // Four rows at once share the weights. Four taps a step: the lower half of a vector takes taps 0 and 1, the upper half 2 and 3, each channel
    // a 32-bit lane with its pair of taps.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Window<TWeights>(
        byte* window, int stride, int taps, int channels, Vector256<byte> arrange, short* low, short* high, int bits, byte* result, int resultStride, int bytes)
        where TWeights : struct
    {
        Vector256<byte> spread = WeightPairs;
        Vector256<int> low0 = Vector256<int>.Zero, low1 = low0, low2 = low0, low3 = low0, high0 = low0, high1 = low0, high2 = low0, high3 = low0;
        byte* row2 = window + 2 * (long)stride;
        for (int k = 0; k < taps; k += 4)
        {
            int at = k * channels;
            Vector256<short> weights = Avx2.Shuffle(Vector256.Create(*(ulong*)(low + k)).AsByte(), spread).AsInt16();
            Vector256<short> pixels0 = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(window + at), arrange).AsInt16();
            Vector256<short> pixels1 = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(window + stride + at), arrange).AsInt16();
            Vector256<short> pixels2 = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(row2 + at), arrange).AsInt16();
            Vector256<short> pixels3 = Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(row2 + stride + at), arrange).AsInt16();
            low0 += Avx2.MultiplyAddAdjacent(pixels0, weights);
            low1 += Avx2.MultiplyAddAdjacent(pixels1, weights);
            low2 += Avx2.MultiplyAddAdjacent(pixels2, weights);
            low3 += Avx2.MultiplyAddAdjacent(pixels3, weights);
            if (typeof(TWeights) == typeof(SixteenBit)) continue;
            weights = Avx2.Shuffle(Vector256.Create(*(ulong*)(high + k)).AsByte(), spread).AsInt16();
            high0 += Avx2.MultiplyAddAdjacent(pixels0, weights);
            high1 += Avx2.MultiplyAddAdjacent(pixels1, weights);
            high2 += Avx2.MultiplyAddAdjacent(pixels2, weights);
            high3 += Avx2.MultiplyAddAdjacent(pixels3, weights);
        }

        if (typeof(TWeights) == typeof(TwentyTwoBit))
        {
            low0 += high0 << LowBits;
            low1 += high1 << LowBits;
            low2 += high2 << LowBits;
            low3 += high3 << LowBits;
        }

        Vector128<int> round = Vector128.Create(1 << (bits - 1));
        Vector128<short> rows01 = Sse2.PackSignedSaturate((low0.GetLower() + low0.GetUpper() + round) >> bits, (low1.GetLower() + low1.GetUpper() + round) >> bits);
        Vector128<short> rows23 = Sse2.PackSignedSaturate((low2.GetLower() + low2.GetUpper() + round) >> bits, (low3.GetLower() + low3.GetUpper() + round) >> bits);
        Vector128<uint> rows = Sse2.PackUnsignedSaturate(rows01, rows23).AsUInt32();
        if (bytes == 4)
        {
            *(uint*)result = rows.GetElement(0);
            *(uint*)(result + resultStride) = rows.GetElement(1);
            *(uint*)(result + 2 * resultStride) = rows.GetElement(2);
            *(uint*)(result + 3 * resultStride) = rows.GetElement(3);
            return;
        }

        for (int r = 0; r < 4; r++)
        {
            uint pixel = rows.GetElement(r);
            for (int c = 0; c < bytes; c++) result[r * resultStride + c] = (byte)(pixel >> (8 * c));
        }
    }

    // Sixteen neighbouring bytes of every row of the window, two rows a step.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Columns(byte* window, int stride, int taps, short* low, short* high, int bits)
    {
        Vector256<int> round = Vector256.Create(1 << (bits - 1));
        Vector256<int> lowA = round, lowB = round, highA = Vector256<int>.Zero, highB = Vector256<int>.Zero;
        for (int k = 0; k < taps; k += 2)
        {
            byte* row = window + (long)k * stride;
            Vector256<short> even = Avx2.ConvertToVector256Int16(row);
            Vector256<short> odd = k + 1 < taps ? Avx2.ConvertToVector256Int16(row + stride) : Vector256<short>.Zero;
            Vector256<short> pairsA = Avx2.UnpackLow(even, odd), pairsB = Avx2.UnpackHigh(even, odd);
            Vector256<short> weights = Vector256.Create(*(int*)(low + k)).AsInt16();
            lowA += Avx2.MultiplyAddAdjacent(pairsA, weights);
            lowB += Avx2.MultiplyAddAdjacent(pairsB, weights);
            if (high is null) continue;
            weights = Vector256.Create(*(int*)(high + k)).AsInt16();
            highA += Avx2.MultiplyAddAdjacent(pairsA, weights);
            highB += Avx2.MultiplyAddAdjacent(pairsB, weights);
        }

        Vector256<short> shorts = Avx2.PackSignedSaturate(((highA << LowBits) + lowA) >> bits, ((highB << LowBits) + lowB) >> bits);
        return Sse2.PackUnsignedSaturate(shorts.GetLower(), shorts.GetUpper());
    }

    private static void ScalarWindow(byte* window, int taps, int channels, Axis axis, int weights, byte* result)
    {
        for (int c = 0; c < channels; c++)
        {
            long sum = 1L << (axis.Bits - 1);
            for (int k = 0; k < taps; k++) sum += (long)axis.Weights[weights + k] * window[k * channels + c];
            result[c] = (byte)Math.Clamp(sum >> axis.Bits, 0, 255);
        }
    }

    private static Axis Prepare(int from, int to, Interpolation interpolation, ResizeArithmetic arithmetic)
    {
        ResampleTaps taps = ResampleTaps.Build(from, to, interpolation, singlePrecision: false);
        int bits = arithmetic == ResizeArithmetic.Pillow ? PillowBits : Math.Max(1, taps.SixteenBitPrecision());
        int[] weights = taps.Quantize(bits);
        short[] low = new short[weights.Length];
        short[]? high = arithmetic == ResizeArithmetic.Pillow ? new short[weights.Length] : null;
        for (int i = 0; i < weights.Length; i++)
        {
            low[i] = (short)(high is null ? weights[i] : weights[i] & ((1 << LowBits) - 1));
            if (high is not null) high[i] = (short)(weights[i] >> LowBits);
        }

        return new Axis(taps, bits, weights, low, high);
    }

    private static readonly Vector256<byte>[] ChannelPairs = [.. Enumerable.Range(1, 4).Select(channels => Vector256.Create([.. Enumerable.Range(0, 32).Select(i =>
    {
        int tap = i / 16 * 2 + i % 4 / 2, channel = i % 16 / 4;
        return i % 2 == 0 && channel < channels ? (byte)(tap * channels + channel) : (byte)0x80; // 0x80: zero
    })]))];

    private static readonly Vector256<byte> WeightPairs = Vector256.Create([.. Enumerable.Range(0, 32).Select(i => (byte)(i / 16 * 4 + i % 4))]);

    // Marks the two forms of weights, so that each gets machine code of its own.
    private struct SixteenBit;

    private struct TwentyTwoBit;

    private sealed record Axis(ResampleTaps Taps, int Bits, int[] Weights, short[] Low, short[]? High);
}
