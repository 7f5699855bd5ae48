using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>Keeps decoded images in memory, as many as a limit allows: small sets are then decoded only once.</summary>
public sealed class CachedDataset : ImageDataset
{
    private readonly ImageDataset _images;
    private readonly ImageBuffer?[] _kept;
    private readonly long _maxBytes;
    private long _bytes;

    /// <summary>Wraps a data set.</summary>
    /// <param name="images">The data set.</param>
    /// <param name="maxBytes">Largest number of bytes of pixels to keep; what comes after that is decoded each time.</param>
    public CachedDataset(ImageDataset images, long maxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxBytes);
        (_images, _maxBytes, _kept) = (images, maxBytes, new ImageBuffer?[images.Count]);
    }

    /// <inheritdoc/>
    public override string Name => _images.Name;

    /// <inheritdoc/>
    public override int Count => _images.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Classes => _images.Classes;

    /// <summary>Bytes of pixels that are kept.</summary>
    public long CachedBytes => Interlocked.Read(ref _bytes);

    /// <inheritdoc/>
    public override int? LabelOf(int index) => _images.LabelOf(index);

    /// <inheritdoc/>
    public override string PathOf(int index) => _images.PathOf(index);

    /// <inheritdoc/>
    public override ImageBuffer Read(int index)
    {
        if (Volatile.Read(ref _kept[index]) is ImageBuffer kept) return kept;
        ImageBuffer image = _images.Read(index);
        long bytes = image.Info.ByteCount;
        if (Interlocked.Add(ref _bytes, bytes) > _maxBytes || Interlocked.CompareExchange(ref _kept[index], image, null) is not null) Interlocked.Add(ref _bytes, -bytes);
        return image;
    }

    internal override Range SourceOf(int index) => _images.SourceOf(index);

    /// <summary>The data set itself, for what depends on its kind.</summary>
    internal ImageDataset Inner => _images;
}
