using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Images;
using DinoSharp.Probes;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>What to try on which sample.</summary>
public sealed record AdvisorOptions
{
    /// <summary>Sides of the input to try; null: the model's own and half as much again, or for dense tasks 384 and 512.</summary>
    public IReadOnlyList<int>? Sizes { get; init; }

    /// <summary>Most pictures of each class.</summary>
    public int PerClass { get; init; } = 20;

    /// <summary>Neighbours that vote.</summary>
    public int Neighbors { get; init; } = 5;

    /// <summary>Most pictures in the sample of a dense task, of which two fifths judge.</summary>
    public int MaxPictures { get; init; } = 60;

    /// <summary>Steps of each fit of a dense task.</summary>
    public int Steps { get; init; } = 150;

    /// <summary>Whether segmentation and depth are also tried with a DPT decoder, which takes several times longer than all else.</summary>
    public bool TryDpt { get; init; }

    /// <summary>Of the choice of the sample.</summary>
    public int Seed { get; init; }

    /// <summary>Where features are kept; null: the usual folder.</summary>
    public string? CacheFolder { get; init; }
}

/// <summary>A way of looking that was tried.</summary>
/// <param name="ImageSizePixels">Side of the input.</param>
/// <param name="Layers">Layers whose class tokens stand side by side.</param>
/// <param name="MeanPatch">Whether the mean patch of the last of them follows; null where patches are not pooled.</param>
/// <param name="Decoder">What turned patches into the answer; null where nothing is trained, and for detection.</param>
/// <param name="Score">What the task is judged by, higher being better. Of classes: the share that the nearest neighbours name right, each picture left out in turn (with its group).</param>
/// <param name="Gain">Difference to the default on the same pictures.</param>
public sealed record AdvisedLook(int ImageSizePixels, IReadOnlyList<int> Layers, bool? MeanPatch, DenseDecoder? Decoder, ConfidenceInterval Score, ConfidenceInterval Gain);

/// <summary>What the advisor found.</summary>
/// <param name="Tried">Everything that was tried, the best first; the default among it.</param>
/// <param name="Default">What is used without advice.</param>
/// <param name="Best">The best on one half of the sample.</param>
/// <param name="BestGain">Its gain over the default on the other half, which had no part in the choice.</param>
/// <param name="Count">Pictures in the sample.</param>
/// <param name="Computed">Passes of pictures through the backbone.</param>
public sealed record Advice(IReadOnlyList<AdvisedLook> Tried, AdvisedLook Default, AdvisedLook Best, ConfidenceInterval BestGain, int Count, int Computed)
{
    /// <summary>Whether the gain is more than chance would give.</summary>
    public bool IsClear => BestGain.Low > 0;
}

/// <summary>Finds out which layers, pooling and input size suit pictures of your own, by nearest neighbours on a sample: nothing is trained.</summary>
public static class LayerAdvisor
{
    private const double Temperature = 0.07;

    /// <summary>Tries.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="images">Pictures with classes.</param>
    /// <param name="options">What to try; null: defaults.</param>
    /// <param name="progress">Told how many passes are done.</param>
    /// <param name="cancel">Stops between pictures.</param>
    /// <exception cref="DinoSharpException">Fewer than two classes, or a size that does not fit the network.</exception>
    public static Advice Run(DinoModel model, LabelledImages images, AdvisorOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new AdvisorOptions();
        if (images.Classes.Count < 2) throw new DinoSharpException($"{images.Name}: has one class; advice needs two or more to tell apart");
        images = images.Select(Subsets.FewShot([.. images.Labels], options.PerClass, options.Seed));
        int patch = model.Backbone.Config.PatchSizePixels, count = model.Backbone.Config.LayerCount, usual = Side(model);
        IReadOnlyList<int> sizes = options.Sizes ?? [usual, (usual * 3 / 2 + patch - 1) / patch * patch];
        if (!sizes.Contains(usual)) sizes = [usual, .. sizes];
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var hits = new List<(int Size, int[] Layers, bool Mean, double[] Hits)>();
        int computed = 0, done = 0;
        foreach (int size in sizes.Distinct())
        {
            HeadInput input = ClassifierFit.InputOf(model, new ClassifierFitOptions { Layers = LayerSelection.All, ImageSizePixels = size == usual ? null : size });
            var store = new FeatureStore(model, input, FeatureKind.Pooled, options.CacheFolder);
            int before = done;
            (IReadOnlyList<StoredImage?> stored, _) = store.Prepare(images.Paths, progress is null ? null : new Shifted(progress, before), cancel);
            done += images.Count;
            computed += store.Computed;
            if (stored.Any(s => s is null)) images = Keep(images, stored, hits);
            StoredImage[] readable = [.. stored.OfType<StoredImage>()];
            foreach (int[] layers in LayerSets(count))
            {
                foreach (bool mean in (bool[])[true, false])
                {
                    cancel.ThrowIfCancellationRequested();
                    using var step = NewDisposeScope();
                    hits.Add((size, layers, mean, Hits(Vectors(store, readable, layers, mean), images, options.Neighbors)));
                }
            }
        }

        int standard = hits.FindIndex(h => h.Size == usual && h.Mean && h.Layers is [int only] && only == count - 1);
        AdviceTrial[] trials = [.. hits.Select(h => new AdviceTrial(h.Size, h.Layers, h.Mean, null, items => items.Average(i => h.Hits[i])))];
        return AdviceChoice.Choose(trials, standard, images.Count, images.Groups, computed);
    }

    // Every layer of the upper half by itself, and the last four together.
    private static IEnumerable<int[]> LayerSets(int count)
    {
        for (int layer = count - 1; layer >= count / 2; layer--) yield return [layer];
        if (count >= 4) yield return [count - 4, count - 3, count - 2, count - 1];
    }

    private static int Side(DinoModel model) => model.Preprocessing.CenterCropPixels ?? (model.Preprocessing.Size.How == SizePolicy.Rule.Exact ? model.Preprocessing.Size.Height : 224);

    private static Tensor Vectors(FeatureStore store, StoredImage[] images, int[] layers, bool mean)
    {
        using var scope = NewDisposeScope();
        var rows = new List<Tensor>();
        foreach (StoredImage image in images)
        {
            using StoredFeatures features = store.Load(image);
            rows.Add(LinearInput.Gather([.. features.Layers.Where(l => layers.Contains(l.Layer))], mean)); // [1, D']
        }

        return cat(rows).MoveToOuterDisposeScope(); // [N, D']
    }

    /// <summary>1 for each picture whose class its neighbours name, 0 for the others; neighbours of its own group do not vote.</summary>
    internal static double[] Hits(Tensor x, LabelledImages images, int neighbors)
    {
        using var scope = NewDisposeScope();
        Tensor unit = nn.functional.normalize(x); // [N, D']
        float[] all = [.. unit.matmul(unit.t()).contiguous().data<float>()]; // [N, N]
        int n = images.Count;
        return [.. Enumerable.Range(0, n).Select(i =>
        {
            IEnumerable<int> others = Enumerable.Range(0, n).Where(j => j != i && (images.Groups is null || images.Groups[j] != images.Groups[i]));
            var votes = others.OrderByDescending(j => all[(i * n) + j]).Take(neighbors).GroupBy(j => images.Labels[j]).Select(g => (Class: g.Key, Weight: g.Sum(j => Math.Exp((all[(i * n) + j] - 1) / Temperature)))).ToArray();
            return votes.Length > 0 && votes.MaxBy(v => v.Weight).Class == images.Labels[i] ? 1.0 : 0;
        })];
    }

    private static LabelledImages Keep(LabelledImages images, IReadOnlyList<StoredImage?> stored, List<(int, int[], bool, double[])> hits) => hits.Count == 0
        ? images.Select([.. Enumerable.Range(0, images.Count).Where(i => stored[i] is not null)])
        : throw new DinoSharpException($"{images.Paths[stored.TakeWhile(s => s is not null).Count()]}: could be read at one size and not at another");
}
