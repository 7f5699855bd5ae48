using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>A picture with its true and its predicted objects.</summary>
/// <param name="Image">File of the picture.</param>
/// <param name="Truth">Annotated.</param>
/// <param name="Predicted">Found.</param>
public sealed record DetectedExample(string Image, Detections Truth, Detections Predicted);

/// <summary>A detector that was fitted, and how it did on pictures it has not seen.</summary>
public sealed record DetectionFitResult : DenseFitResult<Detector>
{
    internal DetectionFitResult(Detector head, CourseOfFit course, Func<IReadOnlyList<int>, double> resample)
        : base(head, course, resample)
    {
    }

    /// <summary>COCO average precision at IoU 0.5 to 0.95, with the interval over pictures.</summary>
    public required ConfidenceInterval Ap { get; init; }

    /// <summary>All scores.</summary>
    public required DetectionScores Scores { get; init; }

    /// <summary>Categories of which no training picture shows an object.</summary>
    public required IReadOnlyList<string> Unseen { get; init; }

    /// <summary>A few validation pictures.</summary>
    public required IReadOnlyList<DetectedExample> Examples { get; init; }
}

/// <summary>Fits a compact detector on pictures with boxes: one pass of the frozen backbone for each picture, then a small convolutional head on the stored features.</summary>
public static class DetectionFit
{
    private const int Resamples = 200, LargestCategory = 1000, Width = 96;

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
        if (train.Categories.Keys.Max() > LargestCategory) throw new DinoSharpException($"{train.Name}: has the category id {train.Categories.Keys.Max()}; number the categories from 1 on, up to {LargestCategory}");
        HeadInput input = options.InputOf(model);
        return DenseCourse.Run(model, train, validation?.Renumber(train), options, input, Begin, progress, cancel);

        DenseTask<Detector, DetectionFitResult> Begin(DenseData<BoxAnnotations> data, Device device)
        {
            HashSet<int> seen = [.. data.Train.Images.SelectMany(i => i.Objects).Where(o => !o.Ignored).Select(o => o.Category)];
            if (seen.Count == 0) throw new DinoSharpException($"{data.Train.Name}: no picture has an object to learn from");
            if (!data.Validation.Images.Any(i => i.Objects.Any(o => !o.Ignored))) throw new DinoSharpException($"{data.Validation.Name}: no picture has an object to judge by");
            string[] names = [.. Enumerable.Range(0, data.Train.Categories.Keys.Max() + 1).Select(id => data.Train.Categories.GetValueOrDefault(id, ""))];
            CenterHead network = new CenterHead(input.Layers.Sum(model.Backbone.Config.LayerWidth), Width, names.Length, device).Kept();
            CenterTargets.Initialize(network, options.Seed);
            var head = new Detector(model.Backbone, input, network, new ClassNames(names));
            var found = new List<DetectedObject>();
            var examples = new List<DetectedExample>();
            return new DenseTask<Detector, DetectionFitResult>(head, Target, Loss, Judge, Score, CenterHead.CellsPerPatch);

            Tensor Target(int index)
            {
                BoxedImage annotated = data.Train.Images[index % data.Count];
                RequireSize(annotated, data.TrainImages[index].Grid.Geometry);
                return CenterTargets.Draw(data.TrainImages[index], annotated.Objects, names.Length);
            }

            Tensor Loss(IReadOnlyList<LayerFeatures> features, Tensor targets, int step) => CenterTargets.Loss(network.Forward(features, input.MultiplePixels, training: true), targets);

            void Judge(int i, HeadFeatures features, ImageGeometry geometry, bool asExample)
            {
                BoxedImage annotated = data.Validation.Images[i];
                RequireSize(annotated, geometry);
                Detections answer = head.Answer(features, geometry);
                found.AddRange(answer.All.Select(d => new DetectedObject(i, d.Label, d.Box, d.Score)));
                if (asExample) examples.Add(new DetectedExample(annotated.Path, new Detections([.. annotated.Objects.Select(o => new Detection(o.Box, 1, o.Category, train.Categories[o.Category]))]), answer));
            }

            DetectionFitResult Score(CourseOfFit course)
            {
                int count = course.Counts.Validation;
                var evaluation = new DetectionEvaluation([.. data.Validation.Images.SelectMany(i => i.Objects)], found, Enumerable.Range(0, count));
                DetectionScores scores = evaluation.Score();
                ConfidenceInterval ap = Bootstrap.Interval(count, evaluation.AveragePrecision, data.Validation.Groups, Resamples);
                head.Metrics = new Dictionary<string, double> { ["ap"] = ap.Value, ["ap_low"] = ap.Low, ["ap_high"] = ap.High, ["ap50"] = scores.Ap50, ["n"] = count };
                return new DetectionFitResult(head, course, evaluation.AveragePrecision) { Ap = ap, Scores = scores, Unseen = [.. data.Train.Categories.Where(c => !seen.Contains(c.Key)).Select(c => c.Value)], Examples = examples };
            }
        }
    }

    private static void RequireSize(BoxedImage image, ImageGeometry g)
    {
        if ((image.Width ?? g.OriginalWidth, image.Height ?? g.OriginalHeight) == (g.OriginalWidth, g.OriginalHeight)) return;
        throw new DinoSharpException($"{image.Path}: is {g.OriginalWidth}x{g.OriginalHeight} pixels, its annotation says {image.Width}x{image.Height}; the boxes would not fit");
    }
}
