using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;

namespace DinoSharp.Training.Fitting;

/// <summary>Pictures of a dense fit whose features are stored; what could not be read is left out of the annotations.</summary>
/// <typeparam name="TSet">How they are annotated.</typeparam>
/// <param name="Train">To learn from.</param>
/// <param name="TrainImages">Their features; then, if wanted, those of the same pictures seen in a mirror.</param>
/// <param name="Validation">To judge by.</param>
/// <param name="ValidationImages">Their features.</param>
/// <param name="Unreadable">What was left out.</param>
internal sealed record DenseData<TSet>(
    TSet Train, IReadOnlyList<StoredImage> TrainImages, TSet Validation, IReadOnlyList<StoredImage> ValidationImages, IReadOnlyList<ImageException> Unreadable)
    where TSet : IAnnotatedPictures<TSet>
{
    /// <summary>How many pictures of <see cref="Train"/> there are; picture i of <see cref="TrainImages"/> has the annotations of i modulo this.</summary>
    public int Count => Train.Pictures.Count;

    /// <summary>How many pictures went by, unreadable and mirrored ones included.</summary>
    public int Seen => TrainImages.Count + ValidationImages.Count + Unreadable.Count;

    public static DenseData<TSet> Prepare(FeatureStore store, TSet train, TSet validation, bool flip, IProgress<long>? progress, CancellationToken cancel)
    {
        PictureGroups.RefuseShared((train.Name, train.Groups), (validation.Name, validation.Groups));
        int count = train.Pictures.Count;
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> errors) = store.Prepare([.. train.Pictures, .. validation.Pictures], progress, cancel);
        (TSet learn, StoredImage[] learnImages) = Readable(train, [.. images.Take(count)]);
        (TSet judge, StoredImage[] judgeImages) = Readable(validation, [.. images.Skip(count)]);
        if (flip) learnImages = [.. learnImages, .. Mirror.Images(store, learnImages, images.Count, progress, cancel)];
        return new DenseData<TSet>(learn, learnImages, judge, judgeImages, errors);
    }

    private static (TSet Set, StoredImage[] Images) Readable(TSet set, StoredImage?[] stored)
    {
        int[] readable = [.. Enumerable.Range(0, stored.Length).Where(i => stored[i] is not null)];
        if (readable.Length == 0) throw new DinoSharpException($"{set.Name}: none of the {stored.Length} pictures can be read, for example {set.Pictures[0]}");
        return (set.Select(readable), [.. readable.Select(i => stored[i]!)]);
    }
}

internal static class Mirror
{
    /// <summary>The same pictures seen in a mirror, in the same order.</summary>
    /// <param name="store">Holds the features.</param>
    /// <param name="images">Pictures that can be read.</param>
    /// <param name="done">Pictures before them, for the progress.</param>
    /// <param name="progress">Told how many have their features.</param>
    /// <param name="cancel">Stops between batches.</param>
    public static StoredImage[] Images(FeatureStore store, IReadOnlyList<StoredImage> images, int done, IProgress<long>? progress, CancellationToken cancel)
    {
        (IReadOnlyList<StoredImage?> mirrored, _) = store.Prepare([.. images.Select(i => i.Path)], progress is null ? null : new Shifted(progress, done), cancel, mirrored: true);
        return [.. mirrored.Select((m, i) => m ?? throw new DinoSharpException($"{images[i].Path}: could be read before and cannot be read now; was it changed meanwhile?"))];
    }
}
