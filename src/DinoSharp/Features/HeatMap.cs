using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>One number per patch of a picture: a similarity, an attention weight. Plain memory: nothing to dispose, safe to share between threads.</summary>
public sealed class HeatMap
{
    private readonly PatchMap _map;

    /// <summary>Wraps values that stay as they are from here on.</summary>
    /// <param name="height">Patch rows h.</param>
    /// <param name="width">Patch columns w.</param>
    /// <param name="values">h·w numbers, row-major; not copied.</param>
    /// <param name="geometry">Where the grid lies on the picture.</param>
    public HeatMap(int height, int width, float[] values, PatchGeometry geometry) => _map = new PatchMap(height, width, 1, values, geometry);

    /// <summary>Patch rows h.</summary>
    public int Height => _map.Height;

    /// <summary>Patch columns w.</summary>
    public int Width => _map.Width;

    /// <summary>Where the grid lies on the picture.</summary>
    public PatchGeometry Geometry => _map.Geometry;

    /// <summary>All numbers, [h, w].</summary>
    public ReadOnlySpan<float> Values => _map.Values;

    /// <summary>The number of one patch.</summary>
    /// <param name="row">Patch row from the top, 0 … h - 1.</param>
    /// <param name="column">Patch column from the left, 0 … w - 1.</param>
    public float this[int row, int column] => _map[row, column][0];

    /// <summary>Smallest and largest number.</summary>
    public ValueRange Range
    {
        get
        {
            float low = float.PositiveInfinity, high = float.NegativeInfinity;
            foreach (float value in Values) (low, high) = (Math.Min(low, value), Math.Max(high, value));
            return new ValueRange(low, high);
        }
    }

    /// <summary>The patch with the largest number, the first of equals.</summary>
    public (int Row, int Column) Largest
    {
        get
        {
            int index = 0;
            for (int i = 1; i < Values.Length; i++)
            {
                if (Values[i] > Values[index]) index = i;
            }

            return (index / Width, index % Width);
        }
    }

    /// <summary>The mean of several maps of one picture, such as the heads of a layer.</summary>
    /// <param name="maps">At least one, all of one size.</param>
    /// <exception cref="ArgumentException">No map, or maps of different sizes.</exception>
    public static HeatMap Mean(IReadOnlyList<HeatMap> maps)
    {
        if (maps.Count == 0 || maps.Any(map => (map.Height, map.Width) != (maps[0].Height, maps[0].Width))) throw new ArgumentException("expected at least one map, all of one size", nameof(maps));
        float[] mean = new float[maps[0].Values.Length];
        foreach (HeatMap map in maps)
        {
            for (int i = 0; i < mean.Length; i++) mean[i] += map.Values[i] / maps.Count;
        }

        return new HeatMap(maps[0].Height, maps[0].Width, mean, maps[0].Geometry);
    }

    /// <summary>The map in the colours of viridis (dark blue: low, yellow: high), smoothly enlarged to the size of the picture it belongs to.</summary>
    /// <param name="range">The numbers that become the ends of the colour scale; null: <see cref="Range"/>.</param>
    public ImageBuffer ToImage(ValueRange? range = null) => ToImage(Geometry.ImageWidth, Geometry.ImageHeight, range);

    /// <summary>Writes <see cref="ToImage(ValueRange?)"/> to a file.</summary>
    /// <param name="path">Ends in .png, .jpg or .jpeg. An existing file is replaced.</param>
    public void Save(string path) => ToImage().Save(path);

    internal ImageBuffer ToImage(int width, int height, ValueRange? range = null)
    {
        ValueRange ends = range ?? Range;
        var upsampling = new PatchUpsampling(_map, width, height);
        return upsampling.ToPicture((position, rgb) => ColorScale.Viridis((position[0] - ends.Low) / (ends.High - ends.Low), rgb));
    }
}
