using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Probes;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Logistic regression on frozen features (paper, appendix D.7, the fine-grained sets): L-BFGS in float64, C chosen on a tenth of the training images, fitted again on all of them.</summary>
public static class LogisticProtocol
{
    /// <summary>Runs the protocol.</summary>
    /// <param name="train">Vectors to learn from, used as they are.</param>
    /// <param name="test">Vectors to classify; they have no part in choosing C. Classes are matched by name.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="grid">Values of C; null: the 45 published ones.</param>
    /// <param name="fitted">Given the classifier (vectors [N, D] to scores [N, K]) while it lives, to score further sets with it.</param>
    /// <param name="progress">Told how many values are done.</param>
    /// <param name="cancel">Checked between fits.</param>
    /// <returns>The numbers, and the accuracy of each C on the images that were held out of the training set.</returns>
    /// <exception cref="DinoSharpException">A class of the test set is not in the training set, or no class has two images.</exception>
    public static (EvaluationResult Result, IReadOnlyList<(double C, double Accuracy)> Sweep) Run(
        VectorSet train, VectorSet test, string model, IReadOnlyList<double>? grid = null, Action<Func<Tensor, Tensor>>? fitted = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        test = test.WithClassesOf(train.Classes);
        using var scope = NewDisposeScope();
        using LogisticRegressionSweepResult sweep = LogisticRegressionSweep.Run(train.Vectors, train.Labels, null, grid, progress, cancel);
        fitted?.Invoke(sweep.Classifier.Probabilities);
        Tensor probabilities = sweep.Classifier.Probabilities(test.Vectors); // [N, K]
        return (ClassifierScores.Of(
            "logreg", model, train, test, probabilities,
            new Dictionary<string, string>
            {
                ["c"] = sweep.C.ToString("R", CultureInfo.InvariantCulture),
                ["triedC"] = sweep.Table.Count.ToString(CultureInfo.InvariantCulture),
            }), sweep.Table);
    }
}

/// <summary>The scores that all classification protocols report.</summary>
internal static class ClassifierScores
{
    /// <param name="task">Name of the protocol.</param>
    /// <param name="model">What made the vectors.</param>
    /// <param name="train">What was learnt from.</param>
    /// <param name="test">What was classified.</param>
    /// <param name="scores">One per class. [N, K]</param>
    /// <param name="settings">What decided the numbers.</param>
    public static EvaluationResult Of(string task, string model, VectorSet train, VectorSet test, Tensor scores, Dictionary<string, string> settings)
    {
        using var scope = NewDisposeScope();
        bool[] hits = ClassificationMetrics.TopKHits(scores, test.Labels);
        var metrics = new Dictionary<string, double> { ["top1"] = hits.Average(hit => hit ? 1.0 : 0) };
        if (train.Classes.Count >= 5) metrics["top5"] = ClassificationMetrics.TopK(scores, test.Labels, 5);
        metrics["meanPerClass"] = ClassificationMetrics.MeanPerClass(scores, test.Labels);
        settings["trainImages"] = train.Labels.Length.ToString(CultureInfo.InvariantCulture);
        settings["classes"] = train.Classes.Count.ToString(CultureInfo.InvariantCulture);
        return new EvaluationResult
        {
            Task = task,
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = settings,
            Metrics = metrics,
            Headline = "top1",
            Items = test.Paths,
            Score = EvaluationResult.MeanOf([.. hits.Select(hit => hit ? 1.0 : 0)]),
            Classes = train.Classes,
            Confusion = new ConfusionMatrix(test.Labels, [.. scores.argmax(1).cpu().data<long>().Select(c => (int)c)], train.Classes.Count),
        };
    }
}
