using System.Collections.Immutable;
using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>The tensors of a recognised backbone under their official names and shapes.</summary>
internal sealed class OfficialView
{
    private readonly TensorFile _file;
    private readonly List<ExplainedName> _ignored = [];
    private readonly List<string> _unexpected = [];
    private readonly List<ExplainedName> _mismatched = [];
    private readonly OrderedDictionary<string, FileSource> _tensors = new(StringComparer.Ordinal);

    public OfficialView(TensorFile file, DetectedBackbone backbone)
    {
        _file = file;
        Layout = backbone.Layout;
        Family = backbone.Family;
        FeedForward = backbone.Entries.ContainsKey("layer.0.mlp.gate_proj.weight") || backbone.Entries.ContainsKey("blocks.0.mlp.fc1_g.weight")
            || backbone.Entries.ContainsKey("blocks.0.mlp.w1.weight")
            ? FeedForwardKind.SwiGlu
            : FeedForwardKind.Mlp;
        foreach (TensorEntry outside in backbone.Outside) _ignored.Add(new ExplainedName(outside.Name, $"outside the backbone '{backbone.Prefix}'"));
        if (NameMap.For(Layout, Family, FeedForward) is { } map) Translate(backbone.Entries, map);
        else foreach ((string name, TensorEntry entry) in backbone.Entries) Add(name, [entry]);
        DropAliases();
    }

    public WeightLayout Layout { get; }

    public BackboneFamily Family { get; }

    /// <summary>Kind of feed-forward network; without meaning for a ConvNeXt.</summary>
    public FeedForwardKind FeedForward { get; }

    /// <summary>Official name → where its values are.</summary>
    public IReadOnlyDictionary<string, FileSource> Tensors => _tensors;

    /// <summary>Entries of the file that are not needed.</summary>
    public IReadOnlyList<ExplainedName> Ignored => _ignored;

    /// <summary>Entries of the file that the layout does not know.</summary>
    public IReadOnlyList<string> Unexpected => _unexpected;

    /// <summary>Official names that cannot be put together, and why.</summary>
    public IReadOnlyList<ExplainedName> Mismatched => _mismatched;

    private void Translate(OrderedDictionary<string, TensorEntry> entries, NameMap map)
    {
        var groups = new OrderedDictionary<string, TensorEntry?[]>(StringComparer.Ordinal);
        foreach ((string name, TensorEntry entry) in entries)
        {
            if (!map.TryToOfficial(name, out string? official, out int share))
            {
                _unexpected.Add(entry.Name);
                continue;
            }

            if (!groups.TryGetValue(official, out TensorEntry?[]? parts))
                groups.Add(official, parts = new TensorEntry?[map.ToForeign(official)!.Length]);
            parts[share] = entry;
        }

        foreach ((string official, TensorEntry?[] parts) in groups)
        {
            string?[] expected = map.ToForeign(official)!;
            string[] absent = [.. expected.Where((name, share) => name is not null && parts[share] is null)!];
            TensorEntry first = parts.First(part => part is not null)!;

            // A projection may go without a bias, which counts as zeros; a weight may not.
            if (absent.Length > 0 && !official.EndsWith(".bias", StringComparison.Ordinal))
                _mismatched.Add(new ExplainedName(official, $"the file lacks {string.Join(" and ", absent)}"));
            else if (parts.Length > 1 && parts.Any(part => part is not null && !CanFollow(part, first)))
                _mismatched.Add(new ExplainedName(official, $"its parts differ in shape or type: {string.Join(", ", parts.Where(part => part is not null))}"));
            else Add(official, parts);
        }
    }

    private static bool CanFollow(TensorEntry part, TensorEntry first) =>
        part.Shape.Length > 0 && part.Type == first.Type && part.Shape.SequenceEqual(first.Shape);

    private void Add(string official, TensorEntry?[] parts)
    {
        TensorEntry first = parts.First(part => part is not null)!;
        ImmutableArray<long> shape = first.Shape;
        if (parts.Length > 1) shape = shape.SetItem(0, shape[0] * parts.Length);
        if (official == "mask_token" && shape is [1, 1, _]) shape = shape.RemoveAt(0);
        if (official == "storage_tokens" && first.ElementCount == 0)
        {
            _ignored.Add(new ExplainedName(first.Name, "empty: the model has no registers"));
            return;
        }

        _tensors.Add(official, new FileSource(_file, [.. parts], first.Type, shape));
    }

    // The official ConvNeXt stores its final norm twice. A copy that was trained apart is no alias.
    private void DropAliases()
    {
        if (Family != BackboneFamily.ConvNeXt || Layout != WeightLayout.Official) return;
        foreach (string part in new[] { "weight", "bias" })
        {
            if (!_tensors.TryGetValue($"norms.3.{part}", out FileSource? alias)) continue;
            string name = alias.Parts[0]!.Name;
            if (_tensors.TryGetValue($"norm.{part}", out FileSource? norm) && SameValues(norm, alias))
                _ignored.Add(new ExplainedName(name, "the same tensor as norm"));
            else _mismatched.Add(new ExplainedName(name, $"must be the same as norm.{part} and is not"));
            _tensors.Remove($"norms.3.{part}");
        }
    }

    private static bool SameValues(FileSource a, FileSource b)
    {
        if (a.Type != b.Type || !a.Shape.SequenceEqual(b.Shape)) return false;
        using var scope = NewDisposeScope();
        return a.Read().bytes.SequenceEqual(b.Read().bytes);
    }
}
