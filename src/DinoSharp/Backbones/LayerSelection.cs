using System.Collections;
using System.Runtime.CompilerServices;

namespace DinoSharp.Backbones;

/// <summary>Which layers of a backbone to take features from: blocks of a ViT, stages of a ConvNeXt. Written as <c>[-4, -1]</c> or <see cref="Last"/>.</summary>
/// <remarks>Index 0 is the first layer, -1 the last. Features always come out in network order, whatever the order given.</remarks>
[CollectionBuilder(typeof(LayerSelection), nameof(Create))]
public sealed class LayerSelection : IEnumerable<int>
{
    private readonly int[] _indices;
    private readonly int? _last;

    private LayerSelection(int[] indices, int? last) => (_indices, _last) = (indices, last);

    /// <summary>Only the last layer.</summary>
    public static LayerSelection Final { get; } = Last(1);

    /// <summary>Every layer.</summary>
    public static LayerSelection All { get; } = new([], int.MaxValue);

    /// <summary>The last <paramref name="count"/> layers.</summary>
    /// <param name="count">At least 1.</param>
    public static LayerSelection Last(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        return new([], count);
    }

    /// <summary>Layers by index; negative indices count from the end.</summary>
    /// <param name="indices">Each in [-L, L-1] for a backbone of L layers.</param>
    public static LayerSelection Create(ReadOnlySpan<int> indices) => new(indices.ToArray(), null);

    /// <summary>The indices in network order.</summary>
    /// <param name="layerCount">Layers L of the backbone.</param>
    /// <exception cref="DinoSharpException">An index is out of range or named twice, or more layers are wanted than there are.</exception>
    public int[] Resolve(int layerCount)
    {
        if (_last is int last)
        {
            if (last != int.MaxValue && last > layerCount) throw new DinoSharpException($"the last {last} layers were asked for, but the backbone has {layerCount}");
            int count = Math.Min(last, layerCount);
            return [.. Enumerable.Range(layerCount - count, count)];
        }

        if (_indices.Length == 0) throw new DinoSharpException("no layer was asked for; name at least one, for example [-1]");
        var resolved = new SortedSet<int>();
        foreach (int index in _indices)
        {
            int layer = index < 0 ? layerCount + index : index;
            if (layer < 0 || layer >= layerCount) throw new DinoSharpException($"layer {index} does not exist; the backbone has layers 0 to {layerCount - 1}, or -1 to -{layerCount} from the end");
            if (!resolved.Add(layer)) throw new DinoSharpException($"layer {layer} was asked for twice");
        }

        return [.. resolved];
    }

    /// <inheritdoc/>
    public override string ToString() => _last switch
    {
        null => $"[{string.Join(", ", _indices)}]",
        int.MaxValue => "all layers",
        _ => $"last {_last}",
    };

    /// <summary>The indices as given; empty for <see cref="Last"/> and <see cref="All"/>.</summary>
    public IEnumerator<int> GetEnumerator() => ((IEnumerable<int>)_indices).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => _indices.GetEnumerator();
}
