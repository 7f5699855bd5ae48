using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;

namespace DinoSharp.Training.Fitting;

/// <summary>Pictures of a dense fit whose features are stored; what could not be read is left out of the pairs.</summary>
/// <param name="Train">To learn from.</param>
/// <param name="TrainImages">Their features; then, if wanted, those of the same pictures seen in a mirror.</param>
/// <param name="Validation">To judge by.</param>
/// <param name="ValidationImages">Their features.</param>
/// <param name="Unreadable">What was left out.</param>
/// <param name="Pictures">How many there were to begin with, mirrored ones included.</param>
internal sealed record DenseData(
    MapPairs Train, IReadOnlyList<StoredImage> TrainImages, MapPairs Validation, IReadOnlyList<StoredImage> ValidationImages, IReadOnlyList<ImageException> Unreadable, int Pictures)
{
    public static DenseData Prepare(FeatureStore store, MapPairs train, MapPairs validation, bool flip, IProgress<long>? progress, CancellationToken cancel)
    {
        PictureGroups.RefuseShared((train.Name, train.Groups), (validation.Name, validation.Groups));
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> errors) = store.Prepare([.. train.Images, .. validation.Images], progress, cancel);
        (MapPairs learn, StoredImage[] learnImages) = Readable(train, [.. images.Take(train.Count)]);
        (MapPairs judge, StoredImage[] judgeImages) = Readable(validation, [.. images.Skip(train.Count)]);
        if (flip) learnImages = [.. learnImages, .. Mirrored(store, learnImages, images.Count, progress, cancel)];
        return new DenseData(learn, learnImages, judge, judgeImages, errors, images.Count + learnImages.Length - learn.Count);
    }

    /// <summary>The same pictures seen in a mirror, in the same order.</summary>
    /// <param name="store">Holds the features.</param>
    /// <param name="images">Pictures that can be read.</param>
    /// <param name="done">Pictures before them, for the progress.</param>
    /// <param name="progress">Told how many have their features.</param>
    /// <param name="cancel">Stops between batches.</param>
    public static StoredImage[] Mirrored(FeatureStore store, IReadOnlyList<StoredImage> images, int done, IProgress<long>? progress, CancellationToken cancel)
    {
        (IReadOnlyList<StoredImage?> mirrored, _) = store.Prepare([.. images.Select(i => i.Path)], progress is null ? null : new Shifted(progress, done), cancel, mirrored: true);
        return [.. mirrored.Select((m, i) => m ?? throw new DinoSharpException($"{images[i].Path}: could be read before and cannot be read now; was it changed meanwhile?"))];
    }

    private static (MapPairs Pairs, StoredImage[] Images) Readable(MapPairs pairs, StoredImage?[] stored)
    {
        int[] readable = [.. Enumerable.Range(0, pairs.Count).Where(i => stored[i] is not null)];
        if (readable.Length == 0) throw new DinoSharpException($"{pairs.Name}: none of the {pairs.Count} pictures can be read, for example {pairs.Images[0]}");
        return (pairs.Select(readable), [.. readable.Select(i => stored[i]!)]);
    }
}
