using System.Numerics;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Fractals as textures: iterated function systems (Barnsley 1988; used for pretraining by Kataoka et al. 2020) and Julia sets.</summary>
internal static class FractalField
{
    private const int Size = 128;
    private const int Points = 30_000;

    // Fractals that cover less than this share of their square show next to nothing.
    private const float LeastCover = 0.12f;

    public static NoiseField Draw(TorchRandom random)
    {
        if (random.NextSingle() < 0.3f) return Julia(random);
        float[] best = [];
        for (int attempt = 0; attempt < 6; attempt++)
        {
            best = IteratedFunctions(random);
            if (best.Count(v => v > 0) > LeastCover * best.Length) break;
        }

        return new NoiseField(best);
    }

    /// <summary>Where a point lands that jumps by one of a few random contractions at a time, as log density.</summary>
    private static float[] IteratedFunctions(TorchRandom random)
    {
        int maps = (int)random.Integer(2, 6);
        var map = new (Vector2 X, Vector2 Y, Vector2 Shift, float Weight)[maps];
        float total = 0;
        for (int i = 0; i < maps; i++)
        {
            float turn = random.Uniform(0, MathF.Tau), skew = turn + random.Uniform(-0.6f, 0.6f), a = random.Uniform(0.3f, 0.85f), b = random.Uniform(0.2f, 0.8f);
            map[i] = (a * new Vector2(MathF.Cos(turn), MathF.Sin(turn)), b * new Vector2(-MathF.Sin(skew), MathF.Cos(skew)),
                new Vector2(random.Uniform(-1, 1), random.Uniform(-1, 1)), total += a * b);
        }

        var points = new Vector2[Points];
        Vector2 p = Vector2.Zero, low = new(float.MaxValue), high = new(float.MinValue);
        for (int i = -20; i < Points; i++)
        {
            float pick = random.NextSingle() * total;
            int m = 0;
            while (m < maps - 1 && map[m].Weight < pick) m++;
            p = map[m].X * p.X + map[m].Y * p.Y + map[m].Shift;
            if (i < 0) continue;
            points[i] = p;
            (low, high) = (Vector2.Min(low, p), Vector2.Max(high, p));
        }

        float[] density = new float[Size * Size];
        Vector2 scale = new Vector2(Size - 1) / Vector2.Max(high - low, new Vector2(1e-3f));
        foreach (Vector2 point in points)
        {
            Vector2 at = (point - low) * scale;
            density[(int)at.Y * Size + (int)at.X]++;
        }

        float most = MathF.Log(1 + density.Max() * 0.3f);
        for (int i = 0; i < density.Length; i++) density[i] = MathF.Min(1, MathF.Log(1 + density[i]) / most);
        return density;
    }

    /// <summary>How long z² + c stays near, for a c whose set is full of detail (just outside the main cardioid).</summary>
    private static NoiseField Julia(TorchRandom random)
    {
        const int Most = 48;
        (float sin, float cos) = MathF.SinCos(random.Uniform(0, MathF.Tau));
        float swell = random.Uniform(1.02f, 1.12f);
        float cx = swell * (cos / 2 - (2 * cos * cos - 1) / 4), cy = swell * (sin / 2 - sin * cos / 2), span = random.Uniform(1.1f, 1.6f);
        float[] values = new float[Size * Size];
        for (int i = 0; i < values.Length / 2; i++)
        {
            float x = ((i % Size) * 2f / Size - 1) * span, y = ((i / Size) * 2f / Size - 1) * span;
            int n = 0;
            for (; n < Most && x * x + y * y < 16; n++) (x, y) = (x * x - y * y + cx, 2 * x * y + cy);
            float smooth = n == Most ? Most : n + 1 - MathF.Log2(MathF.Log2(x * x + y * y) / 4 + 1);
            values[i] = values[values.Length - 1 - i] = Math.Clamp(MathF.Sqrt(smooth / Most), 0, 1); // point symmetric
        }

        return new NoiseField(values);
    }
}
