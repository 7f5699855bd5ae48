using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Probes;
using DinoSharp.Training.Data.Annotations;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Pictures that show several classes (Pascal VOC 2007 among the paper's fine-grained sets): a score for each class, and the mean over the classes of the average precision.</summary>
public static class MultiLabelProtocol
{
    private const double HeldOutShare = 0.1;

    /// <summary>Votes of the nearest training pictures.</summary>
    /// <param name="train">Vectors to vote; the label of each is its row in <paramref name="trainLabels"/>.</param>
    /// <param name="trainLabels">What they show.</param>
    /// <param name="val">Vectors to score, in the same way.</param>
    /// <param name="valLabels">What they show; classes are matched by name.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="options">Numbers of neighbours, of which the first is used, and temperature; null: the published ones.</param>
    public static EvaluationResult Knn(VectorSet train, MultiLabelImages trainLabels, VectorSet val, MultiLabelImages valLabels, string model, KnnOptions? options = null)
    {
        options ??= new KnnOptions();
        using var scope = NewDisposeScope();
        using KnnClassifier classifier = KnnClassifier.FitMultiLabel(train.Vectors, Targets(train, trainLabels));
        KnnVotes votes = classifier.Vote(val.Vectors, options with { Neighbors = [options.Neighbors[0]] })[0];
        return Score("knn", votes.Scores, val, valLabels.WithClassesOf(trainLabels), model, train.Labels.Length, new Dictionary<string, string>
        {
            ["neighbors"] = votes.Neighbors.ToString(CultureInfo.InvariantCulture),
            ["temperature"] = options.Temperature.ToString(CultureInfo.InvariantCulture),
        });
    }

    /// <summary>A logistic regression for each class; C is chosen by the mean average precision on a tenth of the training pictures.</summary>
    /// <param name="train">Vectors to learn from; the label of each is its row in <paramref name="trainLabels"/>.</param>
    /// <param name="trainLabels">What they show. A class that is only shown by difficult objects counts as not shown.</param>
    /// <param name="val">Vectors to score, in the same way.</param>
    /// <param name="valLabels">What they show; classes are matched by name.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="grid">Values of C; null: the 45 published ones.</param>
    /// <param name="progress">Told how many values are done.</param>
    /// <param name="cancel">Checked between fits.</param>
    /// <returns>The numbers, and the mean average precision of each C on the pictures that were held out of the training set.</returns>
    public static (EvaluationResult Result, IReadOnlyList<(double C, double Precision)> Sweep) Logistic(
        VectorSet train, MultiLabelImages trainLabels, VectorSet val, MultiLabelImages valLabels, string model, IReadOnlyList<double>? grid = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        valLabels = valLabels.WithClassesOf(trainLabels);
        if (train.Labels.Length < 2) throw new DinoSharpException($"{trainLabels.Name}: one picture cannot be divided to choose C");
        using var scope = NewDisposeScope();
        Tensor targets = Targets(train, trainLabels); // [N, K]
        using var random = new Generator(0);
        Tensor order = randperm(train.Labels.Length, generator: random);
        long held = Math.Max(1, (long)(HeldOutShare * train.Labels.Length));
        (Tensor judge, Tensor learn) = (order.narrow(0, 0, held), order.narrow(0, held, train.Labels.Length - held));
        Tensor learnVectors = train.Vectors.index_select(0, learn), learnTargets = targets.index_select(0, learn), judgeVectors = train.Vectors.index_select(0, judge), judgeTargets = targets.index_select(0, judge);
        var table = new List<(double C, double Precision)>();
        LogisticRegression? fit = null;
        foreach (double c in (grid ?? LogisticRegressionSweep.PublishedGrid).Order())
        {
            cancel.ThrowIfCancellationRequested();
            LogisticRegression? previous = fit;
            fit = LogisticRegression.FitMultiLabel(learnVectors, learnTargets, new() { C = c }, previous);
            previous?.Dispose();
            double precision = ClassificationMetrics.MeanAveragePrecision(fit.Probabilities(judgeVectors), judgeTargets);
            table.Add((c, double.IsNaN(precision) ? 0 : precision)); // no held-out picture shows any class
            progress?.Report(table.Count);
        }

        fit?.Dispose();
        double best = table.MaxBy(row => row.Precision).C; // the first of equals
        using LogisticRegression final = LogisticRegression.FitMultiLabel(train.Vectors, targets, new() { C = best });
        return (Score("logreg", final.Probabilities(val.Vectors), val, valLabels, model, train.Labels.Length, new Dictionary<string, string>
        {
            ["c"] = best.ToString("R", CultureInfo.InvariantCulture),
            ["triedC"] = table.Count.ToString(CultureInfo.InvariantCulture),
        }), table);
    }

    private static Tensor Targets(VectorSet vectors, MultiLabelImages labels) =>
        tensor(vectors.Labels.SelectMany(row => labels.Labels[row].Select(l => l == true ? 1f : 0f)).ToArray(), [vectors.Labels.Length, labels.Classes.Count]); // [N, K]

    private static EvaluationResult Score(string task, Tensor scores, VectorSet val, MultiLabelImages labels, string model, int trained, Dictionary<string, string> settings)
    {
        int classes = labels.Classes.Count, count = val.Labels.Length;
        double[] flat = scores.to(ScalarType.Float64).cpu().contiguous().data<double>().ToArray();
        double[][] columns = [.. Enumerable.Range(0, classes).Select(c => (double[])[.. Enumerable.Range(0, count).Select(i => flat[(i * classes) + c])])];
        bool?[][] truth = [.. Enumerable.Range(0, classes).Select(c => (bool?[])[.. val.Labels.Select(row => labels.Labels[row][c])])];
        int[] all = [.. Enumerable.Range(0, count)];
        double[] precisions = [.. Enumerable.Range(0, classes).Select(c => Of(c, all, (s, t) => RankingMetrics.AveragePrecision(s, t)))];
        if (precisions.All(double.IsNaN)) throw new DinoSharpException($"{labels.Name}: no picture to score shows any class");
        var metrics = new Dictionary<string, double>
        {
            ["map"] = Mean(precisions),
            ["mapVoc2007"] = Mean(Enumerable.Range(0, classes).Select(c => Of(c, all, (s, t) => RankingMetrics.AveragePrecisionVoc2007(s, t)))),
            ["auroc"] = Mean(Enumerable.Range(0, classes).Select(c => Of(c, all, (s, t) => RankingMetrics.Auroc(s, t)))),
        };
        for (int c = 0; c < classes; c++) if (!double.IsNaN(precisions[c])) metrics["ap " + labels.Classes[c]] = precisions[c];
        settings["trainImages"] = trained.ToString(CultureInfo.InvariantCulture);
        settings["classes"] = classes.ToString(CultureInfo.InvariantCulture);
        settings["labels"] = "several for each picture";
        return new EvaluationResult
        {
            Task = task,
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = settings,
            Metrics = metrics,
            Headline = "map",
            Items = val.Paths,
            Score = items => Mean(Enumerable.Range(0, classes).Select(c => Of(c, items, (s, t) => RankingMetrics.AveragePrecision(s, t)))),
        };

        double Of(int c, IReadOnlyList<int> items, Func<double[], bool[], double> metric)
        {
            int[] counted = [.. items.Where(i => truth[c][i] is not null)];
            return metric(Array.ConvertAll(counted, i => columns[c][i]), Array.ConvertAll(counted, i => truth[c][i]!.Value));
        }
    }

    // Over the classes that are shown.
    private static double Mean(IEnumerable<double> values) => values.Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();
}
