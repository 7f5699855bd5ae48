using System.Buffers;

namespace DinoSharp.Images;

/// <summary>
/// Resizing of interleaved pixels, exact to the last bit of the original's arithmetic. Antialiased when scaling down. A window is cut out first:
/// pixels outside it never contribute. One call uses one thread; calls are independent.
/// </summary>
public static class Resize
{
    /// <summary>Resizes 8-bit pixels: horizontally, then vertically, with an 8-bit result in between.</summary>
    /// <param name="pixels">The picture, [H, W, C].</param>
    /// <param name="width">Its width W.</param>
    /// <param name="height">Its height H.</param>
    /// <param name="channels">Its channels C.</param>
    /// <param name="window">The part to use; where it reaches beyond the picture it is black.</param>
    /// <param name="target">The result, [targetHeight, targetWidth, C].</param>
    /// <param name="targetWidth">New width.</param>
    /// <param name="targetHeight">New height.</param>
    /// <param name="interpolation">How.</param>
    /// <param name="arithmetic">Which exact 8-bit form; of no account for the nearest kinds.</param>
    /// <exception cref="ArgumentException">A size is not positive, or a span is too short.</exception>
    public static void UInt8(
        ReadOnlySpan<byte> pixels, int width, int height, int channels, PixelWindow window,
        Span<byte> target, int targetWidth, int targetHeight, Interpolation interpolation, ResizeArithmetic arithmetic)
    {
        Check(pixels.Length, width, height, channels, window, target.Length, targetWidth, targetHeight);
        if (!Inside(window, width, height))
        {
            ReadOnlySpan<byte> cut = CutOut(pixels, width, height, channels, window);
            UInt8(cut, window.Width, window.Height, channels, window with { Left = 0, Top = 0 }, target, targetWidth, targetHeight, interpolation, arithmetic);
            return;
        }

        if (interpolation is Interpolation.Nearest or Interpolation.NearestExact)
        {
            NearestResize.Run(pixels, width, channels, window, target, targetWidth, targetHeight, interpolation);
            return;
        }

        int start = (window.Top * width + window.Left) * channels, rowBytes = width * channels;
        ReadOnlySpan<byte> source = pixels.Slice(start, (window.Height - 1) * rowBytes + window.Width * channels);
        bool horizontal = targetWidth != window.Width, vertical = targetHeight != window.Height;
        if (!vertical)
        {
            if (horizontal) UInt8Resize.Horizontal(source, rowBytes, window.Width, window.Height, channels, target, targetWidth, interpolation, arithmetic);
            else CopyRows(source, rowBytes, window.Width * channels, target);
            return;
        }

        if (!horizontal)
        {
            UInt8Resize.Vertical(source, rowBytes, window.Width * channels, window.Height, target, targetHeight, interpolation, arithmetic);
            return;
        }

        int between = targetWidth * channels;
        byte[] rented = ArrayPool<byte>.Shared.Rent(checked(between * window.Height));
        Span<byte> middle = rented.AsSpan(0, between * window.Height);
        UInt8Resize.Horizontal(source, rowBytes, window.Width, window.Height, channels, middle, targetWidth, interpolation, arithmetic);
        UInt8Resize.Vertical(middle, between, between, window.Height, target, targetHeight, interpolation, arithmetic);
        ArrayPool<byte>.Shared.Return(rented);
    }

    /// <summary>
    /// Resizes 8-bit pixels in float: windows and weights as for float tensors, no rounding and no clipping, so that values may leave 0 … 255.
    /// </summary>
    /// <param name="pixels">The picture, [H, W, C].</param>
    /// <param name="width">Its width W.</param>
    /// <param name="height">Its height H.</param>
    /// <param name="channels">Its channels C.</param>
    /// <param name="window">The part to use; where it reaches beyond the picture it is black.</param>
    /// <param name="target">The result, [targetHeight, targetWidth, C].</param>
    /// <param name="targetWidth">New width.</param>
    /// <param name="targetHeight">New height.</param>
    /// <param name="interpolation">How.</param>
    /// <exception cref="ArgumentException">A size is not positive, or a span is too short.</exception>
    public static void Float(
        ReadOnlySpan<byte> pixels, int width, int height, int channels, PixelWindow window,
        Span<float> target, int targetWidth, int targetHeight, Interpolation interpolation)
    {
        Check(pixels.Length, width, height, channels, window, target.Length, targetWidth, targetHeight);
        if (Inside(window, width, height)) FloatResize.Run(pixels, width, channels, window, target, targetWidth, targetHeight, interpolation);
        else FloatResize.Run(CutOut(pixels, width, height, channels, window), window.Width, channels, window with { Left = 0, Top = 0 }, target, targetWidth, targetHeight, interpolation);
    }

    /// <summary>Resizes float pixels; otherwise like the 8-bit form.</summary>
    /// <param name="pixels">The picture, [H, W, C]. A sample that is not finite spreads over its neighbourhood.</param>
    /// <param name="width">Its width W.</param>
    /// <param name="height">Its height H.</param>
    /// <param name="channels">Its channels C.</param>
    /// <param name="window">The part to use; where it reaches beyond the picture it is black.</param>
    /// <param name="target">The result, [targetHeight, targetWidth, C].</param>
    /// <param name="targetWidth">New width.</param>
    /// <param name="targetHeight">New height.</param>
    /// <param name="interpolation">How.</param>
    /// <exception cref="ArgumentException">A size is not positive, or a span is too short.</exception>
    public static void Float(
        ReadOnlySpan<float> pixels, int width, int height, int channels, PixelWindow window,
        Span<float> target, int targetWidth, int targetHeight, Interpolation interpolation)
    {
        Check(pixels.Length, width, height, channels, window, target.Length, targetWidth, targetHeight);
        if (Inside(window, width, height)) FloatResize.Run(pixels, width, channels, window, target, targetWidth, targetHeight, interpolation);
        else FloatResize.Run(CutOut(pixels, width, height, channels, window), window.Width, channels, window with { Left = 0, Top = 0 }, target, targetWidth, targetHeight, interpolation);
    }

    private static void CopyRows(ReadOnlySpan<byte> source, int rowBytes, int bytes, Span<byte> target)
    {
        for (int from = 0, to = 0; from < source.Length; from += rowBytes, to += bytes) source.Slice(from, bytes).CopyTo(target[to..]);
    }

    private static bool Inside(PixelWindow window, int width, int height) =>
        window.Left >= 0 && window.Top >= 0 && window.Left <= width - window.Width && window.Top <= height - window.Height;

    private static T[] CutOut<T>(ReadOnlySpan<T> pixels, int width, int height, int channels, PixelWindow window)
        where T : unmanaged
    {
        T[] cut = new T[checked(window.Width * window.Height * channels)];
        int left = Math.Clamp(window.Left, 0, width), right = (int)Math.Clamp((long)window.Left + window.Width, 0, width);
        for (int y = 0; y < window.Height; y++)
        {
            long row = (long)window.Top + y;
            if (row < 0 || row >= height || right <= left) continue;
            pixels.Slice(((int)row * width + left) * channels, (right - left) * channels).CopyTo(cut.AsSpan((y * window.Width + left - window.Left) * channels));
        }

        return cut;
    }

    private static void Check(int pixels, int width, int height, int channels, PixelWindow window, int target, int targetWidth, int targetHeight)
    {
        if (width < 1 || height < 1 || channels < 1 || targetWidth < 1 || targetHeight < 1)
            throw new ArgumentException($"sizes must be positive, not {width}×{height}×{channels} → {targetWidth}×{targetHeight}");
        if (window.Width < 1 || window.Height < 1) throw new ArgumentException($"the window {window} is empty");
        if (pixels < (long)width * height * channels) throw new ArgumentException($"{width}×{height}×{channels} pixels need more than {pixels} samples");
        if (target < (long)targetWidth * targetHeight * channels) throw new ArgumentException($"{targetWidth}×{targetHeight}×{channels} target pixels need more than {target} samples");
    }
}
