using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Features;

/// <summary>One vector per patch of a picture. Plain memory: nothing to dispose, safe to share between threads.</summary>
public sealed class PatchMap
{
    private readonly float[] _values;

    /// <summary>Wraps values that stay as they are from here on.</summary>
    /// <param name="height">Patch rows h.</param>
    /// <param name="width">Patch columns w.</param>
    /// <param name="dim">Length D of each vector.</param>
    /// <param name="values">h·w·D numbers, row-major; not copied.</param>
    /// <param name="geometry">Where the grid lies on the picture.</param>
    /// <exception cref="ArgumentException">The count does not match the shape.</exception>
    public PatchMap(int height, int width, int dim, float[] values, PatchGeometry geometry)
    {
        if (values.Length != (long)height * width * dim) throw new ArgumentException($"{height}x{width} patches of {dim} numbers need {(long)height * width * dim} values, not {values.Length}", nameof(values));
        (Height, Width, Dim, Geometry, _values) = (height, width, dim, geometry, values);
    }

    /// <summary>Patch rows h.</summary>
    public int Height { get; }

    /// <summary>Patch columns w.</summary>
    public int Width { get; }

    /// <summary>Length D of each vector.</summary>
    public int Dim { get; }

    /// <summary>Number of patches P = h·w.</summary>
    public int Count => Height * Width;

    /// <summary>Where the grid lies on the picture.</summary>
    public PatchGeometry Geometry { get; }

    /// <summary>All numbers, [h, w, D].</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The vector of one patch. [D]</summary>
    /// <param name="row">Patch row from the top, 0 … h - 1.</param>
    /// <param name="column">Patch column from the left, 0 … w - 1.</param>
    public ReadOnlySpan<float> this[int row, int column]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(row);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, Height);
            ArgumentOutOfRangeException.ThrowIfNegative(column);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(column, Width);
            return _values.AsSpan(((row * Width) + column) * Dim, Dim);
        }
    }

    /// <summary>The patch that holds a pixel of the picture.</summary>
    /// <param name="x">Column of the pixel, 0 … width - 1.</param>
    /// <param name="y">Row of the pixel, 0 … height - 1.</param>
    /// <exception cref="DinoSharpException">The pixel is outside of the picture, or was cut off.</exception>
    public (int Row, int Column) PatchAt(int x, int y) => Geometry.PatchAt(x, y, Height, Width);

    /// <summary>The middle of a patch, in pixels of the picture.</summary>
    /// <param name="row">Patch row from the top.</param>
    /// <param name="column">Patch column from the left.</param>
    public (double X, double Y) CenterOf(int row, int column) => Geometry.CenterOf(row, column, Height, Width);

    /// <summary>What a part of the picture looks like: the mean of the vectors at unit length of the patches whose middles lie in a box, at unit length again. Of a box without such a patch, the patch that holds its middle.</summary>
    /// <param name="region">In pixels of the picture.</param>
    /// <returns>A query for <see cref="SimilarityTo"/>. [D]</returns>
    /// <exception cref="DinoSharpException">The middle of a box without patches is outside of the picture, or was cut off.</exception>
    public float[] MeanDirection(Box region)
    {
        double[] sum = new double[Dim];
        for (int row = 0; row < Height; row++)
        {
            for (int column = 0; column < Width; column++)
            {
                (double x, double y) = CenterOf(row, column);
                if (x >= region.X && y >= region.Y && x < region.X + region.Width && y < region.Y + region.Height) Add(this[row, column]);
            }
        }

        if (sum.All(number => number == 0))
        {
            (int row, int column) = PatchAt((int)(region.X + (region.Width / 2)), (int)(region.Y + (region.Height / 2)));
            Add(this[row, column]);
        }

        double length = Math.Max(double.Epsilon, Math.Sqrt(sum.Sum(number => number * number)));
        return Array.ConvertAll(sum, number => (float)(number / length));

        void Add(ReadOnlySpan<float> vector)
        {
            double squares = 0;
            foreach (float number in vector) squares += (double)number * number;
            if (squares == 0) return;
            for (int d = 0; d < sum.Length; d++) sum[d] += vector[d] / Math.Sqrt(squares);
        }
    }

    /// <summary>The same with vectors of length 1.</summary>
    internal PatchMap ToUnitLength()
    {
        using var scope = NewDisposeScope();
        return new PatchMap(Height, Width, Dim, nn.functional.normalize(ToTensor()).data<float>().ToArray(), Geometry);
    }

    /// <summary>A copy as a tensor [P, D] on the CPU; the caller (or the current dispose scope) owns it.</summary>
    public Tensor ToTensor() => tensor(_values, [Count, Dim]);

    /// <summary>Principal components of this map alone; see <see cref="Features.Pca"/> for several maps together.</summary>
    /// <param name="components">Number K of components, 3 for a colour picture.</param>
    /// <param name="foreground">Patches to fit to and to show; null: all.</param>
    /// <exception cref="DinoSharpException">Too few patches for that many components.</exception>
    public PcaMap Pca(int components = 3, PatchMask? foreground = null) =>
        Features.Pca.Fit([this], components, foreground is null ? null : [foreground]).Project(this, foreground: foreground);

    /// <summary>Cosine similarity of every patch with a vector, -1 … 1. A vector of zeros is similar to nothing (0).</summary>
    /// <param name="query">A vector of the same layer, for example <c>map[row, column]</c>. [D]</param>
    /// <exception cref="ArgumentException">The vector has another length.</exception>
    public HeatMap SimilarityTo(ReadOnlySpan<float> query)
    {
        if (query.Length != Dim) throw new ArgumentException($"the query has {query.Length} numbers, the patches {Dim}", nameof(query));
        using var scope = NewDisposeScope();
        Tensor patches = nn.functional.normalize(ToTensor()); // [P, D]
        Tensor unit = nn.functional.normalize(tensor(query.ToArray()), dim: 0); // [D]
        return new HeatMap(Height, Width, patches.mv(unit).clamp(Num(-1), Num(1)).data<float>().ToArray(), Geometry); // [P]
    }

    /// <summary>
    /// One vector per pixel: joint bilateral upsampling (Kopf et al. 2007), in which borders follow the colours of the picture. Nothing is trained. Meant for few numbers per patch, such as scores of
    /// classes, similarities or principal components: the result holds D numbers for every pixel.
    /// </summary>
    /// <param name="picture">The picture that the map was computed from, or the same in another size; the result has its size.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <returns>A map with a cell for each pixel. [H, W, D]</returns>
    /// <exception cref="ArgumentOutOfRangeException">A deviation is not above 0.</exception>
    public PatchMap UpsampleGuided(ImageBuffer picture, GuidedUpsamplingOptions? options = null) => GuidedUpsampling.Run(this, picture.ToRgb8(), Valid(options));

    /// <summary>For each pixel the largest of its numbers after <see cref="UpsampleGuided"/>, of which no more than one pixel is held at a time.</summary>
    internal LabelMap ClassesGuided(ImageBuffer picture, GuidedUpsamplingOptions? options = null) => GuidedUpsampling.Classes(this, picture.ToRgb8(), Valid(options));

    private static GuidedUpsamplingOptions Valid(GuidedUpsamplingOptions? options)
    {
        options ??= new GuidedUpsamplingOptions();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.SpatialSigmaPatches);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.ColorSigma);
        return options;
    }
}
