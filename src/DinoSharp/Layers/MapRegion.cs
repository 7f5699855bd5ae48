using DinoSharp.Images;

namespace DinoSharp.Layers;

/// <summary>Where a picture lies in a map of scores, in parts of the map's sides: 0 its left or top edge, 1 its right or bottom edge. What lies outside of the map takes the nearest cell.</summary>
internal readonly record struct MapRegion(double Left, double Top, double Right, double Bottom)
{
    private const double Exact = 1e-9;

    /// <summary>All of the map.</summary>
    public static MapRegion Whole { get; } = new(0, 0, 1, 1);

    /// <summary>Whether it is all of the map.</summary>
    public bool IsWhole => Math.Abs(Left) < Exact && Math.Abs(Top) < Exact && Math.Abs(Right - 1) < Exact && Math.Abs(Bottom - 1) < Exact;

    /// <summary>The same in the map flipped left to right.</summary>
    public MapRegion Mirrored => new(1 - Right, Top, 1 - Left, Bottom);

    /// <summary>Where an original lies on the input that was made of it.</summary>
    /// <param name="geometry">How the input was made.</param>
    /// <param name="patch">Pixels of the input that may be missing at a side, as the rim that makes no whole patch does.</param>
    /// <exception cref="DinoSharpException">More than that is missing, so that there is no answer for these pixels.</exception>
    public static MapRegion Of(ImageGeometry geometry, int patch)
    {
        (double left, double top) = geometry.ToInput(0, 0);
        (double right, double bottom) = geometry.ToInput(geometry.OriginalWidth, geometry.OriginalHeight);
        if (Math.Max(Math.Max(-left, -top), Math.Max(right - geometry.Width, bottom - geometry.Height)) >= Math.Max(patch, 1) + Exact)
        {
            throw new DinoSharpException(
                $"the input of {geometry.Width}x{geometry.Height} pixels is cut out of the picture, but this head answers for every pixel of it; prepare the picture without a centre crop ({nameof(Preprocessing)}.{nameof(Preprocessing.CenterCropPixels)} = null)");
        }

        return new MapRegion(left / geometry.Width, top / geometry.Height, right / geometry.Width, bottom / geometry.Height);
    }

    /// <summary>A region of this region.</summary>
    /// <param name="inner">In parts of this region.</param>
    public MapRegion Within(MapRegion inner) => new(
        Left + (inner.Left * (Right - Left)), Top + (inner.Top * (Bottom - Top)), Left + (inner.Right * (Right - Left)), Top + (inner.Bottom * (Bottom - Top)));
}
