using System.Buffers;
using System.Runtime.Intrinsics;

namespace DinoSharp.Images;

/// <summary>The blur of the training augmentation: nine taps a side, reflected borders (the edge pixel is not repeated), fp32.</summary>
/// <remarks>
/// Two passes of nine taps in place of the original's one pass of 81: the same up to fp32 rounding, which turns one 8-bit level in far less than one pixel in a thousand.
/// </remarks>
public static class GaussianBlur
{
    private const int Taps = 9, Reach = Taps / 2;

    /// <summary>Blurs 8-bit pixels in place; the result is rounded half to even.</summary>
    /// <param name="pixels">[H, W, C].</param>
    /// <param name="width">W.</param>
    /// <param name="height">H.</param>
    /// <param name="channels">C, any number.</param>
    /// <param name="sigma">Standard deviation in pixels, above 0.</param>
    public static void Apply(Span<byte> pixels, int width, int height, int channels, float sigma)
    {
        int count = checked(width * height * channels);
        float[] rented = ArrayPool<float>.Shared.Rent(count);
        Span<float> values = rented.AsSpan(0, count);
        for (int i = 0; i < count; i++) values[i] = pixels[i];
        Apply(values, width, height, channels, sigma);
        for (int i = 0; i < count; i++) pixels[i] = (byte)MathF.Round(values[i]); // weights are positive and sum to 1: no value leaves 0 … 255
        ArrayPool<float>.Shared.Return(rented);
    }

    /// <summary>Blurs float pixels in place.</summary>
    /// <param name="pixels">[H, W, C].</param>
    /// <param name="width">W.</param>
    /// <param name="height">H.</param>
    /// <param name="channels">C, any number.</param>
    /// <param name="sigma">Standard deviation in pixels, above 0.</param>
    /// <exception cref="ArgumentException">A size that does not match, or a sigma that is not positive.</exception>
    public static void Apply(Span<float> pixels, int width, int height, int channels, float sigma)
    {
        if (!(sigma > 0)) throw new ArgumentException($"sigma must be above 0, not {sigma}", nameof(sigma));
        if (width < 1 || height < 1 || channels < 1 || pixels.Length != (long)width * height * channels)
            throw new ArgumentException($"{width}×{height}×{channels} does not match {pixels.Length} samples", nameof(pixels));
        float[] kernel = Kernel(sigma);
        int row = width * channels;
        float[] rented = ArrayPool<float>.Shared.Rent(checked(row * height)), line = new float[row + 2 * Reach * channels];
        Span<float> blurred = rented.AsSpan(0, row * height);
        for (int y = 0; y < height; y++)
        {
            ReadOnlySpan<float> source = pixels.Slice(y * row, row);
            source.CopyTo(line.AsSpan(Reach * channels));
            for (int x = -Reach; x < 0; x++) source.Slice(Reflect(x, width) * channels, channels).CopyTo(line.AsSpan((x + Reach) * channels));
            for (int x = width; x < width + Reach; x++) source.Slice(Reflect(x, width) * channels, channels).CopyTo(line.AsSpan((x + Reach) * channels));
            WeightedSum(line, k => k * channels, kernel, blurred.Slice(y * row, row));
        }

        for (int y = 0; y < height; y++)
        {
            int at = y;
            WeightedSum(blurred, k => Reflect(at + k - Reach, height) * row, kernel, pixels.Slice(y * row, row));
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    /// <summary>exp(−½(x/σ)²) at x = −4 … 4, normalised; computed in the original's fp32 steps.</summary>
    internal static float[] Kernel(float sigma)
    {
        // y = x/√2, as linspace gives it: counted from the nearer end.
        float end = (float)(Reach / Math.Sqrt(2)), step = (end + end) / (Taps - 1), sum = 0;
        float[] kernel = new float[Taps];
        for (int i = 0; i < Taps; i++)
        {
            float y = i < Taps / 2 ? -end + step * i : end - step * (Taps - 1 - i), t = y / sigma;
            sum += kernel[i] = MathF.Exp(-(t * t));
        }

        for (int i = 0; i < Taps; i++) kernel[i] /= sum;
        return kernel;
    }

    private static void WeightedSum(ReadOnlySpan<float> source, Func<int, int> offset, float[] kernel, Span<float> target)
    {
        Span<int> offsets = stackalloc int[Taps];
        for (int k = 0; k < Taps; k++) offsets[k] = offset(k);
        int i = 0;
        for (; i + 8 <= target.Length; i += 8)
        {
            Vector256<float> sum = Vector256<float>.Zero;
            for (int k = 0; k < Taps; k++) sum = Vector256.MultiplyAddEstimate(Vector256.Create(source.Slice(offsets[k] + i, 8)), Vector256.Create(kernel[k]), sum);
            sum.CopyTo(target[i..]);
        }

        for (; i < target.Length; i++)
        {
            float sum = 0;
            for (int k = 0; k < Taps; k++) sum += source[offsets[k] + i] * kernel[k];
            target[i] = sum;
        }
    }

    // Mirrors an index into 0 … length − 1 without repeating the edge; folds as often as a picture smaller than the reach needs.
    private static int Reflect(int index, int length)
    {
        if (length == 1) return 0;
        int period = 2 * (length - 1);
        index = Math.Abs(index) % period;
        return index < length ? index : period - index;
    }
}
