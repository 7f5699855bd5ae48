using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Layers;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Protocols.Benchmarks;
using DinoSharp.Training.Views.Dense;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>Linear segmentation (paper, appendix D.1): batch norm and one linear layer on the patches of the last block, trained with AdamW; sliding windows and mIoU over all pixels of the validation set.</summary>
public static class SegmentationProtocol
{
    private const double WeightDecay = 1e-3, WarmupShare = 1500.0 / 40_000, WarmupRatio = 1e-6;

    /// <summary>The published length: 40,000 steps of 16 fresh views.</summary>
    public static DenseProbeOptions Published { get; } = new() { Steps = 40_000, Views = 0, Seed = 100 };

    /// <summary>Runs the protocol.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="train">Pictures to learn from.</param>
    /// <param name="val">Pictures to score.</param>
    /// <param name="options">Length and views; null: a short form on stored features.</param>
    /// <param name="progress">Told how far it is: views, steps, then validation pictures.</param>
    /// <param name="cancel">Checked between steps and pictures.</param>
    /// <param name="onPicture">Given every validation picture with its predicted class indices.</param>
    /// <exception cref="DinoSharpException">Pictures cannot be read, or differ in size from their label maps; nothing was computed then.</exception>
    public static EvaluationResult Run(
        DinoModel model, SegmentationImages train, SegmentationImages val, DenseProbeOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, SemanticSegmentation>? onPicture = null)
    {
        options ??= new DenseProbeOptions();
        int classes = train.Classes.Count, patch = model.Preprocessing.PatchSizePixels;
        if (options.SizePixels % patch != 0) throw new DinoSharpException($"views of {options.SizePixels} pixels do not fit patches of {patch} pixels; take a multiple such as {Math.Max(1, options.SizePixels / patch) * patch}");
        PictureSizes.Require(train.Images, train.Labels);
        PictureSizes.Require(val.Images, val.Labels);
        using var scope = NewDisposeScope();
        var head = new LinearSegmentationHead([model.Backbone.Config.EmbedDim], classes);
        var input = Segmentor.LinearInput(model.Backbone.Config.LayerCount) with
        {
            MultiplePixels = patch,
            Windows = new HeadWindows(options.SizePixels, Math.Max(1, options.SizePixels * 341 / 512)),
            Preprocessing = new Preprocessing { Order = ResizeOrder.PillowThenScale, Size = SizePolicy.ShorterSideRounded(options.SizePixels), PatchSizePixels = 1, Normalization = model.Preprocessing.Normalization },
        };
        using var segmentor = new Segmentor(model.Backbone, input, head, train.Classes);
        var augmentation = new SegmentationAugmentation { SizePixels = options.SizePixels, Normalization = model.Preprocessing.Normalization };
        var schedule = new OneCycleSchedule { BaseRate = options.RateInUse, WarmupSteps = (long)(WarmupShare * options.Steps), WarmupRatio = WarmupRatio, FinalDivisor = double.PositiveInfinity, Momentum = null };
        new DenseProbe(model.Backbone, head, options).Train(
            train.Images.Count, View, (scores, labels, _) => SegmentationLosses.CrossEntropy(MapResize.Bilinear(scores, labels.shape[1], labels.shape[2]), labels),
            schedule, (WeightDecay, 0.9, 0.999, null), late: true, progress, cancel);
        EvaluationResult result = Score(segmentor, model.Name, val, progress: new Shifted(progress, DenseProbe.Length(train.Images.Count, options)), cancel: cancel, onPicture: onPicture);
        return result with
        {
            Settings = new Dictionary<string, string>(options.Settings().Concat(result.Settings))
            {
                ["size"] = options.SizePixels.ToString(CultureInfo.InvariantCulture),
                ["trainImages"] = train.Images.Count.ToString(CultureInfo.InvariantCulture),
            },
        };

        (Tensor Image, Tensor Truth) View(int index, ulong seed)
        {
            ImageBuffer picture = ImageFile.Read(ImageSource.Stored(train.Images[index])).ToRgb8();
            LabelMap label = train.Read(index);
            using var view = NewDisposeScope();
            Tensor image = tensor(picture.Samples<byte>().ToArray(), [picture.Height, picture.Width, 3]).permute(2, 0, 1).contiguous(); // [3, H, W]
            (Tensor x, Tensor y) = augmentation.Apply(image, tensor(label.Values.ToArray(), [1, label.Height, label.Width]), seed); // [3, S, S], [S, S]
            return (x.MoveToOuterDisposeScope(), y.MoveToOuterDisposeScope());
        }
    }

    /// <summary>The published test-time augmentation: five sizes, each also in a mirror.</summary>
    public static DenseOptions TestTimeAugmentation { get; } = new() { Scales = [0.9, 0.95, 1, 1.05, 1.1], Flip = true };

    /// <summary>Scores a segmentor that is ready, such as the published one.</summary>
    /// <param name="head">The head, with the classes of the pictures, or as many in their order.</param>
    /// <param name="model">Name of its backbone, for the report.</param>
    /// <param name="val">Pictures to score.</param>
    /// <param name="look">How to look at the pictures; null: as the head was made.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <param name="onPicture">Given every picture with its predicted class indices.</param>
    /// <exception cref="DinoSharpException">The classes differ, pictures differ in size from their label maps, or none can be read.</exception>
    public static EvaluationResult Score(
        Segmentor head, string model, SegmentationImages val, DenseOptions? look = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<int, ImageBuffer, SemanticSegmentation>? onPicture = null)
    {
        PictureSizes.Require(val.Images, val.Labels);
        int classes = val.Classes.Count;
        byte[] places = Places(head.Classes!, val.Classes);
        var areas = new List<SegmentationAreas>();
        (IReadOnlyList<int> scored, IReadOnlyList<ImageException> skipped) = ReadablePictures.ForEach(val.Images.Count, i =>
        {
            ImageBuffer picture = ImageFile.Read(ImageSource.Stored(val.Images[i]));
            LabelMap truth = val.Read(i);
            SemanticSegmentation predicted = head.Predict(picture, look, cancel);
            areas.Add(SegmentationAreas.Measure([.. predicted.Labels.Values.ToArray().Select(id => places[id])], truth.Values, classes, SegmentationImages.Ignored));
            onPicture?.Invoke(i, picture, predicted);
        }, progress, cancel);

        if (areas.Count == 0) throw new DinoSharpException($"none of the {val.Images.Count} pictures to score can be read; the first says: {skipped[0].Message}");
        SegmentationScores scores = SegmentationAreas.Sum(areas).Score();
        var metrics = new Dictionary<string, double> { ["miou"] = scores.MeanIou, ["pixelAccuracy"] = scores.PixelAccuracy, ["meanAccuracy"] = scores.MeanRecall, ["meanDice"] = scores.MeanDice };
        for (int c = 0; c < classes; c++)
        {
            if (!double.IsNaN(scores.Iou[c])) metrics["iou " + val.Classes[c]] = scores.Iou[c];
        }

        return new EvaluationResult
        {
            Task = "segment",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string> { ["passes"] = ((look?.Scales.Count ?? 1) * (look?.Flip == true ? 2 : 1)).ToString(CultureInfo.InvariantCulture) },
            Metrics = metrics,
            Headline = "miou",
            Items = [.. scored.Select(i => val.Images[i])],
            Skipped = skipped,
            Score = items => SegmentationAreas.Sum(items.Select(i => areas[i])).Score().MeanIou,
        };
    }

    // By name where the head knows all of the names, else by index.
    private static byte[] Places(ClassNames head, ClassNames data)
    {
        string[] names = [.. data];
        int[] places = [.. head.Select(name => Array.IndexOf(names, name))];
        if (places.Contains(-1)) places = head.Count == data.Count ? [.. Enumerable.Range(0, head.Count)] : throw new DinoSharpException($"the head has {head.Count} classes ({string.Join(", ", head.Take(3))} …), the pictures have {data.Count} ({string.Join(", ", data.Take(3))} …); they must be the same");
        return [.. places.Select(p => (byte)p)];
    }
}
