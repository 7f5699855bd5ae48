using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Probes;

/// <summary>A picture with a painted mask: full, or only scribbles.</summary>
/// <param name="Patches">Its patches.</param>
/// <param name="Mask">The class of each pixel, of any size but of the picture's shape; it spans the whole picture.</param>
public sealed record MaskExample(PatchMap Patches, LabelMap Mask);

/// <summary>How to learn from masks.</summary>
public sealed record PatchClassifierOptions
{
    /// <summary>Pixels with this id are not labelled, as all around a scribble; null: all are.</summary>
    public byte? UnlabelledId { get; init; } = 255;

    /// <summary>Share of a patch's labelled pixels that one class must exceed, for the patch to be an example of it.</summary>
    public double MinCoverage { get; init; } = 0.99;

    /// <summary>Weights of the data to choose from: the one with the smallest mean log loss on pictures left out in turn is taken; with a single picture, on fifths of its patches.</summary>
    public IReadOnlyList<double> CandidatesC { get; init; } = [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10];
}

/// <summary>Segments pictures after seeing a few masks: a logistic regression on patch features (the foreground example of DINOv3, for any number of classes). Owns tensors.</summary>
public sealed class PatchClassifier : IDisposable
{
    // Enough to tell the candidates apart; the final fit is exact.
    private const double SelectionTolerance = 1e-5;
    private const int SelectionIterations = 200, FinalIterations = 10_000, Folds = 5;
    private const double FallbackC = 0.1; // what the original example found, for sets too small to leave anything out

    private readonly LogisticRegression _regression;

    private PatchClassifier(LogisticRegression regression, byte[] ids, double c, double? iou) => (_regression, Ids, C, HeldOutIou) = (regression, ids, c, iou);

    /// <summary>The ids of the classes, ascending; patches with other ids do not exist. [K]</summary>
    public IReadOnlyList<byte> Ids { get; }

    /// <summary>The weight of the data that was used.</summary>
    public double C { get; }

    /// <summary>Mean intersection over union of the labelled patches that were left out; null if there were too few to leave any out.</summary>
    public double? HeldOutIou { get; }

    /// <summary>Learns from masks.</summary>
    /// <param name="examples">Pictures with masks.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="cancel">Checked between fits.</param>
    /// <exception cref="DinoSharpException">Fewer than two classes cover whole patches, or the maps are of different models.</exception>
    public static PatchClassifier Fit(IReadOnlyList<MaskExample> examples, PatchClassifierOptions? options = null, CancellationToken cancel = default)
    {
        options ??= new PatchClassifierOptions();
        if (examples.Count == 0) throw new DinoSharpException("there is no example to learn from");
        int dim = examples[0].Patches.Dim;
        if (examples.Any(e => e.Patches.Dim != dim)) throw new DinoSharpException("the examples have features of different length; extract them with the same model");
        int[][] labels = [.. examples.Select(e => PatchLabels(e, options))]; // id or −1 for each patch
        byte[] ids = [.. labels.SelectMany(l => l).Where(id => id >= 0).Distinct().Order().Select(id => (byte)id)];
        if (ids.Length < 2) throw new DinoSharpException($"the masks show {(ids.Length == 0 ? "no class" : $"only the class {ids[0]}")} on whole patches; at least two are needed, so paint background too or use a larger size");
        using var scope = NewDisposeScope();
        Set[] sets = [.. examples.Select((e, i) => Labelled(e.Patches, labels[i], ids)).Where(s => s.Classes.Length > 0)];
        (double c, double? iou) = Select(sets.Length > 1 ? sets : Split(sets[0]), ids.Length, options, cancel);
        LogisticRegression regression = FitOn(sets, ids.Length, new LogisticRegressionOptions { C = c, MaxIterations = FinalIterations, Tolerance = 1e-8 }, null);
        return new PatchClassifier(regression, ids, c, iou);
    }

    /// <summary>Bytes that an example takes while all are learnt from: its patches, those that are labelled, these beside those of the others, and what the solver holds of them in float64 at once (measured, docs/log.md).</summary>
    internal static long FitBytes(PatchMap example) => (long)example.Count * example.Dim * ((3 * sizeof(float)) + (8 * sizeof(double)));

    /// <summary>The probability of each class for each patch, smoothed by a 3×3 median. A single class on background 0 fades at the rim as in the original example; among several classes the rim goes on. [h, w, K]</summary>
    /// <param name="patches">Patches of the same model.</param>
    public PatchMap Probabilities(PatchMap patches)
    {
        using var scope = NewDisposeScope();
        Tensor probabilities = _regression.Probabilities(patches.ToTensor()).to(ScalarType.Float32).view(patches.Height, patches.Width, Ids.Count); // [h, w, K]
        bool foreground = Ids is [0, _];
        Tensor smooth = stack([.. probabilities.unbind(2).Select(one => Filters.Median(one, 3, replicate: !foreground))], 2); // [h, w, K]
        return new PatchMap(patches.Height, patches.Width, Ids.Count, smooth.contiguous().data<float>().ToArray(), patches.Geometry);
    }

    /// <summary>The class of each pixel.</summary>
    /// <param name="patches">Patches of the same model.</param>
    /// <param name="width">Width in pixels of the result; null: of the picture.</param>
    /// <param name="height">Height in pixels.</param>
    public LabelMap Segment(PatchMap patches, int? width = null, int? height = null) =>
        Named(PatchClasses.Paint(Probabilities(patches), width ?? patches.Geometry.ImageWidth, height ?? patches.Geometry.ImageHeight));

    /// <summary>The class of each pixel, with borders that follow the colours of the picture (<see cref="PatchMap.UpsampleGuided"/>).</summary>
    /// <param name="patches">Patches of the same model.</param>
    /// <param name="picture">The picture that they were computed from; the result has its size.</param>
    /// <param name="options">How; null: defaults.</param>
    public LabelMap Segment(PatchMap patches, ImageBuffer picture, GuidedUpsamplingOptions? options = null) =>
        Named(Probabilities(patches).ClassesGuided(picture, options));

    /// <summary>Frees the tensors.</summary>
    public void Dispose() => _regression.Dispose();

    private LabelMap Named(LabelMap classes) => new(classes.Width, classes.Height, Array.ConvertAll(classes.Array, c => Ids[c]));

    // Tries each candidate on every set while the others teach; candidates in ascending order start from the one before. The original example ranks
    // by average precision, which says nothing about where the border between classes lies; the log loss does.
    private static (double C, double? Iou) Select(Set[] sets, int classes, PatchClassifierOptions options, CancellationToken cancel)
    {
        double[] candidates = [.. options.CandidatesC.Order()];
        double[] losses = new double[candidates.Length];
        var areas = candidates.Select(_ => new List<SegmentationAreas>()).ToArray();
        for (int left = 0; left < sets.Length; left++)
        {
            Set[] others = [.. sets.Where((_, i) => i != left)];
            if (others.SelectMany(s => s.Classes).Distinct().Count() < classes) continue; // a class that only this set shows cannot be learnt from the others
            using var scope = NewDisposeScope();
            Tensor truth = tensor(sets[left].Classes, dtype: ScalarType.Int64); // [P]
            LogisticRegression? fit = null;
            for (int i = 0; i < candidates.Length; i++)
            {
                cancel.ThrowIfCancellationRequested();
                LogisticRegression? previous = fit;
                fit = FitOn(others, classes, new() { C = candidates[i], MaxIterations = SelectionIterations, Tolerance = SelectionTolerance }, previous);
                previous?.Dispose();
                Tensor probabilities = fit.Probabilities(sets[left].Features); // [P, K]
                losses[i] -= probabilities.gather(1, truth.unsqueeze(1)).clamp(min: Num(1e-12)).log().mean().item<double>();
                areas[i].Add(SegmentationAreas.Measure<long, int>(probabilities.argmax(1).data<long>().ToArray(), sets[left].Classes, classes, ignoreIndex: null));
            }

            fit?.Dispose();
        }

        if (areas[0].Count == 0) return (FallbackC, null);
        int best = Enumerable.Range(0, candidates.Length).MinBy(i => losses[i]);
        return (candidates[best], SegmentationAreas.Sum(areas[best]).Score().MeanIou);
    }

    private static Set[] Split(Set set)
    {
        int[][] folds = [.. Enumerable.Range(0, set.Classes.Length).GroupBy(i => i % Folds).Select(g => g.ToArray())];
        return [.. folds.Select(fold => new Set(set.Features.index_select(0, tensor(Array.ConvertAll(fold, i => (long)i))), [.. fold.Select(i => set.Classes[i])]))];
    }

    private static LogisticRegression FitOn(Set[] sets, int classes, LogisticRegressionOptions options, LogisticRegression? start)
    {
        using var scope = NewDisposeScope();
        return LogisticRegression.Fit(cat([.. sets.Select(s => s.Features)]), [.. sets.SelectMany(s => s.Classes)], options, classes, start);
    }

    private static Set Labelled(PatchMap map, int[] labels, byte[] ids)
    {
        int[] patches = [.. Enumerable.Range(0, labels.Length).Where(i => labels[i] >= 0)];
        using var scope = NewDisposeScope();
        Tensor features = map.ToTensor().index_select(0, tensor(patches.Select(i => (long)i).ToArray())); // [n, D]
        return new Set(features.MoveToOuterDisposeScope(), [.. patches.Select(i => Array.IndexOf(ids, (byte)labels[i]))]);
    }

    // The class of each patch, −1 where none covers it.
    private static int[] PatchLabels(MaskExample example, PatchClassifierOptions options)
    {
        (PatchMap map, LabelMap mask) = (example.Patches, example.Mask);
        PatchGeometry g = map.Geometry;
        g.RequireShape("an example", mask.Width, mask.Height);
        int[] columns = Edges(map.Width, g.Left / g.ImageWidth, g.Width / g.ImageWidth, mask.Width), rows = Edges(map.Height, g.Top / g.ImageHeight, g.Height / g.ImageHeight, mask.Height);
        int[] labels = new int[map.Count], counts = new int[256];
        for (int patch = 0; patch < labels.Length; patch++)
        {
            Array.Clear(counts);
            int labelled = 0, column = patch % map.Width, row = patch / map.Width;
            for (int y = rows[row]; y < Math.Max(rows[row + 1], rows[row] + 1) && y < mask.Height; y++)
            {
                for (int x = columns[column]; x < Math.Max(columns[column + 1], columns[column] + 1) && x < mask.Width; x++)
                {
                    byte id = mask.Values[(y * mask.Width) + x];
                    if (id == options.UnlabelledId) continue;
                    counts[id]++;
                    labelled++;
                }
            }

            int best = Array.IndexOf(counts, counts.Max());
            labels[patch] = labelled > 0 && counts[best] > options.MinCoverage * labelled ? best : -1;
        }

        return labels;
    }

    private static int[] Edges(int patches, double start, double length, int pixels) =>
        [.. Enumerable.Range(0, patches + 1).Select(i => Math.Clamp((int)Math.Round((start + (length * i / patches)) * pixels), 0, pixels))];

    private sealed record Set(Tensor Features, int[] Classes);
}
