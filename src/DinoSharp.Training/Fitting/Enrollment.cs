using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

/// <summary>Things that were enrolled from a few pictures each. Owns the head.</summary>
public sealed record EnrollmentResult : IDisposable
{
    /// <summary>Names the nearest thing, or says that it is unknown.</summary>
    public required ImageClassifier Head { get; init; }

    /// <summary>Cosine similarity below which a picture is unknown.</summary>
    public required double Threshold { get; init; }

    /// <summary>Share of enrolled pictures that are named right when each is left out in turn; null if no thing has two pictures.</summary>
    public ConfidenceInterval? Top1 { get; init; }

    /// <summary>Share of pictures of enrolled things that would be called unknown; null if no thing has two pictures. Judged with a threshold that was set on the other half of the pictures.</summary>
    public ConfidenceInterval? FalselyUnknown { get; init; }

    /// <summary>Share of pictures of things that are not enrolled which would be taken for known; null if there is one thing only and no pictures of others. Judged likewise.</summary>
    public ConfidenceInterval? FalselyKnown { get; init; }

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
    private const int Neighbors = 3;
    private const double Temperature = 0.07, Tail = 0.05;

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
        Similarities near = Compare(x, gallery.Labels, foreign.Length == 0 ? null : ClassifierFit.Vectors(store, foreign, meanPatch));
        if (near.Same.Count + near.Other.Count == 0) throw new DinoSharpException($"{gallery.Name}: from a single picture no threshold for unknown can be set; add pictures of it, other things, or pictures of what is not to be recognised (--unknown)");
        double threshold = Threshold(near.Same, near.Other);
        var network = new NeighborHead((int)x.shape[0], (int)x.shape[1], gallery.Classes.Count, new NeighborRule(Neighbors, Temperature, threshold), model.Backbone.parameters().First().device);
        network.Remember(x, tensor(gallery.Labels.Select(l => (long)l).ToArray()));
        (ConfidenceInterval? unknown, ConfidenceInterval? known) = Rates(near);
        ConfidenceInterval? top1 = near.Right.Count == 0 ? null : Bootstrap.Mean(near.Right);
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
            Count = gallery.Count,
            Computed = store.Computed,
            Unreadable = unreadable,
        };
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

    private static Similarities Compare(Tensor x, IReadOnlyList<int> labels, Tensor? foreign)
    {
        using var scope = NewDisposeScope();
        Tensor unit = nn.functional.normalize(x); // [N, D']
        int count = labels.Count;
        float[] all = [.. unit.matmul(unit.t()).cpu().contiguous().data<float>()]; // [N, N]
        List<double> same = [], other = [], right = [];
        for (int i = 0; i < count; i++)
        {
            double own = double.NegativeInfinity, strange = double.NegativeInfinity;
            for (int j = 0; j < count; j++)
            {
                if (i == j) continue;
                double s = all[(i * count) + j];
                if (labels[j] == labels[i]) own = Math.Max(own, s);
                else strange = Math.Max(strange, s);
            }

            if (double.IsFinite(own)) same.Add(own);
            if (double.IsFinite(strange)) other.Add(strange);
            if (double.IsFinite(own)) right.Add(own > strange ? 1 : 0);
        }

        if (foreign is not null)
        {
            Tensor nearest = nn.functional.normalize(foreign).matmul(unit.t()).max(1).values; // [M]
            other.AddRange(nearest.cpu().data<float>().Select(s => (double)s));
        }

        return new Similarities(same, other, right);
    }

    // Each half is judged with the threshold of the other.
    private static (ConfidenceInterval? Unknown, ConfidenceInterval? Known) Rates(Similarities near)
    {
        List<double> unknown = [], known = [];
        for (int half = 0; half < 2; half++)
        {
            double[] sameHere = Half(near.Same, half), otherHere = Half(near.Other, half), sameThere = Half(near.Same, 1 - half), otherThere = Half(near.Other, 1 - half);
            if (sameThere.Length + otherThere.Length == 0) continue;
            double threshold = Threshold(sameThere, otherThere);
            unknown.AddRange(sameHere.Select(s => s < threshold ? 1.0 : 0));
            known.AddRange(otherHere.Select(s => s >= threshold ? 1.0 : 0));
        }

        return (unknown.Count == 0 ? null : Bootstrap.Mean(unknown), known.Count == 0 ? null : Bootstrap.Mean(known));

        static double[] Half(List<double> values, int half) => [.. values.Where((_, i) => i % 2 == half)];
    }

    private sealed record Similarities(List<double> Same, List<double> Other, List<double> Right);
}
