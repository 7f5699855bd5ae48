using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace DinoSharp.Images;

/// <summary>Antialiased resizing in fp32, reading bytes or floats. The order of the sums differs from PyTorch's, so results agree to a few units in the last place.</summary>
internal static unsafe class FloatResize
{
    public static void Run<T>(
        ReadOnlySpan<T> pixels, int width, int channels, PixelWindow window, Span<float> target, int targetWidth, int targetHeight, Interpolation interpolation)
        where T : unmanaged, INumberBase<T>
    {
        int rowLength = targetWidth * channels;
        float[] rented = ArrayPool<float>.Shared.Rent(checked(rowLength * window.Height));
        ReadOnlySpan<T> source = pixels[((window.Top * width + window.Left) * channels)..];
        if (interpolation is Interpolation.Nearest or Interpolation.NearestExact)
        {
            float[] all = new float[pixels.Length];
            for (int i = 0; i < all.Length; i++) all[i] = float.CreateTruncating(pixels[i]);
            NearestResize.Run<float>(all, width, channels, window, target, targetWidth, targetHeight, interpolation);
        }
        else
        {
            Horizontal(source, width * channels, window.Width, window.Height, channels, rented, targetWidth, interpolation);
            Vertical(rented, rowLength, window.Height, target, targetHeight, interpolation);
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    private static void Horizontal<T>(
        ReadOnlySpan<T> source, int sourceStride, int width, int height, int channels, Span<float> target, int targetWidth, Interpolation interpolation)
        where T : unmanaged, INumberBase<T>
    {
        ResampleTaps taps = ResampleTaps.Build(width, targetWidth, interpolation, singlePrecision: true);
        float[] allWeights = Single(taps);
        int targetStride = targetWidth * channels, y = 0;
        fixed (T* from = source)
        fixed (int* first = taps.First, lengths = taps.Lengths)
        fixed (float* to = target, weights = allWeights)
        {
            if (typeof(T) == typeof(byte) && Avx2.IsSupported && Fma.IsSupported && channels <= 4)
            {
                // A load takes 8 bytes; so many rows at the end of the picture may not have them behind their last window.
                int tail = Math.Min(height, (taps.Stride * channels + 8 + sourceStride - 1) / sourceStride);
                Vector128<byte> arrange = TwoPixels[channels - 1];
                for (; y + 4 <= height - tail; y += 4)
                {
                    byte* row = (byte*)from + (long)y * sourceStride;
                    float* result = to + (long)y * targetStride;
                    for (int x = 0; x < targetWidth; x++)
                    {
                        Window(row + first[x] * channels, sourceStride, lengths[x], channels, arrange, weights + x * taps.Stride, result + x * channels, targetStride, x * channels + 4 > targetStride);
                    }
                }
            }

            for (; y < height; y++)
            {
                for (int x = 0; x < targetWidth; x++)
                    ScalarWindow(from + (long)y * sourceStride + first[x] * channels, lengths[x], channels, weights + x * taps.Stride, to + (long)y * targetStride + x * channels);
            }
        }
    }

    // Four rows at once share the weights. Two taps a step, one in each half of the vector, each channel a lane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Window(
        byte* window, int stride, int taps, int channels, Vector128<byte> arrange, float* weights, float* result, int resultStride, bool last)
    {
        Vector256<int> spread = Vector256.Create(0, 0, 0, 0, 1, 1, 1, 1);
        Vector256<float> sum0 = Vector256<float>.Zero, sum1 = sum0, sum2 = sum0, sum3 = sum0;
        byte* row2 = window + 2 * (long)stride;
        for (int k = 0; k < taps; k += 2)
        {
            int at = k * channels;
            Vector256<float> weight = Avx.PermuteVar(Vector256.Create(*(double*)(weights + k)).AsSingle(), spread);
            sum0 = Fma.MultiplyAdd(Pixels(window + at, arrange), weight, sum0);
            sum1 = Fma.MultiplyAdd(Pixels(window + stride + at, arrange), weight, sum1);
            sum2 = Fma.MultiplyAdd(Pixels(row2 + at, arrange), weight, sum2);
            sum3 = Fma.MultiplyAdd(Pixels(row2 + stride + at, arrange), weight, sum3);
        }

        Put(sum0, result, channels, last);
        Put(sum1, result + resultStride, channels, last);
        Put(sum2, result + 2 * resultStride, channels, last);
        Put(sum3, result + 3 * resultStride, channels, last);
    }

    // A pixel is stored as 4 floats and its neighbours overwrite what is too much; the last of a row have no neighbours.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(Vector256<float> sum, float* to, int channels, bool last)
    {
        Vector128<float> pixel = sum.GetLower() + sum.GetUpper();
        if (!last) pixel.Store(to);
        else for (int c = 0; c < channels; c++) to[c] = pixel.GetElement(c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Pixels(byte* at, Vector128<byte> arrange) =>
        Avx.ConvertToVector256Single(Avx2.ConvertToVector256Int32(Ssse3.Shuffle(Vector128.CreateScalarUnsafe(*(ulong*)at).AsByte(), arrange)));

    private static void ScalarWindow<T>(T* window, int taps, int channels, float* weights, float* result)
        where T : unmanaged, INumberBase<T>
    {
        for (int c = 0; c < channels; c++)
        {
            float sum = 0;
            for (int k = 0; k < taps; k++) sum += weights[k] * float.CreateTruncating(window[k * channels + c]);
            result[c] = sum;
        }
    }

    private static void Vertical(ReadOnlySpan<float> source, int rowLength, int height, Span<float> target, int targetHeight, Interpolation interpolation)
    {
        ResampleTaps taps = ResampleTaps.Build(height, targetHeight, interpolation, singlePrecision: true);
        float[] allWeights = Single(taps);
        fixed (float* from = source, to = target, weights = allWeights)
        {
            for (int y = 0; y < targetHeight; y++)
            {
                float* window = from + (long)taps.First[y] * rowLength, result = to + (long)y * rowLength, w = weights + y * taps.Stride;
                int length = taps.Lengths[y], x = 0;
                for (; x + 16 <= rowLength; x += 16)
                {
                    Vector256<float> a = Vector256<float>.Zero, b = Vector256<float>.Zero;
                    for (int k = 0; k < length; k++)
                    {
                        Vector256<float> weight = Vector256.Create(w[k]);
                        a = Vector256.MultiplyAddEstimate(Vector256.Load(window + (long)k * rowLength + x), weight, a);
                        b = Vector256.MultiplyAddEstimate(Vector256.Load(window + (long)k * rowLength + x + 8), weight, b);
                    }

                    a.Store(result + x);
                    b.Store(result + x + 8);
                }

                for (; x < rowLength; x++)
                {
                    float sum = 0;
                    for (int k = 0; k < length; k++) sum += w[k] * window[(long)k * rowLength + x];
                    result[x] = sum;
                }
            }
        }
    }

    private static float[] Single(ResampleTaps taps)
    {
        float[] weights = new float[taps.Weights.Length];
        for (int i = 0; i < weights.Length; i++) weights[i] = (float)taps.Weights[i];
        return weights;
    }

    private static readonly Vector128<byte>[] TwoPixels = [.. Enumerable.Range(1, 4).Select(channels => Vector128.Create([.. Enumerable.Range(0, 16).Select(i =>
        i < 8 && i % 4 < channels ? (byte)(i / 4 * channels + i % 4) : (byte)0x80)]))];
}
