using System.Numerics;

namespace DinoSharp.Evaluation;

/// <summary>Pixel counts per class, from which every segmentation score follows. Areas of many images are summed first and scored once.</summary>
public sealed class SegmentationAreas
{
    private const long Void = 255; // what ADE20K's reduction maps the background to

    private readonly long[] _intersection, _predicted, _label;

    private SegmentationAreas(int classes) => (_intersection, _predicted, _label) = (new long[classes], new long[classes], new long[classes]);

    /// <summary>Number of classes K.</summary>
    public int Classes => _label.Length;

    /// <summary>Pixels of each class that were predicted as that class. [K]</summary>
    public IReadOnlyList<long> Intersection => _intersection;

    /// <summary>Pixels that belong to the class or were predicted as it. [K]</summary>
    public IReadOnlyList<long> Union => [.. Enumerable.Range(0, Classes).Select(c => _predicted[c] + _label[c] - _intersection[c])];

    /// <summary>Pixels predicted as each class, without ignored ones. [K]</summary>
    public IReadOnlyList<long> Predicted => _predicted;

    /// <summary>Pixels that belong to each class. [K]</summary>
    public IReadOnlyList<long> Label => _label;

    /// <summary>Counts the pixels of one image. Values outside 0 … K−1 count for no class.</summary>
    /// <typeparam name="TPrediction">Pixel type of the prediction.</typeparam>
    /// <typeparam name="TLabel">Pixel type of the label map.</typeparam>
    /// <param name="predicted">Predicted class of each pixel.</param>
    /// <param name="label">True class of each pixel, in the same order.</param>
    /// <param name="classes">Number of classes K.</param>
    /// <param name="ignoreIndex">Label of pixels to leave out; null: none.</param>
    /// <param name="reduceZeroLabel">The label map has background 0 that is no class (ADE20K): 0 becomes 255, 255 stays, any other k becomes k − 1; then <paramref name="ignoreIndex"/> is left out.</param>
    /// <exception cref="DinoSharpException">The two maps differ in size.</exception>
    public static SegmentationAreas Measure<TPrediction, TLabel>(
        ReadOnlySpan<TPrediction> predicted, ReadOnlySpan<TLabel> label, int classes, int? ignoreIndex = 255, bool reduceZeroLabel = false)
        where TPrediction : IBinaryInteger<TPrediction>
        where TLabel : IBinaryInteger<TLabel>
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        if (predicted.Length != label.Length) throw new DinoSharpException($"the prediction has {predicted.Length} pixels, the label map {label.Length}; resize one of them first");
        var areas = new SegmentationAreas(classes);
        for (int i = 0; i < label.Length; i++)
        {
            long truth = long.CreateSaturating(label[i]);
            if (reduceZeroLabel && truth != Void) truth = truth == 0 ? Void : truth - 1;
            if (truth == ignoreIndex) continue;
            long guess = long.CreateSaturating(predicted[i]);
            if ((ulong)guess < (ulong)classes) areas._predicted[guess]++;
            if ((ulong)truth >= (ulong)classes) continue;
            areas._label[truth]++;
            if (guess == truth) areas._intersection[truth]++;
        }

        return areas;
    }

    /// <summary>Adds up the areas of several images.</summary>
    /// <param name="images">At least one; all with the same number of classes.</param>
    public static SegmentationAreas Sum(IEnumerable<SegmentationAreas> images)
    {
        SegmentationAreas? sum = null;
        foreach (SegmentationAreas image in images)
        {
            sum ??= new SegmentationAreas(image.Classes);
            if (image.Classes != sum.Classes) throw new DinoSharpException($"areas of {image.Classes} classes cannot be added to areas of {sum.Classes}");
            for (int c = 0; c < sum.Classes; c++)
            {
                sum._intersection[c] += image._intersection[c];
                sum._predicted[c] += image._predicted[c];
                sum._label[c] += image._label[c];
            }
        }

        return sum ?? throw new DinoSharpException("there is no image to score");
    }

    /// <summary>The scores of these areas.</summary>
    public SegmentationScores Score()
    {
        double[] Ratio(Func<int, (double Part, double Whole)> of) => [.. Enumerable.Range(0, Classes).Select(c => of(c)).Select(r => r.Part / r.Whole)];
        double[] precision = Ratio(c => (_intersection[c], _predicted[c])), recall = Ratio(c => (_intersection[c], _label[c]));
        return new SegmentationScores
        {
            PixelAccuracy = (double)_intersection.Sum() / _label.Sum(),
            Iou = Ratio(c => (_intersection[c], _predicted[c] + _label[c] - _intersection[c])),
            Dice = Ratio(c => (2 * _intersection[c], _predicted[c] + _label[c])),
            Precision = precision,
            Recall = recall,
            FScore = Ratio(c => (2 * precision[c] * recall[c], precision[c] + recall[c])),
        };
    }
}
