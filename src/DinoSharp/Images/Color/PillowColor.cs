namespace DinoSharp.Images;

/// <summary>
/// Colour operations on 8-bit pixels in place, exact to the last bit of Pillow's arithmetic: the colour distortions of self-supervised training.
/// Pixels are interleaved. Operations that need colour take RGB (3 channels) only; what they would mean for other bands is not defined.
/// </summary>
public static class PillowColor
{
    /// <summary>Blends with black: v → k·v, clipped.</summary>
    /// <param name="pixels">Any number of channels.</param>
    /// <param name="factor">k ≥ 0; 1 changes nothing.</param>
    public static void Brightness(Span<byte> pixels, float factor) => Apply(pixels, Blend(0, factor));

    /// <summary>Blends with the mean gray d of the whole picture: v → d + k·(v − d), clipped.</summary>
    /// <param name="pixels">RGB or gray pixels.</param>
    /// <param name="channels">3 or 1.</param>
    /// <param name="factor">k ≥ 0; 1 changes nothing.</param>
    /// <exception cref="ArgumentException">Another number of channels.</exception>
    public static void Contrast(Span<byte> pixels, int channels, float factor)
    {
        if (channels is not (1 or 3)) throw new ArgumentException($"contrast needs gray or RGB pixels, not {channels} channels", nameof(channels));
        if (pixels.Length < channels) return;
        long sum = 0;
        if (channels == 1) foreach (byte v in pixels) sum += v;
        else for (int i = 0; i + 2 < pixels.Length; i += 3) sum += Luminance(pixels[i], pixels[i + 1], pixels[i + 2]);
        Apply(pixels, Blend((int)((double)sum / (pixels.Length / channels) + 0.5), factor));
    }

    /// <summary>Blends each pixel with its own gray.</summary>
    /// <param name="rgb">RGB pixels.</param>
    /// <param name="factor">k ≥ 0; 0 gives gray, 1 changes nothing.</param>
    public static void Saturation(Span<byte> rgb, float factor)
    {
        for (int i = 0; i + 2 < rgb.Length; i += 3)
        {
            float gray = Luminance(rgb[i], rgb[i + 1], rgb[i + 2]);
            for (int c = 0; c < 3; c++)
            {
                float t = gray + factor * (rgb[i + c] - gray);
                rgb[i + c] = t <= 0 ? (byte)0 : t >= 255 ? (byte)255 : (byte)t;
            }
        }
    }

    /// <summary>Turns the hue, in 8-bit HSV.</summary>
    /// <param name="rgb">RGB pixels.</param>
    /// <param name="turn">−½ … ½ of the colour circle.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside of −½ … ½.</exception>
    public static void Hue(Span<byte> rgb, float turn)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Math.Abs(turn), 0.5f);
        HueTables.Turn(rgb, (byte)(int)(turn * 255.0));
    }

    /// <summary>Replaces each pixel by its gray.</summary>
    /// <param name="rgb">RGB pixels.</param>
    public static void Grayscale(Span<byte> rgb)
    {
        for (int i = 0; i + 2 < rgb.Length; i += 3) rgb[i] = rgb[i + 1] = rgb[i + 2] = Luminance(rgb[i], rgb[i + 1], rgb[i + 2]);
    }

    /// <summary>Inverts every sample from a threshold on.</summary>
    /// <param name="pixels">Any number of channels.</param>
    /// <param name="threshold">Samples of this value and above become 255 − v.</param>
    public static void Solarize(Span<byte> pixels, int threshold = 128)
    {
        foreach (ref byte v in pixels)
        {
            if (v >= threshold) v = (byte)(255 - v);
        }
    }

    /// <summary>Mirrors left and right.</summary>
    /// <param name="pixels">[H, W, C].</param>
    /// <param name="width">W.</param>
    /// <param name="channels">C.</param>
    public static void FlipHorizontal(Span<byte> pixels, int width, int channels)
    {
        int row = width * channels;
        for (int start = 0; start + row <= pixels.Length; start += row)
        {
            Span<byte> line = pixels.Slice(start, row);
            if (channels == 1)
            {
                line.Reverse();
                continue;
            }

            for (int a = 0, b = row - channels; a < b; a += channels, b -= channels)
            {
                for (int c = 0; c < channels; c++) (line[a + c], line[b + c]) = (line[b + c], line[a + c]);
            }
        }
    }

    // ITU-R 601 with 16 fractional bits.
    internal static byte Luminance(int r, int g, int b) => (byte)((19595 * r + 38470 * g + 7471 * b + 32768) >> 16);

    // fp32, product and sum each rounded; truncated, not rounded.
    private static byte[] Blend(int degenerate, float factor)
    {
        byte[] table = new byte[256];
        for (int v = 0; v < 256; v++)
        {
            float product = factor * (v - degenerate), t = degenerate + product;
            table[v] = t <= 0 ? (byte)0 : t >= 255 ? (byte)255 : (byte)t;
        }

        return table;
    }

    private static void Apply(Span<byte> pixels, byte[] table)
    {
        foreach (ref byte v in pixels) v = table[v];
    }
}
