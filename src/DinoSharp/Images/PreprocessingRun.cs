using System.Buffers;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace DinoSharp.Images;

/// <summary>One picture on its way through <see cref="Preprocessing"/>: bands → resize → cut or pad → normalise → tensor.</summary>
internal sealed class PreprocessingRun
{
    private readonly Preprocessing _how;
    private readonly ImageBuffer _image;
    private readonly int _channels, _resizedWidth, _resizedHeight;
    private readonly PixelWindow _cut;
    private readonly bool _integers;

    public PreprocessingRun(Preprocessing how, ImageBuffer image, ImageReadOptions options)
    {
        _how = how;
        _channels = how.Normalization.Channels;
        // Plan before converting: an illegal size is told before any work.
        (_resizedWidth, _resizedHeight, _cut) = how.Plan(image.Width, image.Height, image.Info.Name);
        _image = _channels == 3 ? image.ToRgb8(options.Range, options.Bands) : BandConversion.Select(image, _channels, options.Range, options.Bands);
        _integers = _image.SampleType == SampleType.UInt8 && how.Order != ResizeOrder.ScaleThenResize;
    }

    public ImageTensor Run()
    {
        int count = checked(_resizedWidth * _resizedHeight * _channels);
        Tensor tensor = empty([_channels, _cut.Height, _cut.Width], float32).DetachFromDisposeScope(); // [C, H, W]; owned by the result
        Span<float> result = MemoryMarshal.Cast<byte, float>(tensor.bytes);
        var window = new PixelWindow(0, 0, _image.Width, _image.Height);
        if (_integers)
        {
            byte[] rented = ArrayPool<byte>.Shared.Rent(count);
            ResizeArithmetic arithmetic = _how.Order == ResizeOrder.PillowThenScale ? ResizeArithmetic.Pillow : ResizeArithmetic.Tensor;
            Resize.UInt8(_image.Bytes, _image.Width, _image.Height, _channels, window, rented, _resizedWidth, _resizedHeight, _how.Interpolation, arithmetic);
            Normalize(rented, result);
            ArrayPool<byte>.Shared.Return(rented);
        }
        else
        {
            float[] rented = ArrayPool<float>.Shared.Rent(count);
            bool bytes = _image.SampleType == SampleType.UInt8;
            if (bytes) Resize.Float(_image.Bytes, _image.Width, _image.Height, _channels, window, rented, _resizedWidth, _resizedHeight, _how.Interpolation);
            else Resize.Float(_image.Samples<float>(), _image.Width, _image.Height, _channels, window, rented, _resizedWidth, _resizedHeight, _how.Interpolation);
            Normalize(rented, result, bytes ? 1f / 255 : 1);
            ArrayPool<float>.Shared.Return(rented);
        }

        double scaleX = (double)_image.Width / _resizedWidth, scaleY = (double)_image.Height / _resizedHeight;
        var geometry = new ImageGeometry(_image.Width, _image.Height, _cut.Width, _cut.Height, scaleX, scaleY, _cut.Left * scaleX, _cut.Top * scaleY);
        return new ImageTensor(tensor, _how.Normalization, geometry, _image.Info.Name);
    }

    // v · fp32(1/255), − mean, / std, each rounded to fp32: the original's last bit.
    private static float Normalized(float value, float scale, float mean, float std) => (value * scale - mean) / std;

    private void Normalize(ReadOnlySpan<byte> resized, Span<float> result)
    {
        float[] table = new float[256];
        for (int c = 0; c < _channels; c++)
        {
            float mean = _how.Normalization.Mean[c], std = _how.Normalization.Std[c];
            for (int v = 0; v < 256; v++) table[v] = Normalized(v, 1f / 255, mean, std);
            for (int y = 0; y < _cut.Height; y++)
            {
                Span<float> row = Row(result, c, y, table[0], out int start, out int from, out int count);
                for (int x = 0; x < count; x++) row[start + x] = table[resized[from + x * _channels]];
            }
        }
    }

    private void Normalize(ReadOnlySpan<float> resized, Span<float> result, float scale)
    {
        for (int c = 0; c < _channels; c++)
        {
            float mean = _how.Normalization.Mean[c], std = _how.Normalization.Std[c];
            for (int y = 0; y < _cut.Height; y++)
            {
                Span<float> row = Row(result, c, y, Normalized(0, scale, mean, std), out int start, out int from, out int count);
                for (int x = 0; x < count; x++) row[start + x] = Normalized(resized[from + x * _channels], scale, mean, std);
            }
        }
    }

    // One row of one channel of the result, filled with black where the cut lies outside of the picture.
    private Span<float> Row(Span<float> result, int channel, int y, float black, out int start, out int from, out int count)
    {
        Span<float> row = result.Slice((channel * _cut.Height + y) * _cut.Width, _cut.Width);
        int sourceY = _cut.Top + y;
        start = Math.Max(0, -_cut.Left);
        int left = Math.Max(0, _cut.Left);
        count = sourceY < 0 || sourceY >= _resizedHeight ? 0 : Math.Min(_cut.Width - start, _resizedWidth - left);
        from = count == 0 ? 0 : (sourceY * _resizedWidth + left) * _channels + channel;
        if (count < row.Length) row.Fill(black);
        return row;
    }
}
