using System.Collections.Immutable;
using DinoSharp.Backbones;
using static TorchSharp.torch;

namespace DinoSharp.Weights;

/// <summary>
/// A backbone written in another layout: the list of its tensors and how to make each, the metadata that keeps what the layout has no
/// tensor for, and the names of what is lost.
/// </summary>
internal sealed class LayoutTranslation
{
    private readonly WeightLayout _target;
    private readonly ElementType? _type;
    private readonly IReadOnlyDictionary<string, TensorSource> _sources;
    private readonly VisionTransformerConfig? _vit;
    private readonly OrderedDictionary<string, (TensorEntry Entry, Func<Tensor> Read)> _tensors = new(StringComparer.Ordinal);
    private readonly OrderedDictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly List<ExplainedName> _lost = [];

    /// <param name="path">The source, for messages.</param>
    /// <param name="config">The network.</param>
    /// <param name="sources">Its tensors under official names, complete.</param>
    /// <param name="target">The layout to write.</param>
    /// <param name="type">Element type of all floating-point tensors; null: as they are.</param>
    public LayoutTranslation(string path, BackboneConfig config, IReadOnlyDictionary<string, TensorSource> sources, WeightLayout target, ElementType? type)
    {
        (_target, _type, _sources, _vit) = (target, type, sources, config as VisionTransformerConfig);
        if (target == WeightLayout.Official) CopyOfficial(config);
        else Translate(path, config);
        if (type is { } narrow && _tensors.Count > 0 && sources.Values.Any(source => source.Type.IsFloat() && source.Type.Bytes() > narrow.Bytes()))
            _lost.Add(new ExplainedName("(all floating-point tensors)", $"values are rounded to {narrow}"));
    }

    /// <summary>The tensors to write, in order.</summary>
    public IReadOnlyList<TensorEntry> Entries => [.. _tensors.Values.Select(tensor => tensor.Entry)];

    /// <summary>Texts that keep what the layout has no tensor for.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>What the result no longer holds.</summary>
    public IReadOnlyList<ExplainedName> Lost => _lost;

    /// <summary>Whether the result has a bias on the keys.</summary>
    public bool KeyBias { get; private set; }

    /// <summary>Makes one tensor.</summary>
    public Tensor Read(TensorEntry entry) => _tensors[entry.Name].Read();

    private void CopyOfficial(BackboneConfig config)
    {
        foreach ((string name, TensorSource source) in _sources) Add(name, source.Type, source.Shape, source.Read);
        if (config is not ConvNeXtConfig) return;
        foreach (string part in new[] { "weight", "bias" })
            Add($"norms.3.{part}", _sources[$"norm.{part}"].Type, _sources[$"norm.{part}"].Shape, _sources[$"norm.{part}"].Read);
    }

    private void Translate(string path, BackboneConfig config)
    {
        RequireExpressible(path, config);
        BackboneFamily family = _vit is null ? BackboneFamily.ConvNeXt : BackboneFamily.VisionTransformer;
        NameMap map = NameMap.For(_target, family, _vit?.FeedForward ?? FeedForwardKind.Mlp)!;
        bool[] biased = BiasedThirds();
        KeyBias = biased[1];
        if (KeyBias && _target == WeightLayout.Timm)
            throw new TensorFileException(path, "its keys have a bias, which the timm layout has no place for; convert to the official or Hugging Face layout");
        foreach ((string name, TensorSource source) in _sources)
        {
            if (map.ToForeign(name) is not { } foreign) Drop(name, source);
            else if (NameMap.Fits("blocks.#.attn.qkv.bias", name)) SplitBias(name, source, foreign, biased);
            else if (name == "mask_token") Add(foreign[0]!, source.Type, source.Shape.Insert(0, 1), () => source.Read().unsqueeze(0)); // [1, 1, D]
            else Split(source, foreign, source.Read);
        }

        if (_vit is { Registers: 0 } && _target == WeightLayout.HuggingFace)
        {
            // The module there has one always.
            Add(map.ToForeign("storage_tokens")![0]!, _sources["cls_token"].Type, [1, 0, _vit.Width], () => empty(1, 0, _vit.Width));
        }

        KeepBiasMask();
    }

    // What the other project's code would not compute in the same way must not be written as if it would.
    private void RequireExpressible(string path, BackboneConfig config)
    {
        string? problem = config switch
        {
            VisionTransformerConfig { Norm: NormKind.RmsNorm } => "root-mean-square norms",
            VisionTransformerConfig { UntieClassAndPatchNorms: true } => "a final norm of its own for the class token",
            VisionTransformerConfig { LayerScale: null } => "blocks without layer scale",
            VisionTransformerConfig { Rotary.Base: null } => "rotary periods that are given by their limits",
            VisionTransformerConfig { Rotary.Normalization: not RotaryNormalization.Separate } => "rotary coordinates that are not scaled by axis",
            VisionTransformerConfig { Registers: 0 } when _target == WeightLayout.Timm => "no registers",
            VisionTransformerConfig vit when _target == WeightLayout.Timm
                && (vit.Rotary.Base != 100 || vit.NormEpsilon != 1e-5) => "another rotary base or norm epsilon than the published models",
            ConvNeXtConfig { LayerScale: <= 0 } => "blocks without layer scale",
            _ => null,
        };
        if (problem is not null)
            throw new TensorFileException(
                path,
                $"has {problem}, which a model of the {_target} layout does not compute; convert to the official layout instead");
    }

    private void Split(TensorSource source, string?[] foreign, Func<Tensor> read)
    {
        long rows = foreign.Length == 1 ? 0 : source.Shape[0] / foreign.Length;
        for (int share = 0; share < foreign.Length; share++)
        {
            if (foreign[share] is not { } name) continue;
            long first = share * rows;
            if (foreign.Length == 1) Add(name, source.Type, source.Shape, read);
            else Add(name, source.Type, source.Shape.SetItem(0, rows), () => read().narrow(0, first, rows));
        }
    }

    // Other layouts have no mask, so the bias that has an effect is written.
    private void SplitBias(string name, TensorSource source, string?[] foreign, bool[] biased)
    {
        bool any = biased[0] || biased[2];
        string?[] wanted = _target == WeightLayout.Timm
            ? (any ? foreign : [null, null, null])
            : [foreign[0], KeyBias ? foreign[1] : null, foreign[2]];
        Split(source, wanted, () => EffectiveBias(name));
        using var scope = NewDisposeScope();
        if (source.Read().ne(EffectiveBias(name)).any().item<bool>())
            _lost.Add(new ExplainedName(name, "values that its mask hides (they have no effect)"));
    }

    private Tensor EffectiveBias(string name)
    {
        Tensor bias = _sources[name].Read();
        return _sources.TryGetValue($"{name}_mask", out TensorSource? mask) ? bias * mask.Read().to(bias.dtype) : bias;
    }

    // For query, key and value: whether any block has a bias there.
    private bool[] BiasedThirds()
    {
        bool[] biased = [false, false, false];
        foreach (string name in _sources.Keys.Where(name => NameMap.Fits("blocks.#.attn.qkv.bias", name)))
        {
            using var scope = NewDisposeScope();
            Tensor[] thirds = EffectiveBias(name).chunk(3, 0);
            for (int i = 0; i < 3; i++) biased[i] |= thirds[i].ne(Num(0)).any().item<bool>();
        }

        return biased;
    }

    private void Drop(string name, TensorSource source)
    {
        using var scope = NewDisposeScope();
        if (NameMap.Fits("blocks.#.attn.qkv.bias_mask", name)) return; // kept as a text
        if (name == "rope_embed.periods")
            _metadata[WeightMetadata.PeriodsKey] = WeightMetadata.Text(source.Read().to(ScalarType.Float32).data<float>().ToArray());
        else if (name != "mask_token") _lost.Add(new ExplainedName(name, "has no place in this layout (used in training only)"));
        else if (source.Read().ne(Num(0)).any().item<bool>()) _lost.Add(new ExplainedName(name, "has no place in this layout (used with masks only)"));
    }

    private void KeepBiasMask()
    {
        string? kept = null;
        foreach ((string name, TensorSource source) in _sources.Where(pair => NameMap.Fits("blocks.#.attn.qkv.bias_mask", pair.Key)))
        {
            using var scope = NewDisposeScope();
            Tensor[] thirds = source.Read().to(ScalarType.Float32).chunk(3, 0);
            bool uniform = thirds.All(third => third.eq(third[0]).all().item<bool>());
            string text = WeightMetadata.Text(thirds.Select(third => third[0].item<float>()));
            if (!uniform || (kept is not null && kept != text))
                _lost.Add(new ExplainedName(name, "a mask that is not the same for all of a third in all blocks"));
            else kept = text;
        }

        if (kept is not null) _metadata[WeightMetadata.BiasMaskKey] = kept;
    }

    private void Add(string name, ElementType stored, ImmutableArray<long> shape, Func<Tensor> read) =>
        _tensors.Add(name, (new TensorEntry(name, _type is { } type && stored.IsFloat() ? type : stored, shape), read));
}
