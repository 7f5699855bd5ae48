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

/// <summary>A depth estimator that was fitted, and how it did on pictures it has not seen. Owns the head.</summary>
public sealed record DepthFitResult : IDisposable
{
    /// <summary>The estimator.</summary>
    public required DepthEstimator Head { get; init; }

    /// <summary>Mean over the validation pictures of |true − predicted| / true.</summary>
    public required ConfidenceInterval AbsoluteRelative { get; init; }

    /// <summary>Mean over the validation pictures of the root of the mean squared error, in metres.</summary>
    public required ConfidenceInterval Rmse { get; init; }

    /// <summary>Mean over the validation pictures of the share of pixels within a factor of 1.25.</summary>
    public required ConfidenceInterval Delta1 { get; init; }

    /// <summary>What <see cref="AbsoluteRelative"/> would be if every pixel were said to be at the median depth of the training pictures.</summary>
    public required double ConstantAbsoluteRelative { get; init; }

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

    /// <summary>A few validation pictures.</summary>
    public required IReadOnlyList<DepthExample> Examples { get; init; }

    /// <summary>The score that is compared when ways of looking are, on any of the validation pictures.</summary>
    internal Func<IReadOnlyList<int>, double> Resample { get; init; } = _ => double.NaN;

    /// <inheritdoc/>
    public void Dispose() => Head.Dispose();
}

/// <summary>Fits a depth estimator on pictures with measured depth: one pass of the frozen backbone for each picture, then a small decoder on the stored features.</summary>
public static class DepthFit
{
    private const int Examples = 6, Bins = 256;
    private const int DptBins = 64; // its scores have the size of the picture: 256 of them would take gigabytes in a step
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
        options ??= new DenseFitOptions();
        if (!(metersPerUnit > 0) || !double.IsFinite(metersPerUnit)) throw new DinoSharpException($"the depth scale is metres of one unit, above 0, for example 0.001 for millimetres; found {metersPerUnit}");
        HeadInput input = options.InputOf(model);
        if (validation is null) (train, validation) = train.Divide(options.HeldOutShare, options.Seed);
        var store = new FeatureStore(model, input, FeatureKind.Dense, options.CacheFolder);
        DenseData data = DenseData.Prepare(store, train, validation, options.Flip, progress, cancel);
        using var scope = NewDisposeScope();
        Tensor[] targets = [.. data.TrainImages.Select((image, i) => Target(image, data.Train, i % data.Train.Count, metersPerUnit))]; // each [1, 4h, 4w]
        float[] known = [.. targets.Take(data.Train.Count).SelectMany(t => t.data<float>().ToArray()).Where(d => d > 0).Order()];
        if (known.Length == 0) throw new DinoSharpException($"{train.Name}: no depth map holds any depth; 0 stands for not measured");
        var bins = new DepthBins(0.001, Math.Max(0.01, known[^1] * 1.1));
        Device device = model.Backbone.parameters().First().device;
        DepthEstimator head = options.Decoder == DenseDecoder.Linear
            ? new DepthEstimator(model.Backbone, input, new LinearDepthHead([.. input.Layers.Select(model.Backbone.Config.LayerWidth)], Bins, device: device).Kept(), bins)
            : new DepthEstimator(model.Backbone, input, new DptHead(DenseTraining.Dpt(model, input, DptBins), device).Kept(), bins);
        try
        {
            head.BackboneName = model.Name;
            double loss = Train(head, store, data, targets, options, progress, cancel);
            return Judge(head, store, data, metersPerUnit, known[known.Length / 2], cancel) with { FinalLoss = loss };
        }
        catch
        {
            head.Dispose();
            throw;
        }
    }

    private static double Train(DepthEstimator head, FeatureStore store, DenseData data, Tensor[] targets, DenseFitOptions options, IProgress<long>? progress, CancellationToken cancel)
    {
        using var random = new Generator((ulong)options.Seed);
        using var training = new DenseTraining(store, data.TrainImages, i => targets[i].alias(), options, head.Network.parameters().First().device);
        if (head.Network is LinearDepthHead linear) linear.Initialize(random);
        else DenseTraining.Initialize(head.Network, options.Seed);
        return training.Run(
            head.Network,
            (features, depth, step) =>
            {
                Tensor scores = head.Network is LinearDepthHead l ? l.ForwardTraining(features, random) : ((DptHead)head.Network).ForwardTraining(features); // [B, bins, h', w']
                Tensor meters = DenseTraining.AtCells(head.Bins.ToMeters(scores), depth), valid = depth.gt(Num(0)); // [B, 1, 4h, 4w]
                Tensor loss = DepthLosses.ScaleInvariantLog(meters, depth, valid, variance: step >= DepthLosses.StepsWithoutVariance(options.Steps));
                return loss.Plus(Num(GradientWeight) * DepthLosses.Gradient(meters, depth, valid, logarithm: true));
            },
            step => progress?.Report(data.Pictures + step),
            cancel);
    }

    private static Tensor Target(StoredImage image, MapPairs pairs, int index, double scale)
    {
        float[] depth = pairs.ReadDepth(index, scale, image.Grid.Geometry.OriginalWidth, image.Grid.Geometry.OriginalHeight);
        (int[] pixels, int rows, int columns) = DenseTraining.Cells(image);
        return tensor([.. pixels.Select(p => p < 0 ? 0 : depth[p])], [1, rows, columns], dtype: ScalarType.Float32); // [1, 4h, 4w]
    }

    private static DepthFitResult Judge(DepthEstimator head, FeatureStore store, DenseData data, double scale, float median, CancellationToken cancel)
    {
        using var quiet = no_grad();
        var scores = new List<DepthScores>();
        var constant = new List<double>();
        var examples = new List<DepthExample>();
        var judged = new List<int>();
        int every = Math.Max(1, data.Validation.Count / Examples);
        for (int i = 0; i < data.Validation.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            using StoredFeatures features = store.Load(data.ValidationImages[i]);
            ImageGeometry g = features.Geometry;
            float[] truth = data.Validation.ReadDepth(i, scale, g.OriginalWidth, g.OriginalHeight);
            if (!truth.Any(d => d > 0)) continue; // nothing was measured, so nothing can be judged
            DepthMap predicted = head.Answer(features.ToHeadFeatures(head.Input.Fit, head.Network.parameters().First().device), g);
            judged.Add(i);
            scores.Add(DepthScores.Measure(truth, predicted.Meters));
            constant.Add(DepthScores.Measure(truth, [.. truth.Select(_ => median)]).AbsoluteRelative);
            if (i % every == 0 && examples.Count < Examples) examples.Add(new DepthExample(data.Validation.Images[i], new DepthMap(g.OriginalWidth, g.OriginalHeight, truth), predicted));
        }

        if (scores.Count == 0) throw new DinoSharpException($"{data.Validation.Name}: no depth map holds any depth to judge by; 0 stands for not measured");
        string[]? groups = data.Validation.Groups is { } all ? [.. judged.Select(i => all[i])] : null;
        ConfidenceInterval relative = Bootstrap.Mean([.. scores.Select(s => s.AbsoluteRelative)], groups), rmse = Bootstrap.Mean([.. scores.Select(s => s.Rmse)], groups), delta = Bootstrap.Mean([.. scores.Select(s => s.Delta1)], groups);
        head.Metrics = new Dictionary<string, double>
        {
            ["rmse"] = rmse.Value,
            ["rmse_low"] = rmse.Low,
            ["rmse_high"] = rmse.High,
            ["abs_rel"] = relative.Value,
            ["delta1"] = delta.Value,
            ["n"] = scores.Count,
        };
        return new DepthFitResult
        {
            Head = head,
            AbsoluteRelative = relative,
            Rmse = rmse,
            Delta1 = delta,
            ConstantAbsoluteRelative = constant.Average(),
            FinalLoss = 0,
            Counts = (data.Train.Count, scores.Count),
            Resample = items => items.Average(i => scores[i].Delta1),
            Groups = groups?.Distinct().Count(),
            Computed = store.Computed,
            Unreadable = data.Unreadable,
            Examples = examples,
        };
    }
}
