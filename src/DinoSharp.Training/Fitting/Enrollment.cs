using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>What the head says of an enrolled picture when that picture is left out.</summary>
/// <param name="Image">File of the picture.</param>
/// <param name="Thing">What it shows.</param>
/// <param name="Named">What the others say it shows.</param>
/// <param name="Nearest">File of the most similar one.</param>
/// <param name="Similarity">Cosine similarity of that one.</param>
/// <param name="IsUnknown">Whether it would be called unknown.</param>
public sealed record EnrolledExample(string Image, string Thing, string Named, string Nearest, double Similarity, bool IsUnknown);

/// <summary>Things that were enrolled from a few pictures each. Owns the head.</summary>
public sealed record EnrollmentResult : IDisposable
{
    /// <summary>Names the nearest thing, or says that it is unknown.</summary>
    public required ImageClassifier Head { get; init; }

    /// <summary>Cosine similarity below which a picture is unknown.</summary>
    public required double Threshold { get; init; }

    /// <summary>Share of enrolled pictures that are named right by the vote of the head, when each is left out in turn; null if no thing has two pictures.</summary>
    public ConfidenceInterval? Top1 { get; init; }

    /// <summary>Share of pictures of enrolled things that would be called unknown; null if no thing has two pictures. Judged with a threshold that was set on the other half of the things.</summary>
    public ConfidenceInterval? FalselyUnknown { get; init; }

    /// <summary>Share of pictures of things that are not enrolled which would be taken for known; null if there is one thing only and no pictures of others. Judged likewise.</summary>
    public ConfidenceInterval? FalselyKnown { get; init; }

    /// <summary>A few decisions about left-out pictures: named right, named wrong, and called unknown, as many of each as there are up to four.</summary>
    public required IReadOnlyList<EnrolledExample> Examples { get; init; }

    /// <summary>How many pictures were enrolled.</summary>
    public required int Count { get; init; }

    /// <summary>How many pictures went through the backbone.</summary>
    public required int Computed { get; init; }

    /// <summary>Pictures that could not be read and were left out.</summary>
    public required IReadOnlyList<ImageException> Unreadable { get; init; }

    /// <inheritdoc/>
    public void Dispose() => Head.Dispose();
}

/// <summary>
/// Recognition from a few pictures of each thing. The threshold for unknown lies where pictures of the same thing and of other things are told apart best: each picture is compared with the
/// others of its thing (which must stay known), and with those of all other things, as if its own had not been enrolled (which must stay unknown).
/// </summary>
public static class Enrollment
{
    private const int ExamplesOfEach = 4;
    private const double Tail = 0.05;
    private static readonly NeighborRule Rule = new(Count: 3, Temperature: 0.07);

    /// <summary>Enrols.</summary>
    /// <param name="model">The backbone; must live as long as the head.</param>
    /// <param name="gallery">A few pictures of each thing, one at least.</param>
    /// <param name="others">Pictures of things that are not enrolled, for the threshold; null: none.</param>
    /// <param name="options">Layers, size, mean patch and cache count; null: defaults.</param>
    /// <param name="progress">Told how many pictures have their features.</param>
    /// <param name="cancel">Stops between batches.</param>
    /// <exception cref="DinoSharpException">A single picture and nothing to compare it with, or a thing of which nothing can be read.</exception>
    public static EnrollmentResult Run(
        DinoModel model, LabelledImages gallery, IReadOnlyList<string>? others = null, ClassifierFitOptions? options = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new ClassifierFitOptions();
        HeadInput input = ClassifierFit.InputOf(model, options);
        bool meanPatch = options.MeanPatch ?? true;
        var store = new FeatureStore(model, input, FeatureKind.Pooled, options.CacheFolder);
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> unreadable) = store.Prepare([.. gallery.Paths, .. others ?? []], progress, cancel);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        StoredImage[] foreign = [.. images.Skip(gallery.Count).OfType<StoredImage>()];
        (gallery, StoredImage[] stored) = ClassifierFit.Readable(gallery, [.. images.Take(gallery.Count)]);
        int missing = Enumerable.Range(0, gallery.Classes.Count).FirstOrDefault(c => !gallery.Labels.Contains(c), -1);
        if (missing >= 0) throw new DinoSharpException($"{gallery.Name}: '{gallery.Classes[missing]}' has no picture that can be read");
        Tensor x = ClassifierFit.Vectors(store, stored, meanPatch); // [N, D']
        var near = new Neighborhood(x, gallery.Labels, foreign.Length == 0 ? null : ClassifierFit.Vectors(store, foreign, meanPatch));
        (double[] same, double[] other) = near.Similarities(_ => true, _ => true);
        if (same.Length + other.Length == 0) throw new DinoSharpException($"{gallery.Name}: from a single picture no threshold for unknown can be set; add pictures of it, other things, or pictures of what is not to be recognised (--unknown)");
        double threshold = Threshold(same, other);
        var network = new NeighborHead((int)x.shape[0], (int)x.shape[1], gallery.Classes.Count, Rule with { UnknownBelow = threshold }, model.Backbone.parameters().First().device);
        network.Remember(x, tensor(gallery.Labels.Select(l => (long)l).ToArray()));
        (ConfidenceInterval? unknown, ConfidenceInterval? known) = Rates(near, gallery.Classes.Count, options.Seed);
        (int Picture, int Named, int Nearest, double Similarity)[] decisions = [.. near.Decisions()];
        ConfidenceInterval? top1 = decisions.Length == 0 ? null : Bootstrap.Mean([.. decisions.Select(d => d.Named == gallery.Labels[d.Picture] ? 1.0 : 0)], [.. decisions.Select(d => gallery.Classes[gallery.Labels[d.Picture]])]);
        var metrics = new Dictionary<string, double> { ["threshold"] = threshold, ["n"] = gallery.Count };
        if (top1 is { } t) metrics["top1"] = t.Value;
        if (unknown is { } u) metrics["falsely_unknown"] = u.Value;
        if (known is { } k) metrics["falsely_known"] = k.Value;
        return new EnrollmentResult
        {
            Head = new ImageClassifier(model.Backbone, input, network, new ClassNames(gallery.Classes), meanPatch) { BackboneName = model.Name, Metrics = metrics },
            Threshold = threshold,
            Top1 = top1,
            FalselyUnknown = unknown,
            FalselyKnown = known,
            Examples = Examples(gallery, decisions, threshold, options.Seed),
            Count = gallery.Count,
            Computed = store.Computed,
            Unreadable = unreadable,
        };
    }

    private static EnrolledExample[] Examples(LabelledImages gallery, (int Picture, int Named, int Nearest, double Similarity)[] decisions, double threshold, int seed)
    {
        decisions = [.. decisions];
        new Random(seed).Shuffle(decisions);
        return [.. decisions
            .Select(d => new EnrolledExample(gallery.Paths[d.Picture], gallery.Classes[gallery.Labels[d.Picture]], gallery.Classes[d.Named], gallery.Paths[d.Nearest], d.Similarity, d.Similarity < threshold))
            .GroupBy(e => e.IsUnknown ? 2 : e.Named == e.Thing ? 0 : 1).OrderBy(g => g.Key).SelectMany(g => g.Take(ExamplesOfEach))];
    }

    /// <summary>The similarity that divides both best: the fewest errors, each kind counted as a share of its own.</summary>
    internal static double Threshold(IReadOnlyList<double> same, IReadOnlyList<double> other)
    {
        // With one kind only, all but its tail.
        if (same.Count == 0) return other.Order().ElementAt((int)((1 - Tail) * (other.Count - 1)));
        if (other.Count == 0) return same.Order().ElementAt((int)(Tail * (same.Count - 1)));
        double[] all = [.. same.Concat(other).Distinct().Order()];
        IEnumerable<double> candidates = [all[0] - 1e-6, .. all.Zip(all.Skip(1)).Select(p => (p.First + p.Second) / 2), all[^1] + 1e-6];
        return candidates.MinBy(t => (same.Count(s => s < t) / (double)same.Count) + (other.Count(s => s >= t) / (double)other.Count));
    }

    // Half of the things sets a threshold, as if there were no others; the other half is judged with it, then the other way round. Whole things, because pictures of one thing are each other's nearest.
    private static (ConfidenceInterval? Unknown, ConfidenceInterval? Known) Rates(Neighborhood near, int things, int seed)
    {
        int[] order = [.. Enumerable.Range(0, things)];
        new Random(seed).Shuffle(order);
        HashSet<int> first = [.. order.Take((things + 1) / 2)];
        List<double> unknown = [], known = [];
        List<string> ofUnknown = [], ofKnown = [];
        foreach (bool half in (bool[])[true, false])
        {
            (double[] same, double[] other) = near.Similarities(c => first.Contains(c) != half, f => (f % 2 == 0) != half);
            if (same.Length + other.Length == 0) continue;
            double threshold = Threshold(same, other);
            foreach ((int thing, double own, double strange) in near.Pictures().Where(p => first.Contains(p.Thing) == half))
            {
                if (double.IsFinite(own)) Add(unknown, ofUnknown, own < threshold, thing);
                if (double.IsFinite(strange)) Add(known, ofKnown, strange >= threshold, thing);
            }

            for (int f = half ? 0 : 1; f < near.Foreign.Length; f += 2) Add(known, ofKnown, near.Foreign[f] >= threshold, -1 - f);
        }

        return (unknown.Count == 0 ? null : Bootstrap.Mean(unknown, ofUnknown), known.Count == 0 ? null : Bootstrap.Mean(known, ofKnown));

        static void Add(List<double> values, List<string> groups, bool wrong, int group)
        {
            values.Add(wrong ? 1 : 0);
            groups.Add(group.ToString(CultureInfo.InvariantCulture));
        }
    }

    // How alike every picture is to every other one.
    private sealed class Neighborhood
    {
        private readonly IReadOnlyList<int> _labels;
        private readonly float[] _all;
        private readonly long[] _named, _nearest;

        public Neighborhood(Tensor x, IReadOnlyList<int> labels, Tensor? foreign)
        {
            using var scope = NewDisposeScope();
            Tensor unit = nn.functional.normalize(x); // [N, D']
            _labels = labels;
            Tensor all = unit.matmul(unit.t()); // [N, N]
            _all = [.. all.cpu().contiguous().data<float>()];
            (Tensor similarities, Tensor neighbors) = all.masked_fill(eye(all.shape[0], dtype: ScalarType.Bool, device: all.device), Num(double.NegativeInfinity)).topk((int)Math.Min(Rule.Count, Math.Max(1, all.shape[0] - 1)), 1); // [N, k]
            Tensor votes = NeighborHead.Count(similarities, neighbors, tensor(labels.Select(l => (long)l).ToArray(), device: all.device), labels.Max() + 1, Rule); // [N, K]
            (_named, _nearest) = ([.. votes.argmax(1).cpu().data<long>()], [.. neighbors.select(1, 0).contiguous().cpu().data<long>()]);
            Foreign = foreign is null ? [] : [.. nn.functional.normalize(foreign).matmul(unit.t()).max(1).values.cpu().data<float>().Select(s => (double)s)]; // [M]
        }

        // The nearest enrolled picture of each that shows nothing enrolled.
        public double[] Foreign { get; }

        // For each picture the nearest other one of its thing, and the nearest of another thing.
        public IEnumerable<(int Thing, double Own, double Strange)> Pictures(Func<int, bool>? among = null) =>
            Enumerable.Range(0, _labels.Count).Where(i => among?.Invoke(_labels[i]) != false).Select(i => (_labels[i], Nearest(i, own: true, among), Nearest(i, own: false, among)));

        // What must stay known and what must stay unknown, if only some things were enrolled and only some strangers seen.
        public (double[] Same, double[] Other) Similarities(Func<int, bool> things, Func<int, bool> strangers)
        {
            (int Thing, double Own, double Strange)[] pictures = [.. Pictures(things)];
            return ([.. pictures.Select(p => p.Own).Where(double.IsFinite)], [.. pictures.Select(p => p.Strange).Where(double.IsFinite), .. Foreign.Where((_, f) => strangers(f))]);
        }

        // What the others say of each picture that has another one of its thing among them, by the rule of the head.
        public IEnumerable<(int Picture, int Named, int Nearest, double Similarity)> Decisions() =>
            Enumerable.Range(0, _labels.Count).Where(i => double.IsFinite(Nearest(i, own: true, null))).Select(i => (i, (int)_named[i], (int)_nearest[i], (double)_all[(i * _labels.Count) + (int)_nearest[i]]));

        private double Nearest(int i, bool own, Func<int, bool>? among)
        {
            double nearest = double.NegativeInfinity;
            for (int j = 0; j < _labels.Count; j++)
            {
                if (i != j && (_labels[j] == _labels[i]) == own && among?.Invoke(_labels[j]) != false) nearest = Math.Max(nearest, _all[(i * _labels.Count) + j]);
            }

            return nearest;
        }
    }
}
