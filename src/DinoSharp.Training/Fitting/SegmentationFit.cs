using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using DinoSharp.Training.Losses;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>A picture with its true and its predicted classes.</summary>
/// <param name="Image">File of the picture.</param>
/// <param name="Truth">Ids; 255 where a pixel does not count.</param>
/// <param name="Predicted">Ids.</param>
public sealed record SegmentedExample(string Image, LabelMap Truth, LabelMap Predicted);

/// <summary>A segmentor that was fitted, and how it did on pictures it has not seen. Owns the head.</summary>
public sealed record SegmentationFitResult : IDisposable
{
    /// <summary>The segmentor; the indices of its classes are the ids of the class table.</summary>
    public required Segmentor Head { get; init; }

    /// <summary>Mean intersection over union of the classes, over the pixels of all validation pictures.</summary>
    public required ConfidenceInterval MeanIou { get; init; }

    /// <summary>All scores, by id.</summary>
    public required SegmentationScores Scores { get; init; }

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

    /// <summary>Classes of the table that no training picture shows.</summary>
    public required IReadOnlyList<string> Unseen { get; init; }

    /// <summary>A few validation pictures.</summary>
    public required IReadOnlyList<SegmentedExample> Examples { get; init; }

    /// <summary>The score that is compared when ways of looking are, on any of the validation pictures.</summary>
    internal Func<IReadOnlyList<int>, double> Resample { get; init; } = _ => double.NaN;

    /// <inheritdoc/>
    public void Dispose() => Head.Dispose();
}

/// <summary>Fits a segmentor on pictures with label maps: one pass of the frozen backbone for each picture, then a small decoder on the stored features.</summary>
public static class SegmentationFit
{
    private const int Examples = 6;

    /// <summary>Fits and scores.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="train">Pictures to learn from.</param>
    /// <param name="validation">Pictures to judge by; null: a part of the training pictures is held out.</param>
    /// <param name="classes">What the ids mean.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="progress">Told how many pictures and then steps are done, in one sum.</param>
    /// <param name="cancel">Checked between batches and steps.</param>
    /// <exception cref="DinoSharpException">An id that the table does not know, a map of another size than its picture, or nothing to learn from.</exception>
    public static SegmentationFitResult Run(
        DinoModel model, MapPairs train, MapPairs? validation, ClassTable classes, DenseFitOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new DenseFitOptions();
        HeadInput input = options.InputOf(model);
        if (validation is null) (train, validation) = train.Divide(options.HeldOutShare, options.Seed);
        var store = new FeatureStore(model, input, FeatureKind.Dense, options.CacheFolder);
        DenseData data = DenseData.Prepare(store, train, validation, options.Flip, progress, cancel);
        using var scope = NewDisposeScope();
        var seen = new HashSet<byte>();
        Tensor[] targets = [.. data.TrainImages.Select((image, i) => Target(image, data.Train, i % data.Train.Count, classes, seen))]; // each [4h, 4w]
        if (seen.Count < 2) throw new DinoSharpException($"{train.Name}: the label maps show {(seen.Count == 0 ? "no class" : $"one class, '{classes.Names[seen.Single()]}'")} apart from ignored pixels; a segmentation needs two or more");
        IReadOnlyList<string> names = classes.ById;
        Device device = model.Backbone.parameters().First().device;
        Segmentor head = options.Decoder == DenseDecoder.Linear
            ? new Segmentor(model.Backbone, input, new LinearSegmentationHead([.. input.Layers.Select(model.Backbone.Config.LayerWidth)], names.Count, device: device).Kept(), new ClassNames(names))
            : new Segmentor(model.Backbone, input, new DptHead(DenseTraining.Dpt(model, input, names.Count), device).Kept(), new ClassNames(names));
        try
        {
            head.BackboneName = model.Name;
            double loss = Train(head, store, data, targets, classes, options, progress, cancel);
            return Judge(head, store, data, classes, cancel) with { FinalLoss = loss, Unseen = [.. classes.Names.Where(c => !seen.Contains(c.Key)).Select(c => c.Value)] };
        }
        catch
        {
            head.Dispose();
            throw;
        }
    }

    private static double Train(Segmentor head, FeatureStore store, DenseData data, Tensor[] targets, ClassTable classes, DenseFitOptions options, IProgress<long>? progress, CancellationToken cancel)
    {
        using var random = new Generator((ulong)options.Seed);
        using var training = new DenseTraining(store, data.TrainImages, i => targets[i].alias(), options, head.Network.parameters().First().device);
        if (head.Network is LinearSegmentationHead linear) linear.Initialize(random);
        else DenseTraining.Initialize(head.Network, options.Seed);
        Silence(head.Network, [.. Enumerable.Range(0, classes.ById.Count).Where(id => !classes.Names.ContainsKey((byte)id))]);
        return training.Run(
            head.Network,
            (features, labels, _) =>
            {
                Tensor scores = head.Network is LinearSegmentationHead l ? l.ForwardTraining(features, random) : ((DptHead)head.Network).ForwardTraining(features); // [B, K, h', w']
                return SegmentationLosses.CrossEntropy(DenseTraining.AtCells(scores, labels), labels.to(ScalarType.Int64), meanOverKept: true);
            },
            step => progress?.Report(data.Pictures + step),
            cancel);
    }

    // Ids that are no class have outputs too, as an output is an id; they must never win, and this far down no gradient reaches them.
    private static void Silence(nn.Module network, int[] ids)
    {
        using var quiet = no_grad();
        string last = network is DptHead ? "conv_depth.head.4." : "conv.";
        foreach ((string name, TorchSharp.Modules.Parameter parameter) in network.named_parameters().Where(p => p.name == last + "weight" || p.name == last + "bias"))
        {
            foreach (int id in ids)
            {
                using Tensor row = parameter.narrow(0, id, 1);
                row.fill_(Num(name.EndsWith("bias", StringComparison.Ordinal) ? -1e4 : 0));
            }
        }
    }

    private static Tensor Target(StoredImage image, MapPairs pairs, int index, ClassTable classes, HashSet<byte> seen)
    {
        LabelMap map = pairs.ReadLabels(index, classes, image.Grid.Geometry.OriginalWidth, image.Grid.Geometry.OriginalHeight);
        seen.UnionWith(map.Ids.Where(id => id != ClassTable.AlwaysIgnored));
        (int[] pixels, int rows, int columns) = DenseTraining.Cells(image);
        return tensor([.. pixels.Select(p => p < 0 ? ClassTable.AlwaysIgnored : map.Values[p])], [rows, columns], dtype: ScalarType.Byte); // [4h, 4w]
    }

    private static SegmentationFitResult Judge(Segmentor head, FeatureStore store, DenseData data, ClassTable classes, CancellationToken cancel)
    {
        using var quiet = no_grad();
        var areas = new List<SegmentationAreas>();
        var examples = new List<SegmentedExample>();
        int every = Math.Max(1, data.Validation.Count / Examples);
        for (int i = 0; i < data.Validation.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using StoredFeatures features = store.Load(data.ValidationImages[i]);
            LabelMap truth = data.Validation.ReadLabels(i, classes, features.Geometry.OriginalWidth, features.Geometry.OriginalHeight);
            LabelMap predicted = head.Answer(features.ToHeadFeatures(head.Input.Fit, head.Network.parameters().First().device), features.Geometry).Labels;
            areas.Add(SegmentationAreas.Measure(predicted.Values, truth.Values, classes.ById.Count));
            if (i % every == 0 && examples.Count < Examples) examples.Add(new SegmentedExample(data.Validation.Images[i], truth, predicted));
        }

        SegmentationScores scores = SegmentationAreas.Sum(areas).Score();
        if (double.IsNaN(scores.MeanIou)) throw new DinoSharpException($"{data.Validation.Name}: no pixel of the {areas.Count} held-out pictures has a class that counts, so the head cannot be judged; look at the label maps, or hold out others");
        Func<IReadOnlyList<int>, double> resample = items => SegmentationAreas.Sum(items.Select(i => areas[i])).Score().MeanIou;
        ConfidenceInterval miou = Bootstrap.Interval(areas.Count, resample, data.Validation.Groups);
        head.Metrics = new Dictionary<string, double> { ["miou"] = miou.Value, ["miou_low"] = miou.Low, ["miou_high"] = miou.High, ["pixel_accuracy"] = scores.PixelAccuracy, ["n"] = areas.Count };
        return new SegmentationFitResult
        {
            Head = head,
            MeanIou = miou,
            Scores = scores,
            FinalLoss = 0,
            Counts = (data.Train.Count, data.Validation.Count),
            Computed = store.Computed,
            Unreadable = data.Unreadable,
            Unseen = [],
            Resample = resample,
            Groups = data.Validation.Groups?.Distinct().Count(),
            Examples = examples,
        };
    }
}
