using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Anomaly;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
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

/// <summary>A picture that the detector was judged by.</summary>
/// <param name="Image">File of the picture.</param>
/// <param name="Unusual">Whether it is known to be unusual.</param>
/// <param name="Map">What the detector says.</param>
public sealed record AnomalyExample(string Image, bool Unusual, AnomalyMap Map);

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

    /// <summary>A few pictures that are not remembered: of the unusual ones those with the highest scores and those with the lowest, then the normal ones with the highest.</summary>
    public required IReadOnlyList<AnomalyExample> Examples { get; init; }

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
    private const int ExamplesOfEach = 3;

    /// <summary>Remembers patches, and sets the threshold on normal pictures that were held out.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="normal">Normal pictures, three at least.</param>
    /// <param name="testNormal">More normal pictures to judge by; null: none.</param>
    /// <param name="testUnusual">Unusual pictures to judge by; null: none.</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="progress">Told how many pictures have their features.</param>
    /// <param name="groups">Which pictures belong together: a group is remembered or held out as a whole, and intervals count groups. Null: every picture stands alone.</param>
    /// <param name="cancel">Stops between pictures.</param>
    /// <exception cref="DinoSharpException">Fewer than three pictures that can be read, or a group among those learnt from and those to judge by.</exception>
    public static AnomalyFitResult Run(
        DinoModel model, IReadOnlyList<string> normal, IReadOnlyList<string>? testNormal = null, IReadOnlyList<string>? testUnusual = null, AnomalyFitOptions? options = null, PictureGroups? groups = null, IProgress<long>? progress = null, CancellationToken cancel = default)
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
        PictureGroups.RefuseShared(("the normal pictures to learn from", groups?.Of(normal)), ("those to judge by", groups?.Of([.. testNormal, .. testUnusual])));
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> unreadable) = store.Prepare([.. normal, .. testNormal, .. testUnusual], progress, cancel);
        StoredImage[] good = [.. images.Take(normal.Count).OfType<StoredImage>()];
        if (good.Length < 3) throw new DinoSharpException($"{good.Length} normal pictures can be read; three are needed at least, two of which set the threshold");
        var random = new Random(options.Seed);
        (StoredImage[] kept, StoredImage[] held) = HoldOut(good, groups, options.HeldOutShare, random);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Tensor patches = Remembered(store, kept, options.MaxPatches, random, cancel); // [M, D]
        PatchMemory memory = new PatchMemory((int)patches.shape[0], (int)patches.shape[1], model.Backbone.parameters().First().device).Kept();
        memory.Remember(patches);
        double[] heldScores = [.. held.Select(Score)], scores = [.. heldScores.Order()];
        var head = new AnomalyDetector(model.Backbone, input, memory, scores[^1]) { BackboneName = model.Name };
        StoredImage[] normalImages = [.. images.Skip(normal.Count).Take(testNormal.Count).OfType<StoredImage>()], unusualImages = [.. images.Skip(normal.Count + testNormal.Count).OfType<StoredImage>()];
        double[] normals = [.. normalImages.Select(Score)], unusual = [.. unusualImages.Select(Score)];
        var result = new AnomalyFitResult
        {
            Head = head,
            Auroc = normals.Length == 0 || unusual.Length == 0 ? null : Auroc(normals, unusual, GroupsOf([.. normalImages, .. unusualImages])),
            FalseAlarms = normals.Length == 0 ? null : Bootstrap.Mean([.. normals.Select(s => s > head.Threshold ? 1.0 : 0)], GroupsOf(normalImages)),
            Found = unusual.Length == 0 ? null : Bootstrap.Mean([.. unusual.Select(s => s > head.Threshold ? 1.0 : 0)], GroupsOf(unusualImages)),
            NormalScores = scores,
            Examples = Examples(),
            Patches = (int)patches.shape[0],
            Computed = store.Computed,
            Unreadable = unreadable,
        };
        var metrics = new Dictionary<string, double> { ["threshold"] = head.Threshold, ["n"] = normals.Length + unusual.Length };
        if (result.Auroc is { } a) (metrics["auroc"], metrics["auroc_low"], metrics["auroc_high"]) = (a.Value, a.Low, a.High);
        head.Metrics = metrics;
        return result;

        AnomalyExample[] Examples()
        {
            StoredImage[] surest = [.. unusualImages.Zip(unusual).OrderByDescending(i => i.Second).Select(i => i.First)];
            IEnumerable<StoredImage> shown = surest.Length <= 2 * ExamplesOfEach ? surest : surest.Take(ExamplesOfEach).Concat(surest.TakeLast(ExamplesOfEach));
            IEnumerable<(StoredImage First, double Second)> usual = normals.Length > 0 ? normalImages.Zip(normals) : held.Zip(heldScores);
            return [.. shown.Select(i => Example(i, unusual: true)), .. usual.OrderByDescending(i => i.Second).Take(ExamplesOfEach).Select(i => Example(i.First, unusual: false))];
        }

        AnomalyExample Example(StoredImage image, bool unusual)
        {
            using var step = NewDisposeScope();
            using StoredFeatures features = store.Load(image);
            return new AnomalyExample(image.Path, unusual, head.Answer(features.ToHeadFeatures(input.Fit, model.Backbone.parameters().First().device), features.Geometry));
        }

        string[]? GroupsOf(StoredImage[] some) => groups?.Of([.. some.Select(i => i.Path)]);

        double Score(StoredImage image)
        {
            cancel.ThrowIfCancellationRequested();
            using var step = NewDisposeScope();
            using StoredFeatures features = store.Load(image);
            return PatchMemory.Score(memory.Distances(features.ToHeadFeatures(input.Fit, model.Backbone.parameters().First().device).Layers));
        }
    }

    // Two at least set the threshold, one at least is remembered.
    private static (StoredImage[] Kept, StoredImage[] Held) HoldOut(StoredImage[] good, PictureGroups? groups, double share, Random random)
    {
        int wanted = Math.Min(good.Length - 1, Math.Max(2, (int)(share * good.Length)));
        string[] of = groups?.Of([.. good.Select(i => i.Path)]) ?? [.. Enumerable.Range(0, good.Length).Select(i => i.ToString(CultureInfo.InvariantCulture))];
        int[][] units = [.. Enumerable.Range(0, good.Length).GroupBy(i => of[i]).Select(g => g.ToArray())];
        if (units.Length < 2) throw new DinoSharpException($"the normal pictures are one group, '{of[0]}'; two are needed at least, one of which sets the threshold");
        random.Shuffle(units);
        var held = new List<int>();
        foreach (int[] unit in units[1..])
        {
            if (held.Count < wanted) held.AddRange(unit);
        }

        return ([.. good.Where((_, i) => !held.Contains(i))], [.. held.Select(i => good[i])]);
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

    private static ConfidenceInterval Auroc(double[] normal, double[] unusual, string[]? groups)
    {
        double[] scores = [.. normal, .. unusual];
        return Bootstrap.Interval(scores.Length, items => RankingMetrics.Auroc([.. items.Select(i => scores[i])], [.. items.Select(i => i >= normal.Length)]), groups);
    }
}
