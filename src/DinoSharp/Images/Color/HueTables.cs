namespace DinoSharp.Images;

/// <summary>
/// RGB → HSV → RGB in 8 bit as Pillow does. Its hue mixes fp32 and fp64; it depends only on which channel is largest and smallest, their difference
/// and the middle one, so every possible value is worked out once, exactly, instead of for every pixel.
/// </summary>
internal static class HueTables
{
    // [order of the channels, D = max − min, max − middle]
    private static readonly byte[] Hues = MakeHues();

    // [max, D]
    private static readonly byte[] Saturations = MakeSaturations();

    private static readonly (int Sextant, double Fraction)[] Wheel = [.. Enumerable.Range(0, 256).Select(h => ((int)(h * 6.0 / 255.0), h * 6.0 / 255.0 - (int)(h * 6.0 / 255.0)))];

    /// <summary>Adds <paramref name="shift"/> to the hue of each pixel, modulo 256.</summary>
    public static void Turn(Span<byte> rgb, byte shift)
    {
        ReadOnlySpan<byte> hues = Hues, saturations = Saturations;
        ReadOnlySpan<(int Sextant, double Fraction)> wheel = Wheel;
        for (int i = 0; i + 2 < rgb.Length; i += 3)
        {
            int r = rgb[i], g = rgb[i + 1], b = rgb[i + 2];
            int max = Math.Max(r, Math.Max(g, b)), min = Math.Min(r, Math.Min(g, b)), range = max - min;
            int saturation = saturations[max << 8 | range];
            if (saturation == 0)
            {
                rgb[i] = rgb[i + 1] = rgb[i + 2] = (byte)max;
                continue;
            }

            int order = r == max ? (g == min ? 0 : 1) : g == max ? (r == min ? 2 : 3) : (r == min ? 4 : 5);
            int below = max - (r + g + b - max - min);
            (int sextant, double f) = wheel[(byte)(hues[order << 16 | range << 8 | below] + shift)];

            double u = saturation / 255.0;
            byte v = (byte)max, p = Round(max * (1 - u));
            byte x = (sextant & 1) == 0 ? Round(max * (1 - u * (1 - f))) : Round(max * (1 - u * f)); // t or q
            (rgb[i], rgb[i + 1], rgb[i + 2]) = sextant switch
            {
                0 or 6 => (v, x, p),
                1 => (x, v, p),
                2 => (p, v, x),
                3 => (p, x, v),
                4 => (x, p, v),
                _ => (v, p, x),
            };
        }
    }

    private static byte Round(double value) => (byte)Math.Clamp((int)(value + 0.5), 0, 255);

    private static byte[] MakeHues()
    {
        byte[] hues = new byte[6 << 16];
        for (int order = 0; order < 6; order++)
        {
            for (int range = 1; range < 256; range++)
            {
                for (int below = 0; below <= range; below++)
                {
                    float middle = (float)below / range;
                    // The smallest channel has (max − min)/D = 1.
                    float h = order switch
                    {
                        0 => middle - 1,
                        1 => 1 - middle,
                        2 => (float)(2.0 + 1.0 - middle),
                        3 => (float)(2.0 + middle - 1.0),
                        4 => (float)(4.0 + middle - 1.0),
                        _ => (float)(4.0 + 1.0 - middle),
                    };
                    h = (float)((h / 6.0 + 1.0) % 1.0);
                    hues[order << 16 | range << 8 | below] = (byte)(int)(255.0 * h);
                }
            }
        }

        return hues;
    }

    private static byte[] MakeSaturations()
    {
        byte[] saturations = new byte[1 << 16];
        for (int max = 1; max < 256; max++)
        {
            for (int range = 0; range <= max; range++) saturations[max << 8 | range] = (byte)(int)(255.0 * ((float)range / max));
        }

        return saturations;
    }
}
