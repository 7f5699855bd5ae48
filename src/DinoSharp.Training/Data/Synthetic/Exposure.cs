using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>From linear light to 8 bit as a camera does it: automatic exposure, vignette, tone curve, sRGB, sensor noise.</summary>
internal static class Exposure
{
    private const int CurveLength = 4096;
    private const float CurveEnd = 4;

    // Light to 8-bit level times 256: straight at first, rolled off to white, then the sRGB curve.
    private static readonly ushort[] Curve = [.. Enumerable.Range(0, CurveLength).Select(i => ToneCurve((i + 0.5f) / CurveLength * CurveEnd))];

    public static byte[] Develop(Vector3[] light, int width, int height, Sensor sensor)
    {
        Vector3 sum = Vector3.Zero;
        foreach (Vector3 value in light) sum += Vector3.Min(value, new Vector3(2));
        float mean = MathF.Max(1e-4f, (sum.X + sum.Y + sum.Z) / (3 * light.Length));
        Vector3 gain = sensor.Tint * Math.Clamp(sensor.MeanTone / mean, 0.25f, 8) * (CurveLength / CurveEnd);
        byte[] rgb = new byte[3 * light.Length];
        uint state = sensor.NoiseSeed | 1;
        int noise = (int)(sensor.Noise * 256 * 2.45f); // a difference of two uniform numbers has a deviation of 1/√6
        float inverse = 4f / (width * width + height * height);
        for (int y = 0, at = 0; y < height; y++)
        {
            float dy = y + 0.5f - height / 2f;
            for (int x = 0; x < width; x++, at++)
            {
                float dx = x + 0.5f - width / 2f;
                Vector3 value = Vector3.Clamp(light[at] * gain * (1 - sensor.Vignette * (dx * dx + dy * dy) * inverse), Vector3.Zero, new Vector3(CurveLength - 1));
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                rgb[3 * at] = Level(value.X, (int)(state & 0xff) - (int)((state >> 8) & 0xff), noise);
                rgb[3 * at + 1] = Level(value.Y, (int)((state >> 8) & 0xff) - (int)((state >> 16) & 0xff), noise);
                rgb[3 * at + 2] = Level(value.Z, (int)((state >> 16) & 0xff) - (int)(state >> 24), noise);
            }
        }

        return rgb;
    }

    private static byte Level(float value, int difference, int noise) => (byte)Math.Clamp((Curve[(int)value] + (difference * noise >> 8) + 128) >> 8, 0, 255);

    private static ushort ToneCurve(float light)
    {
        float rolled = light < 0.6f ? light : 1 - 0.4f * MathF.Exp(-(light - 0.6f) / 0.4f);
        float seen = rolled <= 0.0031308f ? 12.92f * rolled : 1.055f * MathF.Pow(rolled, 1 / 2.4f) - 0.055f;
        return (ushort)Math.Clamp(seen * 255 * 256, 0, 255 * 256);
    }
}
