using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using DinoSharp.Training.Losses;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>A picture with its true and its predicted depth.</summary>
/// <param name="Image">File of the picture.</param>
/// <param name="Truth">Metres; 0 where nothing was measured.</param>
/// <param name="Predicted">Metres.</param>
public sealed record DepthExample(string Image, DepthMap Truth, DepthMap Predicted);

/// <summary>A depth estimator that was fitted, and how it did on pictures it has not seen. Pictures without any measured depth do not count.</summary>
public sealed record DepthFitResult : DenseFitResult<DepthEstimator>
{
    internal DepthFitResult(DepthEstimator head, CourseOfFit course, Func<IReadOnlyList<int>, double> resample)
        : base(head, course, resample)
    {
    }

    /// <summary>Mean over the validation pictures of |true − predicted| / true.</summary>
    public required ConfidenceInterval AbsoluteRelative { get; init; }

    /// <summary>Mean over the validation pictures of the root of the mean squared error, in metres.</summary>
    public required ConfidenceInterval Rmse { get; init; }

    /// <summary>Mean over the validation pictures of the share of pixels within a factor of 1.25.</summary>
    public required ConfidenceInterval Delta1 { get; init; }

    /// <summary>What <see cref="AbsoluteRelative"/> would be if every pixel were said to be at the median depth of the training pictures.</summary>
    public required double ConstantAbsoluteRelative { get; init; }

    /// <summary>A few validation pictures.</summary>
    public required IReadOnlyList<DepthExample> Examples { get; init; }
}

/// <summary>Fits a depth estimator on pictures with measured depth: one pass of the frozen backbone for each picture, then a small decoder on the stored features.</summary>
public static class DepthFit
{
    private const int Bins = 256;
    private const int DptBins = 64; // its scores have the size of the picture: 256 of them would take gigabytes
    private const double GradientWeight = 0.5;

    /// <summary>Fits and scores.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="train">Pictures to learn from.</param>
    /// <param name="validation">Pictures to judge by; null: a part of the training pictures is held out.</param>
    /// <param name="metersPerUnit">Metres of one unit of the depth maps, for example 0.001.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="progress">Told how many pictures and then steps are done, in one sum.</param>
    /// <param name="cancel">Checked between batches and steps.</param>
    /// <exception cref="DinoSharpException">A map of another size than its picture, or nowhere any depth.</exception>
    public static DepthFitResult Run(
        DinoModel model, MapPairs train, MapPairs? validation, double metersPerUnit, DenseFitOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        if (!(metersPerUnit > 0) || !double.IsFinite(metersPerUnit)) throw new DinoSharpException($"the depth scale is metres of one unit, above 0, for example 0.001 for millimetres; found {metersPerUnit}");
        options ??= new DenseFitOptions();
        HeadInput input = options.InputOf(model);
        using var random = new Generator((ulong)options.Seed);
        return DenseCourse.Run(model, train, validation, options, input, Begin, progress, cancel);

        DenseTask<DepthEstimator, DepthFitResult> Begin(DenseData<MapPairs> data, Device device)
        {
            Tensor[] targets = [.. data.TrainImages.Select((image, i) => Target(image, data.Train, i % data.Count, metersPerUnit))]; // each [1, 4h, 4w]
            float[] known = [.. targets.Take(data.Count).SelectMany(t => t.data<float>().ToArray()).Where(d => d > 0).Order()];
            if (known.Length == 0) throw new DinoSharpException($"{data.Train.Name}: no depth map holds any depth; 0 stands for not measured");
            float median = known[known.Length / 2];
            (DepthEstimator head, Func<IReadOnlyList<LayerFeatures>, Tensor> scores) = Create(model, input, new DepthBins(0.001, Math.Max(0.01, known[^1] * 1.1)), options, random, device);
            var judged = new List<(int Picture, DepthScores Scores, double Constant)>();
            var examples = new List<DepthExample>();
            return new DenseTask<DepthEstimator, DepthFitResult>(head, i => targets[i].alias(), Loss, Judge, Score);

            Tensor Loss(IReadOnlyList<LayerFeatures> features, Tensor depth, int step)
            {
                Tensor meters = DenseTraining.AtCells(head.Bins.ToMeters(scores(features)), depth), valid = depth.gt(Num(0)); // [B, 1, 4h, 4w]
                Tensor loss = DepthLosses.ScaleInvariantLog(meters, depth, valid, variance: step >= DepthLosses.StepsWithoutVariance(options.Steps));
                return loss.Plus(Num(GradientWeight) * DepthLosses.Gradient(meters, depth, valid, logarithm: true));
            }

            void Judge(int i, HeadFeatures features, ImageGeometry geometry, bool asExample)
            {
                float[] truth = data.Validation.ReadDepth(i, metersPerUnit, geometry.OriginalWidth, geometry.OriginalHeight);
                if (!truth.Any(d => d > 0)) return; // nothing was measured, so nothing can be judged
                DepthMap predicted = head.Answer(features, geometry);
                judged.Add((i, DepthScores.Measure(truth, predicted.Meters), DepthScores.Measure(truth, [.. truth.Select(_ => median)]).AbsoluteRelative));
                if (asExample) examples.Add(new DepthExample(data.Validation.Images[i], new DepthMap(geometry.OriginalWidth, geometry.OriginalHeight, truth), predicted));
            }

            DepthFitResult Score(CourseOfFit course)
            {
                if (judged.Count == 0) throw new DinoSharpException($"{data.Validation.Name}: no depth map holds any depth to judge by; 0 stands for not measured");
                string[]? groups = data.Validation.Groups is { } all ? [.. judged.Select(j => all[j.Picture])] : null;
                ConfidenceInterval Mean(Func<DepthScores, double> score) => Bootstrap.Mean([.. judged.Select(j => score(j.Scores))], groups);
                ConfidenceInterval relative = Mean(s => s.AbsoluteRelative), rmse = Mean(s => s.Rmse), delta = Mean(s => s.Delta1);
                head.Metrics = new Dictionary<string, double>
                {
                    ["rmse"] = rmse.Value,
                    ["rmse_low"] = rmse.Low,
                    ["rmse_high"] = rmse.High,
                    ["abs_rel"] = relative.Value,
                    ["delta1"] = delta.Value,
                    ["n"] = judged.Count,
                };
                course = course with { Counts = (course.Counts.Training, judged.Count), Groups = groups?.Distinct().Count() };
                return new DepthFitResult(head, course, items => items.Average(i => judged[i].Scores.Delta1))
                {
                    AbsoluteRelative = relative,
                    Rmse = rmse,
                    Delta1 = delta,
                    ConstantAbsoluteRelative = judged.Average(j => j.Constant),
                    Examples = examples,
                };
            }
        }
    }

    private static Tensor Target(StoredImage image, MapPairs pairs, int index, double scale)
    {
        float[] depth = pairs.ReadDepth(index, scale, image.Grid.Geometry.OriginalWidth, image.Grid.Geometry.OriginalHeight);
        (int[] pixels, int rows, int columns) = DenseTraining.Cells(image);
        return tensor([.. pixels.Select(p => p < 0 ? 0 : depth[p])], [1, rows, columns], dtype: ScalarType.Float32); // [1, 4h, 4w]
    }

    // The untrained head, and how it scores a batch in training.
    private static (DepthEstimator Head, Func<IReadOnlyList<LayerFeatures>, Tensor> Scores) Create(DinoModel model, HeadInput input, DepthBins bins, DenseFitOptions options, Generator random, Device device)
    {
        if (options.Decoder == DenseDecoder.Dpt)
        {
            DptHead dpt = DenseTraining.CreateDpt(model, input, DptBins, options.Seed, device);
            return (new DepthEstimator(model.Backbone, input, dpt, bins), dpt.ForwardTraining);
        }

        LinearDepthHead linear = new LinearDepthHead([.. input.Layers.Select(model.Backbone.Config.LayerWidth)], Bins, device: device).Kept();
        linear.Initialize(random);
        return (new DepthEstimator(model.Backbone, input, linear, bins), features => linear.ForwardTraining(features, random));
    }
}
