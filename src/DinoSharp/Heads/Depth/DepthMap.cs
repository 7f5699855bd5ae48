using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Heads.Depth;

/// <summary>Metres at every pixel of a picture: distance from the camera, or of a canopy model the height above ground. Plain memory.</summary>
public sealed class DepthMap
{
    private readonly float[] _meters;

    /// <summary>Wraps values that stay as they are from here on.</summary>
    /// <param name="width">Width in pixels.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="meters">One value per pixel, row-major; not copied.</param>
    /// <exception cref="ArgumentException">The count does not match the size.</exception>
    public DepthMap(int width, int height, float[] meters)
    {
        if (meters.Length != (long)width * height) throw new ArgumentException($"{width}x{height} pixels need {(long)width * height} values, not {meters.Length}", nameof(meters));
        (Width, Height, _meters) = (width, height, meters);
    }

    /// <summary>Width in pixels.</summary>
    public int Width { get; }

    /// <summary>Height in pixels.</summary>
    public int Height { get; }

    /// <summary>Metres, [H, W].</summary>
    public ReadOnlySpan<float> Meters => _meters;

    /// <summary>Smallest and largest value.</summary>
    public ValueRange Range => new(_meters.Min(), _meters.Max());

    /// <summary>Metres at a pixel.</summary>
    /// <param name="x">Column, 0 to width - 1.</param>
    /// <param name="y">Row, 0 to height - 1.</param>
    public float this[int x, int y] => (uint)x < (uint)Width && (uint)y < (uint)Height
        ? _meters[(y * Width) + x]
        : throw new ArgumentOutOfRangeException(nameof(x), $"the pixel {x},{y} is outside of {Width}x{Height} pixels");

    /// <summary>The map in the colours of viridis, dark blue the smallest and yellow the largest.</summary>
    /// <param name="range">Metres that become the ends of the colours; null: <see cref="Range"/>.</param>
    public ImageBuffer ToImage(ValueRange? range = null)
    {
        ValueRange ends = range ?? Range;
        byte[] pixels = new byte[_meters.Length * 3];
        for (int i = 0; i < _meters.Length; i++) ColorScale.Viridis((_meters[i] - ends.Low) / (ends.High - ends.Low), pixels.AsSpan(i * 3, 3));
        return ImageBuffer.FromSamples<byte>(Width, Height, 3, pixels);
    }

    /// <summary>Whole steps as a 16-bit gray picture, the form in which depth data sets are kept.</summary>
    /// <param name="metersPerStep">Metres of one step: 0.001 for millimetres, which reach to 65.535 m; 0.01 for centimetres, to 655.35 m.</param>
    /// <exception cref="DinoSharpException">The map reaches farther than 65535 steps.</exception>
    public ImageBuffer ToGray16(double metersPerStep = 0.001)
    {
        if (!(metersPerStep > 0)) throw new ArgumentOutOfRangeException(nameof(metersPerStep), metersPerStep, "a step must be above 0 metres");
        if (Math.Round(Range.High / metersPerStep) > ushort.MaxValue)
            throw new DinoSharpException(FormattableString.Invariant($"the map reaches {Range.High:0.###} m, 16 bits of {metersPerStep} m end at {ushort.MaxValue * metersPerStep:0.###} m; take larger steps"));
        return ImageBuffer.FromSamples<ushort>(Width, Height, 1, [.. _meters.Select(m => (ushort)Math.Max(0, Math.Round(m / metersPerStep)))]);
    }

    /// <summary>Writes <see cref="ToImage"/>.</summary>
    /// <param name="path">Ends in .png, .jpg or .jpeg. An existing file is replaced.</param>
    public void Save(string path) => ToImage().Save(path);
}
