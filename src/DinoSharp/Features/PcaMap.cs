using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>The patches of a picture along principal components, and the rainbow picture of them (paper figure 1; colour = sigmoid(2·value) of the first three).</summary>
public sealed class PcaMap
{
    private readonly PatchGeometry _foregroundGeometry;

    internal PcaMap(PatchMap map, PatchMask? foreground, PatchGeometry? foregroundGeometry = null) => (Map, Foreground, _foregroundGeometry) = (map, foreground, foregroundGeometry ?? map.Geometry);

    /// <summary>The coordinates, [h, w, K].</summary>
    public PatchMap Map { get; }

    /// <summary>The patches that are shown; the others are black. Null: all are.</summary>
    public PatchMask? Foreground { get; }

    /// <summary>The picture: components 1, 2 and 3 as red, green and blue, smoothly enlarged to the size of the picture it belongs to.</summary>
    /// <exception cref="InvalidOperationException">There are fewer than three components.</exception>
    public ImageBuffer ToImage() => ToImage(Map.Geometry.ImageWidth, Map.Geometry.ImageHeight);

    /// <summary>Writes <see cref="ToImage()"/> to a file.</summary>
    /// <param name="path">Ends in .png, .jpg or .jpeg. An existing file is replaced.</param>
    public void Save(string path) => ToImage().Save(path);

    internal ImageBuffer ToImage(int width, int height)
    {
        if (Map.Dim < 3) throw new InvalidOperationException($"a picture needs three components, not {Map.Dim}");

        // Enlarged before the sigmoid: the curve then keeps the colours in range, whatever the interpolation overshoots.
        var colours = new PatchUpsampling(Map, width, height);
        if (Foreground is null) return colours.ToPicture(Colour);
        return colours.ToPicture(Colour, new PatchUpsampling(Foreground.ToMap(_foregroundGeometry), width, height));
    }

    private static void Colour(ReadOnlySpan<float> position, Span<byte> rgb)
    {
        for (int c = 0; c < 3; c++) rgb[c] = (byte)(255 / (1 + MathF.Exp(-2 * position[c])) + 0.5f);
    }
}
