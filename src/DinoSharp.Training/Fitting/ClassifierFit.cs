using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Probes;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>What learns the classes.</summary>
public enum ClassifierMethod
{
    /// <summary>Logistic regression: one linear layer.</summary>
    Linear,

    /// <summary>The most similar training pictures vote; nothing is trained.</summary>
    NearestNeighbors,
}

/// <summary>How to fit a classifier.</summary>
public sealed record ClassifierFitOptions
{
    /// <summary>What learns.</summary>
    public ClassifierMethod Method { get; init; } = ClassifierMethod.Linear;

    /// <summary>Layers whose class tokens are read.</summary>
    public LayerSelection Layers { get; init; } = LayerSelection.Final;

    /// <summary>Side of the square to which pictures are resized; null: what the weights were made for.</summary>
    public int? ImageSizePixels { get; init; }

    /// <summary>Whether the mean patch of the last layer is read as well, as the published linear classifier does. Null: with <see cref="ClassifierMethod.Linear"/> only.</summary>
    public bool? MeanPatch { get; init; }

    /// <summary>Values of C of which the best is taken, judged by the log loss on a part of the training pictures.</summary>
    public IReadOnlyList<double> CandidatesC { get; init; } = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10];

    /// <summary>Number of neighbours that vote.</summary>
    public int Neighbors { get; init; } = 10;

    /// <summary>Temperature of the neighbours' votes.</summary>
    public double Temperature { get; init; } = 0.07;

    /// <summary>Whether each training picture is learnt in a mirror as well. Not where left and right differ, such as text.</summary>
    public bool Flip { get; init; }

    /// <summary>Share of the training pictures that is held out where no validation pictures are given, and again to choose C.</summary>
    public double HeldOutShare { get; init; } = 0.2;

    /// <summary>Of every random choice.</summary>
    public int Seed { get; init; }

    /// <summary>Where features are kept; null: <see cref="FeatureStore.DefaultFolder"/>.</summary>
    public string? CacheFolder { get; init; }
}

/// <summary>A classifier that was fitted, and how it did on pictures it has not seen. Owns the head.</summary>
public sealed record ClassifierFitResult : IDisposable
{
    /// <summary>The classifier; its metrics hold the scores.</summary>
    public required ImageClassifier Head { get; init; }

    /// <summary>The C that was taken; null for nearest neighbours.</summary>
    public double? C { get; init; }

    /// <summary>Share of the validation pictures whose class was found.</summary>
    public required ConfidenceInterval Top1 { get; init; }

    /// <summary>Truth and prediction of the validation pictures.</summary>
    public required ConfusionMatrix Confusion { get; init; }

    /// <summary>Validation pictures, in the order of <see cref="Predicted"/>.</summary>
    public required LabelledImages Validation { get; init; }

    /// <summary>Predicted class of each validation picture. [N]</summary>
    public required IReadOnlyList<int> Predicted { get; init; }

    /// <summary>How many pictures it was fitted on.</summary>
    public required int TrainingCount { get; init; }

    /// <summary>How many pictures went through the backbone; the others' features were in the store.</summary>
    public required int Computed { get; init; }

    /// <summary>Pictures that could not be read and were left out.</summary>
    public required IReadOnlyList<ImageException> Unreadable { get; init; }

    /// <summary>Validation pictures whose very content is among the training pictures: they make the score look better than it is.</summary>
    public required IReadOnlyList<string> Leaked { get; init; }

    /// <inheritdoc/>
    public void Dispose() => Head.Dispose();
}

/// <summary>Fits a classifier on pictures of your own: one pass of the frozen backbone for each picture, then seconds.</summary>
public static class ClassifierFit
{
    private const int SelectionIterations = 200, FinalIterations = 2000;
    private const double SelectionTolerance = 1e-5, FinalTolerance = 1e-7;

    /// <summary>Fits and scores.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="train">Pictures to learn from.</param>
    /// <param name="validation">Pictures to judge by; null: a part of the training pictures is held out (whole groups, or the column split of the table).</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="progress">Told how many pictures have their features.</param>
    /// <param name="cancel">Checked between batches and fits.</param>
    /// <exception cref="DinoSharpException">Fewer than two classes, a group on both sides, a class of which nothing can be read, or a class that training does not know.</exception>
    public static ClassifierFitResult Run(
        DinoModel model, LabelledImages train, LabelledImages? validation = null, ClassifierFitOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new ClassifierFitOptions();
        if (train.Classes.Count < 2) throw new DinoSharpException($"{train.Name}: has one class, '{train.Classes[0]}'; a classifier needs two or more. To recognise one thing among others see 'dino enroll', to find what is unusual see 'dino fit anomaly'");
        if (validation is null) (train, validation) = train.Divide(options.HeldOutShare, options.Seed);
        else (train, validation) = (train.OfSplit(toLearnFrom: true), validation.OfSplit(toLearnFrom: false).Renumber(train.Classes));
        PictureGroups.RefuseShared((train.Name, train.Groups), (validation.Name, validation.Groups));
        HeadInput input = InputOf(model, options);
        bool meanPatch = options.MeanPatch ?? options.Method == ClassifierMethod.Linear;
        var store = new FeatureStore(model, input, FeatureKind.Pooled, options.CacheFolder);
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> unreadable) = store.Prepare([.. train.Paths, .. validation.Paths], progress, cancel);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        (train, StoredImage[] trainImages) = Readable(train, [.. images.Take(train.Count)]);
        (validation, StoredImage[] validationImages) = Readable(validation, [.. images.Skip(images.Count - validation.Count)]);
        RequireEveryClass(train);
        int trained = train.Count;
        if (options.Flip)
        {
            trainImages = [.. trainImages, .. Mirror.Images(store, trainImages, images.Count, progress, cancel)];
            train = Doubled(train);
        }

        Tensor x = Vectors(store, trainImages, meanPatch), held = Vectors(store, validationImages, meanPatch); // [N, D'], [M, D']
        (ImageClassifier head, double? c) = options.Method == ClassifierMethod.Linear
            ? Linear(model, input, x, train, meanPatch, options, cancel)
            : (Neighbors(model, input, x, train, meanPatch, options), null);
        Tensor scores = head.Scores(held).cpu(); // [M, K]
        ClassifierFitResult result = Judge(head, scores, train, validation) with { C = c, TrainingCount = trained, Computed = store.Computed, Unreadable = unreadable, Leaked = Data.SharedPictures.Find(trainImages.Select(i => i.Path).Distinct(), validation.Paths) };
        return result;
    }

    // A picture and its mirror image are a group of their own where there are none, so that they stay on one side when C is chosen.
    private static LabelledImages Doubled(LabelledImages images)
    {
        IReadOnlyList<string> groups = images.Groups ?? [.. Enumerable.Range(0, images.Count).Select(i => i.ToString(CultureInfo.InvariantCulture))];
        return new LabelledImages(images.Name, [.. images.Paths, .. images.Paths], [.. images.Labels, .. images.Labels], images.Classes, [.. groups, .. groups]);
    }

    /// <summary>How pictures are seen.</summary>
    internal static HeadInput InputOf(DinoModel model, ClassifierFitOptions options) => new()
    {
        Layers = options.Layers.Resolve(model.Backbone.Config.LayerCount),
        Preprocessing = options.ImageSizePixels is { } side ? model.Preprocessing with { Size = SizePolicy.Square(side), CenterCropPixels = null } : model.Preprocessing,
        MultiplePixels = model.Backbone.Config.PatchSizePixels,
    };

    /// <summary>The vectors that linear classifiers read. [N, D']</summary>
    internal static Tensor Vectors(FeatureStore store, IReadOnlyList<StoredImage> images, bool meanPatch)
    {
        using var scope = NewDisposeScope();
        var rows = new List<Tensor>(images.Count);
        foreach (StoredImage image in images)
        {
            using StoredFeatures features = store.Load(image);
            rows.Add(LinearInput.Gather(features.Layers, meanPatch)); // [1, D']
        }

        return cat(rows).MoveToOuterDisposeScope(); // [N, D']
    }

    /// <summary>Chooses C on a part of the samples and fits all of them with it.</summary>
    internal static (LogisticRegression Fit, double C) Regression(Tensor x, LabelledImages train, ClassifierFitOptions options, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        int[] labels = [.. train.Labels];
        int classes = train.Classes.Count;
        double[] candidates = [.. options.CandidatesC.Order()];
        (int[] fitted, int[] held) = Subsets.HoldOut(labels, train.Groups, options.HeldOutShare, options.Seed + 1);
        double best = candidates[candidates.Length / 2]; // with one picture of each class nothing can be held out
        if (held.Length > 0)
        {
            Tensor learn = Rows(x, fitted), judge = Rows(x, held), truth = tensor(Of(labels, held), dtype: ScalarType.Int64); // [n, D'], [m, D'], [m]
            double least = double.PositiveInfinity;
            LogisticRegression? fit = null;
            foreach (double c in candidates)
            {
                cancel.ThrowIfCancellationRequested();
                LogisticRegression? previous = fit;
                fit = LogisticRegression.Fit(learn, Of(labels, fitted), new() { C = c, MaxIterations = SelectionIterations, Tolerance = SelectionTolerance }, classes, previous);
                previous?.Dispose();
                using var step = NewDisposeScope();
                double loss = -fit.Probabilities(judge).gather(1, truth.unsqueeze(1)).clamp(min: Num(1e-12)).log().mean().item<double>();
                if (loss < least) (least, best) = (loss, c);
            }

            fit?.Dispose();
        }

        cancel.ThrowIfCancellationRequested();
        return (LogisticRegression.Fit(x, labels, new() { C = best, MaxIterations = FinalIterations, Tolerance = FinalTolerance }, classes), best);
    }

    /// <summary>A list without the pictures that could not be read.</summary>
    internal static (LabelledImages Images, StoredImage[] Stored) Readable(LabelledImages images, IReadOnlyList<StoredImage?> stored)
    {
        int[] readable = [.. Enumerable.Range(0, images.Count).Where(i => stored[i] is not null)];
        if (readable.Length == 0) throw new DinoSharpException($"{images.Name}: none of the {images.Count} pictures can be read, for example {images.Paths[0]}");
        return (images.Select(readable), [.. readable.Select(i => stored[i]!)]);
    }

    private static (ImageClassifier Head, double? C) Linear(DinoModel model, HeadInput input, Tensor x, LabelledImages train, bool meanPatch, ClassifierFitOptions options, CancellationToken cancel)
    {
        (LogisticRegression fit, double c) = Regression(x, train, options, cancel);
        using (fit)
        {
            // A binary fit has one vector: the other class is its opposite, at zero.
            Tensor weight = fit.Form == LogisticForm.Binary ? cat([zeros_like(fit.Weight), fit.Weight]) : fit.Weight; // [K, D']
            Tensor bias = fit.Form == LogisticForm.Binary ? cat([zeros_like(fit.Intercept), fit.Intercept]) : fit.Intercept; // [K]
            Linear network = new Linear((int)weight.shape[1], train.Classes.Count, bias: true, DeviceOf(model)).Kept();
            network.Weight.copy_(weight);
            network.Bias!.copy_(bias);
            return (new ImageClassifier(model.Backbone, input, network, new ClassNames(train.Classes), meanPatch) { BackboneName = model.Name }, c);
        }
    }

    private static ImageClassifier Neighbors(DinoModel model, HeadInput input, Tensor x, LabelledImages train, bool meanPatch, ClassifierFitOptions options)
    {
        var network = new NeighborHead((int)x.shape[0], (int)x.shape[1], train.Classes.Count, new NeighborRule(options.Neighbors, options.Temperature), DeviceOf(model));
        network.Remember(x, tensor(train.Labels.Select(l => (long)l).ToArray()));
        return new ImageClassifier(model.Backbone, input, network, new ClassNames(train.Classes), meanPatch) { BackboneName = model.Name };
    }

    private static ClassifierFitResult Judge(ImageClassifier head, Tensor scores, LabelledImages train, LabelledImages validation)
    {
        int[] labels = [.. validation.Labels];
        using Tensor best = scores.argmax(1); // [M]
        int[] predicted = [.. best.data<long>().Select(i => (int)i)];
        ConfidenceInterval top1 = Bootstrap.Mean([.. predicted.Zip(labels).Select(p => p.First == p.Second ? 1.0 : 0)], validation.Groups);
        var confusion = new ConfusionMatrix(labels, predicted, train.Classes.Count);
        var metrics = new Dictionary<string, double>
        {
            ["top1"] = top1.Value,
            ["top1_low"] = top1.Low,
            ["top1_high"] = top1.High,
            ["mean_per_class"] = confusion.MeanRecall,
            ["macro_f1"] = confusion.MacroF1,
            ["n"] = labels.Length,
        };
        if (train.Classes.Count > 5) metrics["top5"] = ClassificationMetrics.TopK(scores, labels, 5);
        if (train.Classes.Count == 2 && labels.Distinct().Count() == 2)
            metrics["auroc"] = RankingMetrics.Auroc([.. scores.select(1, 1).contiguous().data<float>().Select(s => (double)s)], [.. labels.Select(l => l == 1)]);
        head.Metrics = metrics;
        return new ClassifierFitResult { Head = head, Top1 = top1, Confusion = confusion, Validation = validation, Predicted = predicted, TrainingCount = train.Count, Computed = 0, Unreadable = [], Leaked = [] };
    }

    private static void RequireEveryClass(LabelledImages train)
    {
        int missing = Enumerable.Range(0, train.Classes.Count).FirstOrDefault(c => !train.Labels.Contains(c), -1);
        if (missing >= 0) throw new DinoSharpException($"{train.Name}: the class '{train.Classes[missing]}' has no picture to learn from; add readable pictures, or remove the class");
    }

    private static Device DeviceOf(DinoModel model) => model.Backbone.parameters().First().device;

    private static Tensor Rows(Tensor x, int[] rows) => x.index_select(0, tensor(Array.ConvertAll(rows, i => (long)i))); // [n, D']

    private static int[] Of(int[] labels, int[] rows) => Array.ConvertAll(rows, i => labels[i]);
}
