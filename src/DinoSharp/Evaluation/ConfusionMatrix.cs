using DinoSharp.Images;

namespace DinoSharp.Evaluation;

/// <summary>How often each true class was taken for each class. Rows are the truth, columns the prediction. [K, K]</summary>
public sealed class ConfusionMatrix
{
    private readonly long[,] _counts;

    /// <summary>Counts predictions.</summary>
    /// <param name="labels">True class of each sample, 0 … K−1.</param>
    /// <param name="predicted">Predicted class of each sample, 0 … K−1.</param>
    /// <param name="classes">Number of classes K.</param>
    /// <exception cref="DinoSharpException">The lists differ in length or a class is out of range.</exception>
    public ConfusionMatrix(ReadOnlySpan<int> labels, ReadOnlySpan<int> predicted, int classes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        if (labels.Length != predicted.Length) throw new DinoSharpException($"{predicted.Length} predictions are given for {labels.Length} labels");
        _counts = new long[classes, classes];
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)classes || (uint)predicted[i] >= (uint)classes)
                throw new DinoSharpException($"sample {i} has label {labels[i]} and prediction {predicted[i]}; both must lie in 0 to {classes - 1}");
            _counts[labels[i], predicted[i]]++;
        }
    }

    /// <summary>Number of classes K.</summary>
    public int Classes => _counts.GetLength(0);

    /// <summary>How many samples of one class were predicted as another.</summary>
    /// <param name="label">True class.</param>
    /// <param name="predicted">Predicted class.</param>
    public long this[int label, int predicted] => _counts[label, predicted];

    /// <summary>Number of samples.</summary>
    public long Total => _counts.Cast<long>().Sum();

    /// <summary>Share of all samples that are right; equals the micro-averaged F1 when every sample has one label.</summary>
    public double Accuracy => Enumerable.Range(0, Classes).Sum(c => _counts[c, c]) / (double)Total;

    /// <summary>Share of each class that was found; not-a-number for a class without samples. [K]</summary>
    public IReadOnlyList<double> Recall => [.. Enumerable.Range(0, Classes).Select(c => _counts[c, c] / (double)Row(c))];

    /// <summary>Share of the predictions of each class that are right; not-a-number for a class never predicted. [K]</summary>
    public IReadOnlyList<double> Precision => [.. Enumerable.Range(0, Classes).Select(c => _counts[c, c] / (double)Column(c))];

    /// <summary>F1 of each class, 2·TP / (2·TP + FP + FN); not-a-number for a class that occurs nowhere. [K]</summary>
    public IReadOnlyList<double> F1 => [.. Enumerable.Range(0, Classes).Select(c => 2.0 * _counts[c, c] / (Row(c) + Column(c)))];

    /// <summary>Mean recall over the classes that have samples (balanced accuracy).</summary>
    public double MeanRecall => Mean(Recall);

    /// <summary>Mean F1 over the classes that occur.</summary>
    public double MacroF1 => Mean(F1);

    /// <summary>The matrix as a picture: rows are the truth, columns the prediction, each cell shaded by its share of the row.</summary>
    /// <param name="classes">Names of the classes. [K]</param>
    /// <exception cref="ArgumentException">There are fewer or more names than classes.</exception>
    public ImageBuffer ToPicture(IReadOnlyList<string> classes)
    {
        if (classes.Count != Classes) throw new ArgumentException($"{classes.Count} names are given for {Classes} classes", nameof(classes));
        return ConfusionPicture.Draw(this, classes);
    }

    private static double Mean(IEnumerable<double> values) => values.Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();

    private long Row(int label) => Enumerable.Range(0, Classes).Sum(c => _counts[label, c]);

    private long Column(int predicted) => Enumerable.Range(0, Classes).Sum(c => _counts[c, predicted]);
}
