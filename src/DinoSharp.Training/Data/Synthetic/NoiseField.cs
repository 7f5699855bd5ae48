using System.Numerics;
using System.Runtime.CompilerServices;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>A square of values in [0, 1] that repeats without seams, at all scales: each level halves the one before, so that distant surfaces do not flicker.</summary>
internal sealed class NoiseField
{
    private readonly float[][] _levels;
    private readonly int _size;

    /// <param name="values">size × size values; size is a power of two.</param>
    public NoiseField(float[] values)
    {
        _size = (int)Math.Sqrt(values.Length);
        var levels = new List<float[]> { values };
        for (int n = _size; n > 4; n /= 2) levels.Add(Halve(levels[^1], n));
        _levels = [.. levels];
    }

    /// <summary>The value at (u, v), where 1 is the period, averaged over about <paramref name="footprint"/> periods.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float Sample(float u, float v, float footprint)
    {
        // The exponent of the footprint in texels is the level to take.
        int level = Math.Clamp((int)((BitConverter.SingleToUInt32Bits(footprint * _size) >> 23) & 0xff) - 127, 0, _levels.Length - 1);
        float[] values = _levels[level];
        int size = _size >> level, mask = size - 1;
        float x = u * size, y = v * size;
        float fx = MathF.Floor(x), fy = MathF.Floor(y);
        int x0 = (int)fx & mask, y0 = ((int)fy & mask) * size, x1 = (x0 + 1) & mask, y1 = (y0 + size) & (size * size - 1);
        float ax = x - fx, ay = y - fy;
        float top = values[y0 + x0] + ax * (values[y0 + x1] - values[y0 + x0]);
        float bottom = values[y1 + x0] + ax * (values[y1 + x1] - values[y1 + x0]);
        return top + ay * (bottom - top);
    }

    /// <summary>A sum of Perlin noises (Perlin 1985, 2002) of doubling frequency and falling weight.</summary>
    /// <param name="size">Side, a power of two.</param>
    /// <param name="cells">Cells of the coarsest noise per period.</param>
    /// <param name="octaves">Number of noises.</param>
    /// <param name="gain">Weight of each noise relative to the one before.</param>
    /// <param name="fold">Applied to each noise, which is about −1 … 1: absolute values make creases.</param>
    /// <param name="random">Chooses the gradients.</param>
    public static NoiseField Perlin(int size, int cells, int octaves, float gain, Func<float, float> fold, TorchRandom random)
    {
        float[] sum = new float[size * size];
        float weight = 1;
        for (int o = 0; o < octaves && cells << o <= size / 2; o++, weight *= gain)
        {
            int n = cells << o;
            Vector2[] gradients = [.. Enumerable.Range(0, n * n).Select(_ => Direction(random.NextSingle()))];
            for (int y = 0; y < size; y++)
            {
                for (int x = 0; x < size; x++) sum[y * size + x] += weight * fold(1.4f * Gradient(gradients, n, (x + 0.5f) * n / size, (y + 0.5f) * n / size));
            }
        }

        return Equalized(sum);
    }

    /// <summary>Cellular noise (Worley 1996): what <paramref name="value"/> makes of the nearest distance, the second nearest, and the number of the cell.</summary>
    public static NoiseField Worley(int size, int cells, Func<float, float, float, float> value, bool equalize, TorchRandom random)
    {
        Vector2[] points = [.. Enumerable.Range(0, cells * cells).Select(_ => new Vector2(random.NextSingle(), random.NextSingle()))];
        float[] tones = [.. Enumerable.Range(0, cells * cells).Select(_ => random.NextSingle())];
        float[] values = new float[size * size];
        for (int i = 0; i < values.Length; i++)
        {
            float x = (i % size + 0.5f) * cells / size, y = (i / size + 0.5f) * cells / size;
            int cx = (int)x, cy = (int)y;
            float first = float.MaxValue, second = float.MaxValue, tone = 0;
            for (int dy = -1; dy <= 1; dy++)
            {
                for (int dx = -1; dx <= 1; dx++)
                {
                    int cell = (cy + dy + cells) % cells * cells + (cx + dx + cells) % cells;
                    float distance = Vector2.Distance(points[cell] + new Vector2(cx + dx, cy + dy), new Vector2(x, y));
                    if (distance < first) (second, first, tone) = (first, distance, tones[cell]);
                    else if (distance < second) second = distance;
                }
            }

            values[i] = Math.Clamp(value(first, second, tone), 0, 1);
        }

        return equalize ? Equalized(values) : new NoiseField(values);
    }

    /// <summary>The field looked up at places that another field displaces.</summary>
    public NoiseField Warped(NoiseField by, float strength)
    {
        float[] values = new float[_size * _size];
        for (int i = 0; i < values.Length; i++)
        {
            float u = (i % _size + 0.5f) / _size, v = (i / _size + 0.5f) / _size;
            values[i] = Sample(u + strength * (by.Sample(u, v, 0) - 0.5f), v + strength * (by.Sample(v + 0.37f, u, 0) - 0.5f), 0);
        }

        return new NoiseField(values);
    }

    private static Vector2 Direction(float turn) => new(MathF.Cos(turn * MathF.Tau), MathF.Sin(turn * MathF.Tau));

    private static float Gradient(Vector2[] gradients, int n, float x, float y)
    {
        int x0 = (int)x, y0 = (int)y, x1 = (x0 + 1) % n, y1 = (y0 + 1) % n;
        float ax = x - x0, ay = y - y0;
        (x0, y0) = (x0 % n, y0 % n);
        float top = Lerp(Vector2.Dot(gradients[y0 * n + x0], new(ax, ay)), Vector2.Dot(gradients[y0 * n + x1], new(ax - 1, ay)), ax);
        float bottom = Lerp(Vector2.Dot(gradients[y1 * n + x0], new(ax, ay - 1)), Vector2.Dot(gradients[y1 * n + x1], new(ax - 1, ay - 1)), ax);
        return Lerp(top, bottom, ay);

        static float Lerp(float a, float b, float t) => a + t * t * t * (t * (t * 6 - 15) + 10) * (b - a);
    }

    /// <summary>Replaces values by their ranks, so that every tone of a colour ramp covers the same area.</summary>
    private static NoiseField Equalized(float[] values)
    {
        int[] order = [.. Enumerable.Range(0, values.Length)];
        float[] keys = [.. values];
        Array.Sort(keys, order);
        for (int rank = 0; rank < order.Length; rank++) values[order[rank]] = (rank + 0.5f) / order.Length;
        return new NoiseField(values);
    }

    private static float[] Halve(float[] values, int size)
    {
        int half = size / 2;
        float[] result = new float[half * half];
        for (int y = 0; y < half; y++)
        {
            for (int x = 0; x < half; x++)
            {
                int i = 2 * y * size + 2 * x;
                result[y * half + x] = (values[i] + values[i + 1] + values[i + size] + values[i + size + 1]) / 4;
            }
        }

        return result;
    }
}
