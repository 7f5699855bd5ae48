using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Anomaly;
using DinoSharp.Images;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>How to learn what is normal.</summary>
public sealed record AnomalyFitOptions
{
    /// <summary>Layers that are compared.</summary>
    public LayerSelection Layers { get; init; } = LayerSelection.Final;

    /// <summary>Length of the shorter side at which the network sees a picture.</summary>
    public int ImageSizePixels { get; init; } = 448;

    /// <summary>Most patches to remember; of more, as many are drawn at random. More find finer faults and take longer.</summary>
    public int MaxPatches { get; init; } = 20_000;

    /// <summary>Share of the normal pictures that sets the threshold instead of being remembered, two at least.</summary>
    public double HeldOutShare { get; init; } = 0.2;

    /// <summary>Of every random choice.</summary>
    public int Seed { get; init; }

    /// <summary>Where features are kept; null: the usual folder.</summary>
    public string? CacheFolder { get; init; }
}

/// <summary>A detector of what is unusual. Owns the head.</summary>
public sealed record AnomalyFitResult : IDisposable
{
    /// <summary>The detector.</summary>
    public required AnomalyDetector Head { get; init; }

    /// <summary>Area under the ROC curve on pictures known to be normal and unusual; null without such pictures.</summary>
    public ConfidenceInterval? Auroc { get; init; }

    /// <summary>Share of the normal test pictures above the threshold; null without such pictures.</summary>
    public ConfidenceInterval? FalseAlarms { get; init; }

    /// <summary>Share of the unusual test pictures above the threshold; null without such pictures.</summary>
    public ConfidenceInterval? Found { get; init; }

    /// <summary>Scores of the held-out normal pictures, ascending; the largest is the threshold.</summary>
    public required IReadOnlyList<double> NormalScores { get; init; }

    /// <summary>Patches that are remembered.</summary>
    public required int Patches { get; init; }

    /// <summary>How many pictures went through the backbone.</summary>
    public required int Computed { get; init; }

    /// <summary>Pictures that could not be read and were left out.</summary>
    public required IReadOnlyList<ImageException> Unreadable { get; init; }

    /// <inheritdoc/>
    public void Dispose() => Head.Dispose();
}

/// <summary>Learns what is normal from normal pictures only; nothing is trained.</summary>
public static class AnomalyFit
{
    /// <summary>Remembers patches, and sets the threshold on normal pictures that were held out.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="normal">Normal pictures, three at least.</param>
    /// <param name="testNormal">More normal pictures to judge by; null: none.</param>
    /// <param name="testUnusual">Unusual pictures to judge by; null: none.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="progress">Told how many pictures have their features.</param>
    /// <param name="cancel">Stops between pictures.</param>
    /// <exception cref="DinoSharpException">Fewer than three pictures that can be read.</exception>
    public static AnomalyFitResult Run(
        DinoModel model, IReadOnlyList<string> normal, IReadOnlyList<string>? testNormal = null, IReadOnlyList<string>? testUnusual = null, AnomalyFitOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new AnomalyFitOptions();
        var input = new HeadInput
        {
            Layers = options.Layers.Resolve(model.Backbone.Config.LayerCount),
            Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(options.ImageSizePixels), PatchSizePixels = 1, Normalization = model.Preprocessing.Normalization },
            Fit = ImageFit.Stretch, // padding would be remembered as normal
            MultiplePixels = model.Backbone.Config.PatchSizePixels,
        };
        var store = new FeatureStore(model, input, FeatureKind.Dense, options.CacheFolder);
        (testNormal, testUnusual) = (testNormal ?? [], testUnusual ?? []);
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> unreadable) = store.Prepare([.. normal, .. testNormal, .. testUnusual], progress, cancel);
        StoredImage[] good = [.. images.Take(normal.Count).OfType<StoredImage>()];
        if (good.Length < 3) throw new DinoSharpException($"{good.Length} normal pictures can be read; three are needed at least, two of which set the threshold");
        var random = new Random(options.Seed);
        random.Shuffle(good);
        int held = Math.Min(good.Length - 1, Math.Max(2, (int)(options.HeldOutShare * good.Length)));
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor patches = Remembered(store, good[held..], options.MaxPatches, random, cancel); // [M, D]
        PatchMemory memory = new PatchMemory((int)patches.shape[0], (int)patches.shape[1], model.Backbone.parameters().First().device).Kept();
        memory.Remember(patches);
        double[] scores = [.. good[..held].Select(Score).Order()];
        var head = new AnomalyDetector(model.Backbone, input, memory, scores[^1]) { BackboneName = model.Name };
        double[] normals = [.. images.Skip(normal.Count).Take(testNormal.Count).OfType<StoredImage>().Select(Score)], unusual = [.. images.Skip(normal.Count + testNormal.Count).OfType<StoredImage>().Select(Score)];
        var result = new AnomalyFitResult
        {
            Head = head,
            Auroc = normals.Length == 0 || unusual.Length == 0 ? null : Auroc(normals, unusual),
            FalseAlarms = normals.Length == 0 ? null : Bootstrap.Mean([.. normals.Select(s => s > head.Threshold ? 1.0 : 0)]),
            Found = unusual.Length == 0 ? null : Bootstrap.Mean([.. unusual.Select(s => s > head.Threshold ? 1.0 : 0)]),
            NormalScores = scores,
            Patches = (int)patches.shape[0],
            Computed = store.Computed,
            Unreadable = unreadable,
        };
        var metrics = new Dictionary<string, double> { ["threshold"] = head.Threshold, ["n"] = normals.Length + unusual.Length };
        if (result.Auroc is { } a) (metrics["auroc"], metrics["auroc_low"], metrics["auroc_high"]) = (a.Value, a.Low, a.High);
        head.Metrics = metrics;
        return result;

        double Score(StoredImage image)
        {
            cancel.ThrowIfCancellationRequested();
            using var step = NewDisposeScope();
            using StoredFeatures features = store.Load(image);
            return PatchMemory.Score(memory.Distances(features.ToHeadFeatures(input.Fit, model.Backbone.parameters().First().device).Layers));
        }
    }

    // An equal share of each picture, so that one large picture does not push the others out.
    private static Tensor Remembered(FeatureStore store, StoredImage[] images, int most, Random random, CancellationToken cancel)
    {
        using var scope = NewDisposeScope();
        int share = Math.Max(1, most / images.Length);
        var rows = new List<Tensor>();
        foreach (StoredImage image in images)
        {
            cancel.ThrowIfCancellationRequested();
            using var step = NewDisposeScope();
            using StoredFeatures features = store.Load(image);
            Tensor vectors = PatchMemory.Vectors(features.Layers); // [P, D]
            long[] drawn = [.. Enumerable.Range(0, (int)vectors.shape[0]).Select(i => (long)i)];
            random.Shuffle(drawn);
            rows.Add(vectors.index_select(0, tensor(drawn[..Math.Min(share, drawn.Length)])).MoveToOuterDisposeScope()); // [n, D]
        }

        return cat(rows).MoveToOuterDisposeScope(); // [M, D]
    }

    private static ConfidenceInterval Auroc(double[] normal, double[] unusual)
    {
        double[] scores = [.. normal, .. unusual];
        return Bootstrap.Interval(scores.Length, items => RankingMetrics.Auroc([.. items.Select(i => scores[i])], [.. items.Select(i => i >= normal.Length)]));
    }
}
