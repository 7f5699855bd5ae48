using DinoSharp.Evaluation;
using static TorchSharp.torch;

namespace DinoSharp.Probes;

/// <summary>The result of a search for the weight of the data. Owns the classifier.</summary>
/// <param name="Classifier">Fitted with the best C on everything that was given.</param>
/// <param name="C">The best C.</param>
/// <param name="Table">Validation accuracy of every C, ascending.</param>
public sealed record LogisticRegressionSweepResult(LogisticRegression Classifier, double C, IReadOnlyList<(double C, double Accuracy)> Table) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose() => Classifier.Dispose();
}

/// <summary>The published search for the C of a logistic regression on frozen features.</summary>
public static class LogisticRegressionSweep
{
    /// <summary>45 values from 10⁻⁶ to 10⁵, evenly spaced in the exponent.</summary>
    public static IReadOnlyList<double> PublishedGrid { get; } = [.. Enumerable.Range(0, 45).Select(i => (double)MathF.Pow(10, (float)(-6 + (i * 11.0 / 44))))];

    /// <summary>Fits every C on the training samples, takes the best accuracy on the validation samples (the smallest C of equals), and fits it again on both.</summary>
    /// <param name="features">Training features, used as they are. [N, D]</param>
    /// <param name="labels">Class of each. [N]</param>
    /// <param name="validation">Validation features and labels; null: a tenth of each class of the training samples.</param>
    /// <param name="grid">The values of C; null: <see cref="PublishedGrid"/>.</param>
    /// <param name="progress">Told how many values are done.</param>
    /// <param name="cancel">Checked between fits.</param>
    public static LogisticRegressionSweepResult Run(
        Tensor features, int[] labels, (Tensor Features, int[] Labels)? validation = null, IReadOnlyList<double>? grid = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        using var scope = NewDisposeScope();
        if (features.shape[0] != labels.Length) throw new DinoSharpException($"{labels.Length} labels are given for {features.shape[0]} training features");
        (Tensor allFeatures, int[] allLabels) = (features, labels);
        if (validation is var (validationFeatures, validationLabels))
        {
            (allFeatures, allLabels) = (cat([features, validationFeatures]), [.. labels, .. validationLabels]);
        }
        else
        {
            (int[] train, int[] held) = Subsets.HoldOut(labels);
            (validationFeatures, validationLabels) = (Rows(features, held), Of(labels, held));
            (features, labels) = (Rows(features, train), Of(labels, train));
        }

        if (validationLabels.Length == 0) throw new DinoSharpException("no class has two samples, so none can be held out to choose C; give validation samples");
        int classes = allLabels.Max() + 1;
        var table = new List<(double C, double Accuracy)>();
        LogisticRegression? fit = null;
        foreach (double c in (grid ?? PublishedGrid).Order())
        {
            cancel.ThrowIfCancellationRequested();
            LogisticRegression? previous = fit;
            fit = LogisticRegression.Fit(features, labels, new() { C = c }, classes, previous);
            previous?.Dispose();
            using Tensor probabilities = fit.Probabilities(validationFeatures);
            table.Add((c, ClassificationMetrics.TopK(probabilities, validationLabels)));
            progress?.Report(table.Count);
        }

        fit?.Dispose();
        double best = table.MaxBy(row => row.Accuracy).C; // the first of equals
        return new LogisticRegressionSweepResult(LogisticRegression.Fit(allFeatures, allLabels, new() { C = best }, classes), best, table);
    }

    private static Tensor Rows(Tensor features, int[] rows) => features.index_select(0, tensor(Array.ConvertAll(rows, i => (long)i))); // [n, D]

    private static int[] Of(int[] labels, int[] rows) => Array.ConvertAll(rows, i => labels[i]);
}
