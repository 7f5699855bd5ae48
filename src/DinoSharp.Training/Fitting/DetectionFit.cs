using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>A picture with its true and its predicted objects.</summary>
/// <param name="Image">File of the picture.</param>
/// <param name="Truth">Annotated.</param>
/// <param name="Predicted">Found.</param>
public sealed record DetectedExample(string Image, Detections Truth, Detections Predicted);

/// <summary>A detector that was fitted, and how it did on pictures it has not seen. Owns the head.</summary>
public sealed record DetectionFitResult : IDisposable
{
    /// <summary>The detector; the indices of its classes are the ids of the categories.</summary>
    public required Detector Head { get; init; }

    /// <summary>COCO average precision at IoU 0.5 to 0.95, with the interval over pictures.</summary>
    public required ConfidenceInterval Ap { get; init; }

    /// <summary>All scores.</summary>
    public required DetectionScores Scores { get; init; }

    /// <summary>Mean loss at the end of the training.</summary>
    public required double FinalLoss { get; init; }

    /// <summary>Number of training and validation pictures.</summary>
    public required (int Training, int Validation) Counts { get; init; }

    /// <summary>Number of groups among the validation pictures; null if every picture stands alone.</summary>
    public int? Groups { get; init; }

    /// <summary>How many pictures went through the backbone.</summary>
    public required int Computed { get; init; }

    /// <summary>Pictures that could not be read and were left out.</summary>
    public required IReadOnlyList<ImageException> Unreadable { get; init; }

    /// <summary>Categories of which no training picture shows an object.</summary>
    public required IReadOnlyList<string> Unseen { get; init; }

    /// <summary>A few validation pictures.</summary>
    public required IReadOnlyList<DetectedExample> Examples { get; init; }

    /// <summary>The score that is compared when ways of looking are, on any of the validation pictures.</summary>
    internal Func<IReadOnlyList<int>, double> Resample { get; init; } = _ => double.NaN;

    /// <inheritdoc/>
    public void Dispose() => Head.Dispose();
}

/// <summary>Fits a compact detector on pictures with boxes: one pass of the frozen backbone for each picture, then a small convolutional head on the stored features.</summary>
public static class DetectionFit
{
    private const int Examples = 6, Resamples = 200, LargestCategory = 1000, Width = 96;

    /// <summary>Fits and scores. Of the options, the decoder is of no account.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="train">Pictures to learn from.</param>
    /// <param name="validation">Pictures to judge by; null: a part of the training pictures is held out.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="progress">Told how many pictures and then steps are done, in one sum.</param>
    /// <param name="cancel">Checked between batches and steps.</param>
    /// <exception cref="DinoSharpException">No object to learn from or to judge by, or a picture of another size than its annotation says.</exception>
    public static DetectionFitResult Run(
        DinoModel model, BoxAnnotations train, BoxAnnotations? validation, DenseFitOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new DenseFitOptions();
        options = options with { Decoder = DenseDecoder.Linear, Layers = options.Layers ?? HeadLayers.FourEvenIntervals(model.Backbone.Config.LayerCount) };
        HeadInput input = options.InputOf(model);
        if (train.Categories.Keys.Max() > LargestCategory) throw new DinoSharpException($"{train.Name}: has the category id {train.Categories.Keys.Max()}; number the categories from 1 on, up to {LargestCategory}");
        if (validation is null) (train, validation) = train.Divide(options.HeldOutShare, options.Seed);
        else validation = validation.Renumber(train);
        PictureGroups.RefuseShared((train.Name, train.Groups), (validation.Name, validation.Groups));
        var store = new FeatureStore(model, input, FeatureKind.Dense, options.CacheFolder);
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> unreadable) = store.Prepare([.. train.Images.Select(i => i.Path), .. validation.Images.Select(i => i.Path)], progress, cancel);
        int pictures = images.Count;
        (train, StoredImage[] trainImages) = Readable(train, [.. images.Take(train.Images.Count)]);
        (validation, StoredImage[] heldImages) = Readable(validation, [.. images.Skip(images.Count - validation.Images.Count)]);
        if (options.Flip) trainImages = [.. trainImages, .. DenseData.Mirrored(store, trainImages, pictures, progress, cancel)];
        pictures += trainImages.Length - train.Images.Count;
        HashSet<int> seen = [.. train.Images.SelectMany(i => i.Objects).Where(o => !o.Crowd).Select(o => o.Category)];
        if (seen.Count == 0) throw new DinoSharpException($"{train.Name}: no picture has an object to learn from");
        if (!validation.Images.Any(i => i.Objects.Any(o => !o.Crowd))) throw new DinoSharpException($"{validation.Name}: no picture has an object to judge by");
        string[] names = [.. Enumerable.Range(0, train.Categories.Keys.Max() + 1).Select(id => train.Categories.GetValueOrDefault(id, ""))];
        Device device = model.Backbone.parameters().First().device;
        using var scope = NewDisposeScope();
        CenterHead network = new CenterHead(input.Layers.Sum(model.Backbone.Config.LayerWidth), Width, names.Length, device).Kept();
        var head = new Detector(model.Backbone, input, network, new ClassNames(names)) { BackboneName = model.Name };
        try
        {
            CenterTargets.Initialize(network, options.Seed);
            int cell = trainImages[0].Grid.FittedWidth / trainImages[0].Grid.Columns;
            using (var training = new DenseTraining(store, trainImages, Target, options, device, CenterHead.CellsPerPatch))
            {
                double loss = training.Run(
                    network,
                    (features, targets, _) => CenterTargets.Loss(network.Forward(features, cell, training: true), targets),
                    step => progress?.Report(pictures + step),
                    cancel);
                return Judge(head, store, validation, heldImages, cancel) with
                {
                    FinalLoss = loss,
                    Unreadable = unreadable,
                    Counts = (train.Images.Count, validation.Images.Count),
                    Unseen = [.. train.Categories.Where(c => !seen.Contains(c.Key)).Select(c => c.Value)],
                };
            }
        }
        catch
        {
            head.Dispose();
            throw;
        }

        Tensor Target(int index)
        {
            BoxedImage annotated = train.Images[index % train.Images.Count]; // mirrored ones follow in the same order
            RequireSize(annotated, trainImages[index].Grid.Geometry);
            return CenterTargets.Draw(trainImages[index], annotated.Objects, names.Length);
        }
    }

    private static (BoxAnnotations Set, StoredImage[] Images) Readable(BoxAnnotations set, StoredImage?[] stored)
    {
        int[] readable = [.. Enumerable.Range(0, stored.Length).Where(i => stored[i] is not null)];
        if (readable.Length == 0) throw new DinoSharpException($"{set.Name}: none of the {stored.Length} pictures can be read, for example {set.Images[0].Path}");
        return (set.Select(readable), [.. readable.Select(i => stored[i]!)]);
    }

    private static void RequireSize(BoxedImage image, ImageGeometry g)
    {
        if ((image.Width ?? g.OriginalWidth, image.Height ?? g.OriginalHeight) == (g.OriginalWidth, g.OriginalHeight)) return;
        throw new DinoSharpException($"{image.Path}: is {g.OriginalWidth}x{g.OriginalHeight} pixels, its annotation says {image.Width}x{image.Height}; the boxes would not fit");
    }

    private static DetectionFitResult Judge(Detector head, FeatureStore store, BoxAnnotations set, StoredImage[] images, CancellationToken cancel)
    {
        using var quiet = no_grad();
        var found = new List<DetectedObject>();
        var examples = new List<DetectedExample>();
        int every = Math.Max(1, images.Length / Examples);
        for (int i = 0; i < images.Length; i++)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using StoredFeatures features = store.Load(images[i]);
            RequireSize(set.Images[i], features.Geometry);
            Detections answer = head.Answer(features.ToHeadFeatures(head.Input.Fit, head.Network.parameters().First().device), features.Geometry);
            found.AddRange(answer.All.Select(d => new DetectedObject(i, d.Label, d.Box, d.Score)));
            if (i % every == 0 && examples.Count < Examples)
                examples.Add(new DetectedExample(set.Images[i].Path, new Detections([.. set.Images[i].Objects.Select(o => new Detection(o.Box, 1, o.Category, set.Categories[o.Category]))]), answer));
        }

        var evaluation = new DetectionEvaluation([.. set.Images.SelectMany(i => i.Objects)], found, Enumerable.Range(0, images.Length));
        DetectionScores scores = evaluation.Score();
        ConfidenceInterval ap = Bootstrap.Interval(images.Length, evaluation.AveragePrecision, set.Groups, Resamples);
        head.Metrics = new Dictionary<string, double> { ["ap"] = ap.Value, ["ap_low"] = ap.Low, ["ap_high"] = ap.High, ["ap50"] = scores.Ap50, ["n"] = images.Length };
        return new DetectionFitResult { Head = head, Ap = ap, Scores = scores, FinalLoss = 0, Counts = (0, images.Length), Resample = evaluation.AveragePrecision, Groups = set.Groups?.Distinct().Count(), Computed = store.Computed, Unreadable = [], Unseen = [], Examples = examples };
    }
}
