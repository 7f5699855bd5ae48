using DinoSharp.Images;

namespace DinoSharp.Training.Data;

/// <summary>Several sources as one: each contributes its share of the samples, however many images it has.</summary>
public sealed class MixedDataset : ImageDataset
{
    private readonly int[] _firsts;

    /// <summary>Mixes sources.</summary>
    /// <param name="sources">The sources with their weights: positive, in any unit.</param>
    /// <exception cref="DinoSharpException">There is no source, a weight is not positive, or there are more images than can be numbered.</exception>
    public MixedDataset(IReadOnlyList<(ImageDataset Dataset, double Weight)> sources)
    {
        if (sources.Count == 0) throw new DinoSharpException("a mixture needs at least one source");
        foreach ((ImageDataset dataset, double weight) in sources)
        {
            if (!(weight > 0 && double.IsFinite(weight))) throw new DinoSharpException(FormattableString.Invariant($"the weight {weight} of {dataset.Name} is not a positive number"));
        }

        if (sources.Sum(s => (long)s.Dataset.Count) > int.MaxValue) throw new DinoSharpException($"the sources hold {sources.Sum(s => (long)s.Dataset.Count)} images together; at most {int.MaxValue} can be mixed");
        double total = sources.Sum(s => s.Weight);
        Sources = [.. sources.Select(s => (s.Dataset, s.Weight / total))];
        _firsts = new int[sources.Count];
        for (int i = 1; i < _firsts.Length; i++) _firsts[i] = _firsts[i - 1] + sources[i - 1].Dataset.Count;
    }

    /// <summary>The sources with their shares of the samples, which sum to 1.</summary>
    public IReadOnlyList<(ImageDataset Dataset, double Share)> Sources { get; }

    /// <inheritdoc/>
    public override string Name => string.Join(" + ", Sources.Select(s => FormattableString.Invariant($"{s.Share:0.###} * {s.Dataset.Name}")));

    /// <inheritdoc/>
    public override int Count => _firsts[^1] + Sources[^1].Dataset.Count;

    /// <inheritdoc/>
    public override string PathOf(int index) => Locate(index, out int inner).PathOf(inner);

    /// <inheritdoc/>
    public override ImageBuffer Read(int index) => Locate(index, out int inner).Read(inner);

    /// <summary>Number of the first image of a source.</summary>
    internal int FirstOf(int source) => _firsts[source];

    internal override Range SourceOf(int index)
    {
        int source = Find(index);
        return _firsts[source]..(_firsts[source] + Sources[source].Dataset.Count);
    }

    private ImageDataset Locate(int index, out int inner)
    {
        int source = Find(index);
        inner = index - _firsts[source];
        return Sources[source].Dataset;
    }

    private int Find(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        int found = Array.BinarySearch(_firsts, index);
        return found >= 0 ? found : ~found - 1;
    }
}
