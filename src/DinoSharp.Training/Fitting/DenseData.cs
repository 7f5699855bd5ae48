using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;

namespace DinoSharp.Training.Fitting;

/// <summary>Pictures of a dense fit whose features are stored; what could not be read is left out of the pairs.</summary>
/// <param name="Train">To learn from.</param>
/// <param name="TrainImages">Their features.</param>
/// <param name="Validation">To judge by.</param>
/// <param name="ValidationImages">Their features.</param>
/// <param name="Unreadable">What was left out.</param>
/// <param name="Pictures">How many there were to begin with.</param>
internal sealed record DenseData(
    MapPairs Train, IReadOnlyList<StoredImage> TrainImages, MapPairs Validation, IReadOnlyList<StoredImage> ValidationImages, IReadOnlyList<ImageException> Unreadable, int Pictures)
{
    public static DenseData Prepare(FeatureStore store, MapPairs train, MapPairs validation, IProgress<long>? progress, CancellationToken cancel)
    {
        PictureGroups.RefuseShared((train.Name, train.Groups), (validation.Name, validation.Groups));
        (IReadOnlyList<StoredImage?> images, IReadOnlyList<ImageException> errors) = store.Prepare([.. train.Images, .. validation.Images], progress, cancel);
        (MapPairs learn, StoredImage[] learnImages) = Readable(train, [.. images.Take(train.Count)]);
        (MapPairs judge, StoredImage[] judgeImages) = Readable(validation, [.. images.Skip(train.Count)]);
        return new DenseData(learn, learnImages, judge, judgeImages, errors, images.Count);
    }

    private static (MapPairs Pairs, StoredImage[] Images) Readable(MapPairs pairs, StoredImage?[] stored)
    {
        int[] readable = [.. Enumerable.Range(0, pairs.Count).Where(i => stored[i] is not null)];
        if (readable.Length == 0) throw new DinoSharpException($"{pairs.Name}: none of the {pairs.Count} pictures can be read, for example {pairs.Images[0]}");
        return (pairs.Select(readable), [.. readable.Select(i => stored[i]!)]);
    }
}
