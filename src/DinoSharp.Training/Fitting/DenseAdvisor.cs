using DinoSharp.Backbones;
using DinoSharp.Heads;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;

namespace DinoSharp.Training.Fitting;

/// <summary>Finds out which layers and input size suit segmentation, depth or detection on pictures of your own: a short fit for each on a sample, all judged by the same held-out pictures.</summary>
public static class DenseAdvisor
{
    private const double HeldOutShare = 0.4;

    private delegate (Func<IReadOnlyList<int>, double> Score, int Count, IReadOnlyList<string>? Groups) Fit(DenseFitOptions options);

    /// <summary>Tries linear segmentation; the score is mean IoU.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="pairs">Pictures with label maps.</param>
    /// <param name="classes">What the ids mean.</param>
    /// <param name="options">What to try; null: defaults.</param>
    /// <param name="progress">Told how many looks are done.</param>
    /// <param name="cancel">Stops between batches and steps.</param>
    /// <exception cref="DinoSharpException">As <see cref="SegmentationFit.Run"/>.</exception>
    public static Advice Segment(DinoModel model, MapPairs pairs, ClassTable classes, AdvisorOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new AdvisorOptions();
        (MapPairs train, MapPairs held) = pairs.Select(Sample(pairs.Count, options)).Divide(HeldOutShare, options.Seed);
        return Run(model, [.. train.Images, .. held.Images], LayerSelection.Final, DenseDecoder.Linear, options, progress, cancel, fit =>
        {
            using SegmentationFitResult result = SegmentationFit.Run(model, train, held, classes, fit, null, cancel);
            return (result.Resample, result.Counts.Validation, held.Groups);
        });
    }

    /// <summary>Tries linear depth; the score is the share of pixels within a factor of 1.25.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="pairs">Pictures with depth maps.</param>
    /// <param name="metersPerUnit">Metres of one unit of the depth maps.</param>
    /// <param name="options">What to try; null: defaults.</param>
    /// <param name="progress">Told how many looks are done.</param>
    /// <param name="cancel">Stops between batches and steps.</param>
    /// <exception cref="DinoSharpException">As <see cref="DepthFit.Run"/>.</exception>
    public static Advice Depth(DinoModel model, MapPairs pairs, double metersPerUnit, AdvisorOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new AdvisorOptions();
        (MapPairs train, MapPairs held) = pairs.Select(Sample(pairs.Count, options)).Divide(HeldOutShare, options.Seed);
        return Run(model, [.. train.Images, .. held.Images], LayerSelection.Final, DenseDecoder.Linear, options, progress, cancel, fit =>
        {
            using DepthFitResult result = DepthFit.Run(model, train, held, metersPerUnit, fit, null, cancel);
            return (result.Resample, result.Counts.Validation, result.Counts.Validation == held.Count ? held.Groups : null);
        });
    }

    /// <summary>Tries the compact detector; the score is COCO average precision.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="boxes">Pictures with boxes.</param>
    /// <param name="options">What to try; null: defaults.</param>
    /// <param name="progress">Told how many looks are done.</param>
    /// <param name="cancel">Stops between batches and steps.</param>
    /// <exception cref="DinoSharpException">As <see cref="DetectionFit.Run"/>.</exception>
    public static Advice Detect(DinoModel model, BoxAnnotations boxes, AdvisorOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new AdvisorOptions();
        (BoxAnnotations train, BoxAnnotations held) = boxes.Select(Sample(boxes.Images.Count, options)).Divide(HeldOutShare, options.Seed);
        LayerSelection usual = HeadLayers.FourEvenIntervals(model.Backbone.Config.LayerCount);
        return Run(model, [.. train.Images.Select(i => i.Path), .. held.Images.Select(i => i.Path)], usual, null, options, progress, cancel, fit =>
        {
            using DetectionFitResult result = DetectionFit.Run(model, train, held, fit, null, cancel);
            return (result.Resample, result.Counts.Validation, held.Groups);
        });
    }

    private static Advice Run(
        DinoModel model, IReadOnlyList<string> pictures, LayerSelection usualLayers, DenseDecoder? decoder, AdvisorOptions options, IProgress<long>? progress, CancellationToken cancel, Fit fit)
    {
        int layers = model.Backbone.Config.LayerCount, patch = model.Backbone.Config.PatchSizePixels, usualSize = new DenseFitOptions().ImageSizePixels;
        int[] usual = usualLayers.Resolve(layers);
        // Smaller inputs are the ones worth knowing of: they cost less.
        int[] sizes = [.. (options.Sizes ?? [usualSize * 3 / 4 / patch * patch, usualSize]).Distinct()];
        int standardSize = sizes.Contains(usualSize) ? usualSize : sizes[^1];
        int[][] sets = [.. new[] { usual, [layers - 1], [(layers - 1) * 3 / 4], [.. HeadLayers.FourEvenIntervals(layers).Resolve(layers)], [.. Enumerable.Range(Math.Max(0, layers - 4), Math.Min(4, layers))] }.DistinctBy(s => string.Join(',', s))];
        var trials = new List<AdviceTrial>();
        int computed = 0, count = 0;
        IReadOnlyList<string>? groups = null;
        foreach (int size in sizes)
        {
            DenseFitOptions general = new() { ImageSizePixels = size, Steps = options.Steps, Seed = options.Seed, CacheFolder = options.CacheFolder };
            // One pass keeps what all of them read.
            var store = new FeatureStore(model, (general with { Layers = LayerSelection.Create([.. sets.SelectMany(s => s).Distinct().Order()]) }).InputOf(model), FeatureKind.Dense, options.CacheFolder) { AsStored = true };
            store.Prepare(pictures, null, cancel);
            computed += store.Computed;
            foreach (int[] set in sets) Try(set, decoder);
            if (decoder is not null && options.TryDpt) Try([.. HeadLayers.FourEvenIntervals(layers).Resolve(layers)], DenseDecoder.Dpt);

            void Try(int[] set, DenseDecoder? with)
            {
                (Func<IReadOnlyList<int>, double> score, count, groups) = fit(general with { Layers = LayerSelection.Create(set), Decoder = with ?? DenseDecoder.Linear });
                trials.Add(new AdviceTrial(size, set, null, with, score));
                progress?.Report(trials.Count);
            }
        }

        return AdviceChoice.Choose(trials, trials.FindIndex(t => t.Size == standardSize && t.Layers.SequenceEqual(usual)), count, groups is not null && groups.Count == count ? groups : null, computed);
    }

    private static int[] Sample(int count, AdvisorOptions options)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        new Random(options.Seed).Shuffle(order);
        return [.. order.Take(options.MaxPictures).Order()];
    }
}
