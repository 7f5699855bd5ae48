using DinoSharp.Images;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>The first pictures of a synthetic world as a labelled data set. Nothing is stored: a picture is drawn when it is read.</summary>
public sealed class SyntheticDataset : ImageDataset
{
    /// <summary>As many pictures as the description <c>Synthetic:</c> has if it does not say.</summary>
    public const int DefaultCount = 100_000;

    private readonly SyntheticWorld _world;
    private readonly SyntheticOptions _options;

    /// <summary>Opens a part of the world.</summary>
    /// <param name="options">Seed and size; null for the defaults.</param>
    /// <param name="count">Number of pictures.</param>
    public SyntheticDataset(SyntheticOptions? options = null, int count = DefaultCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        _options = options ?? new SyntheticOptions();
        _world = new SyntheticWorld(_options);
        Count = count;
    }

    /// <inheritdoc/>
    public override string Name => $"Synthetic:seed={_options.Seed}:count={Count}";

    /// <inheritdoc/>
    public override int Count { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Classes => SyntheticClasses.Names;

    /// <inheritdoc/>
    public override int? LabelOf(int index) => _world.LabelOf(index);

    /// <inheritdoc/>
    public override string PathOf(int index) => $"Synthetic:seed={_options.Seed}, picture {index}";

    /// <inheritdoc/>
    public override ImageBuffer Read(int index) => _world.DrawPicture(index);

    internal override IEnumerable<string> Identity => [Name];
}
