namespace DinoSharp.Images;

/// <summary>Resizing that picks pixels and mixes none: for label maps.</summary>
internal static class NearestResize
{
    public static void Run<T>(
        ReadOnlySpan<T> pixels, int width, int channels, PixelWindow window, Span<T> target, int targetWidth, int targetHeight, Interpolation interpolation)
        where T : unmanaged
    {
        int[] columns = Sources(window.Width, targetWidth, interpolation), rows = Sources(window.Height, targetHeight, interpolation);
        for (int y = 0; y < targetHeight; y++)
        {
            ReadOnlySpan<T> from = pixels[(((window.Top + rows[y]) * width + window.Left) * channels)..];
            Span<T> to = target.Slice(y * targetWidth * channels, targetWidth * channels);
            for (int x = 0; x < targetWidth; x++) from.Slice(columns[x] * channels, channels).CopyTo(to[(x * channels)..]);
        }
    }

    /// <summary>The source index of each new one. The ratio is fp32, as in PyTorch: at exact multiples it decides which neighbour wins.</summary>
    public static int[] Sources(int from, int to, Interpolation interpolation)
    {
        float scale = (float)from / to, shift = interpolation == Interpolation.NearestExact ? 0.5f : 0;
        int[] sources = new int[to];
        for (int o = 0; o < to; o++) sources[o] = Math.Min(from - 1, (int)((o + shift) * scale));
        return sources;
    }
}
