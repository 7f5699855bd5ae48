using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>A patch map enlarged to pixels by cubic interpolation through the patch centres (Catmull-Rom), placed as its geometry says. Rows are made one at a time.</summary>
internal sealed class PatchUpsampling
{
    private const int Taps = 4;

    private readonly PatchMap _map;
    private readonly int _width;
    private readonly int _height;
    private readonly (int[] Index, float[] Weight) _horizontal;
    private readonly (int[] Index, float[] Weight) _vertical;

    /// <summary>Turns the interpolated vector of one pixel into a colour.</summary>
    public delegate void Painter(ReadOnlySpan<float> vector, Span<byte> rgb);

    /// <param name="map">What to enlarge; few channels.</param>
    /// <param name="width">Width that the whole picture (not only the part under the grid) has in the result.</param>
    /// <param name="height">Height of the result.</param>
    public PatchUpsampling(PatchMap map, int width, int height)
    {
        (_map, _width, _height) = (map, width, height);
        PatchGeometry g = map.Geometry;
        _horizontal = Weights(map.Width, width, g.Left / g.ImageWidth, g.Width / g.ImageWidth);
        _vertical = Weights(map.Height, height, g.Top / g.ImageHeight, g.Height / g.ImageHeight);
    }

    /// <summary>Paints every pixel; with a mask (0 … 1, one channel) the background becomes black.</summary>
    public ImageBuffer ToPicture(Painter paint, PatchUpsampling? mask = null)
    {
        byte[] pixels = GC.AllocateUninitializedArray<byte>(checked(_width * _height * 3));
        Parallel.For(0, _height, () => (Row: new float[_width * _map.Dim], Column: new float[_map.Width * _map.Dim], Mask: new float[_width], MaskColumn: new float[mask?._map.Width ?? 0]), (y, _, buffers) =>
        {
            Row(y, buffers.Column, buffers.Row);
            mask?.Row(y, buffers.MaskColumn, buffers.Mask);
            for (int x = 0; x < _width; x++)
            {
                Span<byte> rgb = pixels.AsSpan(((y * _width) + x) * 3, 3);
                paint(buffers.Row.AsSpan(x * _map.Dim, _map.Dim), rgb);
                if (mask is null) continue;

                // The contour runs where the mask crosses one half; the steep ramp smooths its edge.
                float keep = Math.Clamp(((buffers.Mask[x] - 0.5f) * 8) + 0.5f, 0, 1);
                for (int c = 0; c < 3; c++) rgb[c] = (byte)((rgb[c] * keep) + 0.5f);
            }

            return buffers;
        }, _ => { });
        return ImageBuffer.FromSamples<byte>(_width, _height, 3, pixels);
    }

    /// <summary>The vectors of one row of pixels. [W, D]</summary>
    public float[] Row(int y)
    {
        float[] row = new float[_width * _map.Dim];
        Row(y, new float[_map.Width * _map.Dim], row);
        return row;
    }

    /// <summary>The interpolated vector of every pixel, [H, W, D].</summary>
    public float[] ToPixels()
    {
        float[] pixels = GC.AllocateUninitializedArray<float>(checked(_width * _height * _map.Dim));
        Parallel.For(0, _height, () => (Row: new float[_width * _map.Dim], Column: new float[_map.Width * _map.Dim]), (y, _, buffers) =>
        {
            Row(y, buffers.Column, buffers.Row);
            buffers.Row.CopyTo(pixels, y * buffers.Row.Length);
            return buffers;
        }, _ => { });
        return pixels;
    }

    private void Row(int y, float[] column, float[] row)
    {
        int dim = _map.Dim, stride = _map.Width * dim;
        ReadOnlySpan<float> values = _map.Values;
        Array.Clear(column);
        for (int tap = 0; tap < Taps; tap++)
        {
            float weight = _vertical.Weight[(y * Taps) + tap];
            ReadOnlySpan<float> source = values.Slice(_vertical.Index[(y * Taps) + tap] * stride, stride);
            for (int i = 0; i < stride; i++) column[i] += weight * source[i];
        }

        Array.Clear(row);
        for (int x = 0; x < _width; x++)
        {
            for (int tap = 0; tap < Taps; tap++)
            {
                float weight = _horizontal.Weight[(x * Taps) + tap];
                int from = _horizontal.Index[(x * Taps) + tap] * dim;
                for (int c = 0; c < dim; c++) row[(x * dim) + c] += weight * column[from + c];
            }
        }
    }

    private static (int[] Index, float[] Weight) Weights(int patches, int pixels, double start, double length)
    {
        int[] index = new int[pixels * Taps];
        float[] weight = new float[pixels * Taps];
        for (int i = 0; i < pixels; i++)
        {
            double position = (((i + 0.5) / pixels) - start) / length * patches - 0.5; // in patches, 0 = centre of the first
            position = Math.Clamp(position, -0.5, patches - 0.5);
            int first = (int)Math.Floor(position);
            double t = position - first;
            double[] w = [((-t + 2) * t - 1) * t / 2, (((3 * t - 5) * t * t) + 2) / 2, ((-3 * t + 4) * t + 1) * t / 2, (t - 1) * t * t / 2];
            for (int tap = 0; tap < Taps; tap++)
            {
                index[(i * Taps) + tap] = Math.Clamp(first - 1 + tap, 0, patches - 1);
                weight[(i * Taps) + tap] = (float)w[tap];
            }
        }

        return (index, weight);
    }
}
