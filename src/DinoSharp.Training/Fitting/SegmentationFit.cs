using DinoSharp.Backbones;
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

/// <summary>A segmentor that was fitted, and how it did on pictures it has not seen.</summary>
public sealed record SegmentationFitResult : DenseFitResult<Segmentor>
{
    internal SegmentationFitResult(Segmentor head, CourseOfFit course, Func<IReadOnlyList<int>, double> resample)
        : base(head, course, resample)
    {
    }

    /// <summary>Mean intersection over union of the classes, over the pixels of all validation pictures.</summary>
    public required ConfidenceInterval MeanIou { get; init; }

    /// <summary>All scores, by id.</summary>
    public required SegmentationScores Scores { get; init; }

    /// <summary>Classes of the table that no training picture shows.</summary>
    public required IReadOnlyList<string> Unseen { get; init; }

    /// <summary>A few validation pictures.</summary>
    public required IReadOnlyList<SegmentedExample> Examples { get; init; }
}

/// <summary>Fits a segmentor on pictures with label maps: one pass of the frozen backbone for each picture, then a small decoder on the stored features.</summary>
public static class SegmentationFit
{
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
        using var random = new Generator((ulong)options.Seed);
        return DenseCourse.Run(model, train, validation, options, input, Begin, progress, cancel);

        DenseTask<Segmentor, SegmentationFitResult> Begin(DenseData<MapPairs> data, Device device)
        {
            var seen = new HashSet<byte>();
            Tensor[] targets = [.. data.TrainImages.Select((image, i) => Target(image, data.Train, i % data.Count, classes, seen))]; // each [4h, 4w]
            if (seen.Count < 2)
                throw new DinoSharpException($"{data.Train.Name}: the label maps show {(seen.Count == 0 ? "no class" : $"one class, '{classes.Names[seen.Single()]}'")} apart from ignored pixels; a segmentation needs two or more");
            (Segmentor head, Func<IReadOnlyList<LayerFeatures>, Tensor> scores) = Create(model, input, classes, options, random, device);
            var areas = new List<SegmentationAreas>();
            var examples = new List<SegmentedExample>();
            return new DenseTask<Segmentor, SegmentationFitResult>(head, i => targets[i].alias(), Loss, Judge, Score);

            Tensor Loss(IReadOnlyList<LayerFeatures> features, Tensor labels, int step) =>
                SegmentationLosses.CrossEntropy(DenseTraining.AtCells(scores(features), labels), labels.to(ScalarType.Int64), meanOverKept: true);

            void Judge(int i, HeadFeatures features, ImageGeometry geometry, bool asExample)
            {
                LabelMap truth = data.Validation.ReadLabels(i, classes, geometry.OriginalWidth, geometry.OriginalHeight), predicted = head.Answer(features, geometry).Labels;
                areas.Add(SegmentationAreas.Measure(predicted.Values, truth.Values, classes.ById.Count));
                if (asExample) examples.Add(new SegmentedExample(data.Validation.Images[i], truth, predicted));
            }

            SegmentationFitResult Score(CourseOfFit course)
            {
                double MeanIou(IReadOnlyList<int> items) => SegmentationAreas.Sum(items.Select(i => areas[i])).Score().MeanIou;
                SegmentationScores all = SegmentationAreas.Sum(areas).Score();
                if (double.IsNaN(all.MeanIou)) throw new DinoSharpException($"{data.Validation.Name}: no pixel of the {areas.Count} held-out pictures has a class that counts, so the head cannot be judged; look at the label maps, or hold out others");
                ConfidenceInterval miou = Bootstrap.Interval(areas.Count, MeanIou, data.Validation.Groups);
                head.Metrics = new Dictionary<string, double> { ["miou"] = miou.Value, ["miou_low"] = miou.Low, ["miou_high"] = miou.High, ["pixel_accuracy"] = all.PixelAccuracy, ["n"] = areas.Count };
                return new SegmentationFitResult(head, course, MeanIou) { MeanIou = miou, Scores = all, Unseen = [.. classes.Names.Where(c => !seen.Contains(c.Key)).Select(c => c.Value)], Examples = examples };
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

    // The untrained head, and how it scores a batch in training.
    private static (Segmentor Head, Func<IReadOnlyList<LayerFeatures>, Tensor> Scores) Create(DinoModel model, HeadInput input, ClassTable classes, DenseFitOptions options, Generator random, Device device)
    {
        var names = new ClassNames(classes.ById);
        byte[] noClass = [.. Enumerable.Range(0, names.Count).Select(id => (byte)id).Where(id => !classes.Names.ContainsKey(id))];
        if (options.Decoder == DenseDecoder.Dpt)
        {
            DptHead dpt = DenseTraining.CreateDpt(model, input, names.Count, options.Seed, device);
            Silence(dpt, "conv_depth.head.4.", noClass);
            return (new Segmentor(model.Backbone, input, dpt, names), dpt.ForwardTraining);
        }

        LinearSegmentationHead linear = new LinearSegmentationHead([.. input.Layers.Select(model.Backbone.Config.LayerWidth)], names.Count, device: device).Kept();
        linear.Initialize(random);
        Silence(linear, "conv.", noClass);
        return (new Segmentor(model.Backbone, input, linear, names), features => linear.ForwardTraining(features, random));
    }

    // Ids that are no class have outputs too, as an output is an id; they must never win, and this far down no gradient reaches them.
    private static void Silence(nn.Module network, string lastLayer, byte[] ids)
    {
        using var quiet = no_grad();
        foreach ((string name, TorchSharp.Modules.Parameter parameter) in network.named_parameters().Where(p => p.name == lastLayer + "weight" || p.name == lastLayer + "bias"))
        {
            foreach (byte id in ids)
            {
                using Tensor row = parameter.narrow(0, id, 1);
                row.fill_(Num(name.EndsWith("bias", StringComparison.Ordinal) ? -1e4 : 0));
            }
        }
    }
}
