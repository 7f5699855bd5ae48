using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>Which patches of a picture belong to its subject. Plain memory: nothing to dispose, safe to share between threads.</summary>
public sealed class PatchMask
{
    private readonly bool[] _values;

    /// <summary>Wraps values that stay as they are from here on.</summary>
    /// <param name="height">Patch rows h.</param>
    /// <param name="width">Patch columns w.</param>
    /// <param name="values">h·w values, row-major; not copied.</param>
    /// <exception cref="ArgumentException">The count does not match the shape.</exception>
    public PatchMask(int height, int width, bool[] values)
    {
        if (values.Length != height * width) throw new ArgumentException($"{height}x{width} patches need {height * width} values, not {values.Length}", nameof(values));
        (Height, Width, _values) = (height, width, values);
    }

    /// <summary>Patch rows h.</summary>
    public int Height { get; }

    /// <summary>Patch columns w.</summary>
    public int Width { get; }

    /// <summary>True where a patch belongs to the subject, [h, w].</summary>
    public ReadOnlySpan<bool> Values => _values;

    /// <summary>Number of patches that belong to the subject.</summary>
    public int Count => _values.Count(value => value);

    /// <summary>
    /// Guesses the subject without any training, from the features of one or several pictures together: their first principal component is cut in two by
    /// Otsu's threshold, the side that holds less of the pictures' rims is the subject, and a 3×3 median filter removes specks.
    /// It works where one subject stands before a background of another kind; where it does not, give a mask of your own.
    /// </summary>
    /// <param name="maps">Maps of equal D.</param>
    /// <returns>One mask per map.</returns>
    /// <exception cref="DinoSharpException">There are fewer than two patches, or features that are not finite.</exception>
    public static PatchMask[] Guess(IReadOnlyList<PatchMap> maps)
    {
        Pca first = Features.Pca.Fit(maps, components: 1);
        float[][] scores = [.. maps.Select(map => first.Project(map).Map.Values.ToArray())];
        float threshold = Otsu([.. scores.SelectMany(s => s)]);
        bool[][] above = [.. scores.Select(s => Array.ConvertAll(s, value => value > threshold))];
        double rim = Share(maps.SelectMany((map, i) => above[i].Where((_, p) => IsRim(p / map.Width, p % map.Width, map))));
        bool flip = rim > Share(above.SelectMany(a => a));
        return [.. maps.Select((map, i) => new PatchMask(map.Height, map.Width, flip ? Array.ConvertAll(above[i], value => !value) : above[i]).Median())];
    }

    /// <summary>
    /// A mask from a picture of the same view, of any size: its alpha if it has one, else its brightness. A patch belongs to the subject if the picture covers
    /// more than half of it.
    /// </summary>
    /// <param name="picture">White or opaque: the subject.</param>
    /// <param name="height">Patch rows h.</param>
    /// <param name="width">Patch columns w.</param>
    /// <param name="geometry">Where the grid lies on the picture of which the features are.</param>
    /// <exception cref="DinoSharpException">The picture has another shape than that of which the features are.</exception>
    public static PatchMask FromPicture(ImageBuffer picture, int height, int width, PatchGeometry geometry)
    {
        geometry.RequireShape(picture.Info.Name, picture.Width, picture.Height);
        float[] coverage = MaskCoverage.Of(picture, height, width, geometry);
        return new PatchMask(height, width, Array.ConvertAll(coverage, value => value > 0.5f));
    }

    /// <summary>Median of each 3×3 neighbourhood, zero beyond the border (as the original example does it).</summary>
    internal PatchMask Median()
    {
        using var scope = NewDisposeScope();
        Tensor filtered = Filters.Median(tensor(Array.ConvertAll(_values, value => value ? 1f : 0f), [Height, Width]), 3); // [h, w]
        return new PatchMask(Height, Width, Array.ConvertAll(filtered.data<float>().ToArray(), value => value > 0.5f));
    }

    /// <summary>The same as a tensor [P].</summary>
    internal Tensor ToTensor() => tensor(_values);

    /// <summary>The same as numbers 0 and 1, to be enlarged.</summary>
    internal PatchMap ToMap(PatchGeometry geometry) => new(Height, Width, 1, Array.ConvertAll(_values, value => value ? 1f : 0f), geometry);

    private static bool IsRim(int row, int column, PatchMap map) => row == 0 || column == 0 || row == map.Height - 1 || column == map.Width - 1;

    private static double Share(IEnumerable<bool> values) => values.Average(value => value ? 1.0 : 0.0);

    /// <summary>The threshold that separates two groups of numbers with the largest variance between them (Otsu 1979), over 256 equal bins.</summary>
    internal static float Otsu(float[] values)
    {
        const int bins = 256;
        double low = values.Min(), span = values.Max() - low;
        if (!(span > 0)) return values[0];
        int[] histogram = new int[bins];
        foreach (float value in values) histogram[Math.Min(bins - 1, (int)((value - low) / span * bins))]++;
        double total = histogram.Select((count, bin) => (double)count * bin).Sum(), sum = 0, best = -1;
        int below = 0, first = 0, last = 0;
        for (int bin = 0; bin < bins - 1; bin++)
        {
            below += histogram[bin];
            sum += (double)histogram[bin] * bin;
            int above = values.Length - below;
            if (below == 0 || above == 0) continue;
            double difference = (sum / below) - ((total - sum) / above);
            double between = (double)below * above * difference * difference;
            if (between > best) (best, first) = (between, bin);
            if (between >= best) last = bin; // an empty stretch between the groups scores alike: cut in its middle
        }

        return (float)(low + (span * (((first + last) / 2.0) + 1) / bins));
    }
}
