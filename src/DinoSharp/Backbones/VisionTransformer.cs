using DinoSharp.Inference;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Backbones;

/// <summary>The DINOv3 vision transformer (paper section 3.2): class token, registers, rotary positions, layer scale.</summary>
public sealed class VisionTransformer : Backbone
{
    [ComponentName(Name = "cls_token")] private readonly Parameter _classToken;
    [ComponentName(Name = "storage_tokens")] private readonly Parameter? _registers;
    [ComponentName(Name = "mask_token")] private readonly Parameter _maskToken;
    [ComponentName(Name = "patch_embed")] private readonly PatchEmbedding _patchEmbedding;
    [ComponentName(Name = "rope_embed")] private readonly RotaryPositions _rotary;
    [ComponentName(Name = "blocks")] private readonly ModuleList<Block> _blocks;
    [ComponentName(Name = "norm")] private readonly Norm _norm;
    [ComponentName(Name = "cls_norm")] private readonly Norm? _classNorm;
    [ComponentName(Name = "local_cls_norm")] private readonly Norm? _localClassNorm;
    private readonly VisionTransformerConfig _config;

    /// <summary>Builds the network with unset weights.</summary>
    /// <param name="config">Shape and options.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    /// <exception cref="ArgumentException">The configuration cannot work; the message names the value.</exception>
    public VisionTransformer(VisionTransformerConfig config, Device? device = null)
        : base(nameof(VisionTransformer), config)
    {
        _config = config;
        _classToken = new Parameter(empty(1, 1, config.Width, device: device));
        _registers = config.Registers > 0 ? new Parameter(empty(1, config.Registers, config.Width, device: device)) : null;
        _maskToken = new Parameter(empty(1, config.Width, device: device));
        _patchEmbedding = new PatchEmbedding(config.InputChannels, config.Width, config.PatchSize, device);
        _rotary = new RotaryPositions(config.HeadWidth, config.Rotary, device);
        _blocks = new ModuleList<Block>([.. Enumerable.Range(0, config.Depth).Select(_ => new Block(config, device))]);
        _norm = NewNorm();
        _classNorm = config.UntieClassAndPatchNorms ? NewNorm() : null;
        _localClassNorm = config.UntieGlobalAndLocalClassNorm ? NewNorm() : null;
        RegisterComponents();

        Norm NewNorm() => new(config.Width, config.Norm, config.NormEpsilon, device);
    }

    internal IList<Block> Blocks => _blocks;

    internal RotaryPositions Rotary => _rotary;

    internal PatchEmbedding PatchEmbedding => _patchEmbedding;

    private int PrefixCount => 1 + _config.Registers;

    /// <inheritdoc/>
    public override BackboneOutput ForwardFeatures(Tensor images, Tensor? masks = null)
    {
        using var scope = NewDisposeScope();
        return Output(Run(images, masks, [_config.Depth - 1])[0], localCrops: false).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override BackboneOutput[] ForwardTraining(IReadOnlyList<Tensor> crops, IReadOnlyList<Tensor?> masks, Generator random, bool recompute = false)
    {
        using var scope = NewDisposeScope();
        Tensor[] groups = [.. crops.Select((images, i) => Embed(images, masks[i], training: true))]; // each [B, N, D]
        foreach (Block block in _blocks)
        {
            RotaryTables[] ropes = [.. crops.Select(images => Tables(images, random))];
            groups = block.Forward(groups, ropes, random, recompute);
        }

        return [.. groups.Select((x, i) => Output(x, localCrops: i == 1).MoveToOuterDisposeScope())];
    }

    /// <inheritdoc/>
    public override LayerFeatures[] GetLayers(Tensor images, LayerSelection layers, bool normalize = true)
    {
        int[] wanted = layers.Resolve(_config.Depth);
        using var scope = NewDisposeScope();
        var features = new List<LayerFeatures>();
        foreach ((int layer, Tensor x) in wanted.Zip(Run(images, null, wanted)))
        {
            (Tensor prefix, Tensor patches) = normalize ? Normalize(x, localCrops: false) : Split(x);
            features.Add(new LayerFeatures(layer, prefix.select(1, 0), prefix.narrow(1, 1, _config.Registers), patches, GridHeight(images), GridWidth(images)));
        }

        return [.. features.Select(f => f.MoveToOuterDisposeScope())];
    }

    /// <summary>Attention of the class token and the registers to the patches in one layer, averaged over nothing.</summary>
    /// <param name="images">Normalised images [B, C, H, W].</param>
    /// <param name="layer">Index of the block; negative from the end.</param>
    /// <returns>Softmax weights [B, A, 1 + R, N] over all N = 1 + R + P tokens; each row sums to one. The caller owns the tensor.</returns>
    public Tensor AttentionMaps(Tensor images, int layer = -1)
    {
        int last = LayerSelection.Create([layer]).Resolve(_config.Depth)[0];
        using var scope = NewDisposeScope();
        Tensor x = last == 0 ? Embed(images, null, training: false) : Run(images, null, [last - 1])[0]; // [B, N, D]
        using RotaryTables rope = Tables(images);
        Block block = _blocks[last];
        return block.Attention.Weights(block.Norm1.call(x), rope, PrefixCount).MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public override void Initialize(Generator random)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in named_parameters())
        {
            double fanIn = _config.InputChannels * _config.PatchSize * _config.PatchSize;
            if (name is "cls_token" or "storage_tokens") parameter.normal_(0, 0.02, random);
            else if (name == "mask_token") parameter.zero_();
            else if (name.StartsWith("patch_embed.", StringComparison.Ordinal)) parameter.uniform_(-Math.Sqrt(1 / fanIn), Math.Sqrt(1 / fanIn), random);
            else if (name.EndsWith(".gamma", StringComparison.Ordinal)) parameter.fill_(Num(_config.LayerScale!.Value));
            else if (name.EndsWith(".bias", StringComparison.Ordinal)) parameter.zero_();
            else if (name.Contains("norm", StringComparison.Ordinal)) parameter.fill_(Num(1));
            else parameter.normal_(0, 0.02, random); // the original cuts the normal at ±2 = 100 standard deviations, which never happens
        }
    }

    /// <summary>Class token, registers and patches before the first block. [B, N, D]</summary>
    internal Tensor Embed(Tensor images, Tensor? masks, bool training)
    {
        Check(images, _config.PatchSize);
        using var scope = NewDisposeScope();
        Tensor patches = _patchEmbedding.call(images).flatten(2).transpose(1, 2); // [B, P, D]
        Tensor classToken = _classToken;
        if (masks is not null) patches = where(masks.unsqueeze(-1), _maskToken.As(patches.dtype).unsqueeze(0), patches); // [B, P, D]
        else if (training) classToken = classToken.Plus((_maskToken * Num(0)).unsqueeze(0)); // keeps the mask token in the graph, with a zero gradient
        long batch = images.shape[0];
        Tensor prefix = classToken.expand(batch, -1, -1); // [B, 1, D]
        if (_registers is not null) prefix = cat([prefix, _registers.expand(batch, -1, -1)], 1); // [B, 1 + R, D]
        return cat([prefix.As(patches.dtype), patches], 1).MoveToOuterDisposeScope(); // [B, N, D]
    }

    /// <summary>Class token and registers. [1, 1 + R, D]</summary>
    internal Tensor PrefixTokens() => _registers is null ? _classToken.alias() : cat([_classToken, _registers], 1);

    internal RotaryTables Tables(Tensor images, Generator? random = null)
    {
        (Tensor sin, Tensor cos) = _rotary.Compute(GridHeight(images), GridWidth(images), random);
        using (sin)
        using (cos)
        {
            return RotaryTables.Create(sin, cos, PrefixCount);
        }
    }

    internal override int BlockCount => Blocks.Count;

    internal override bool HasKernels(ComputeType type) => VisionTransformerEngine.Takes(this, type, false, out _);

    internal override InferenceEngine? TryCreateEngine(ComputeType type, out string reason, int exactBlocks = 0, bool library = false) =>
        VisionTransformerEngine.TryCreate(this, type, out reason, exactBlocks, library);

    internal override Tensor[] RunLayers(Tensor images, int[] wanted) => RunLayers(images, wanted, null, null);

    internal override Tensor NormalizeTokens(Tensor x)
    {
        (Tensor prefix, Tensor patches) = Normalize(x, localCrops: false);
        return cat([prefix, patches], 1); // [B, N, D]
    }

    // Tokens after each wanted block, before the final norm, each [B, N, D].
    private Tensor[] Run(Tensor images, Tensor? masks, int[] wanted)
    {
        Check(images, _config.PatchSize);
        if (Engine is { } engine && masks is null && !is_grad_enabled() && engine.Takes(images)) return engine.Forward(images, wanted);
        return RunLayers(images, wanted, masks, null);
    }

    /// <summary>Tokens after each wanted block by the layers themselves, with angles from elsewhere if given; before the final norm, each [B, N, D].</summary>
    internal Tensor[] RunLayers(Tensor images, int[] wanted, Tensor? masks, RotaryTables? rope)
    {
        using var scope = NewDisposeScope();
        Tensor x = Embed(images, masks, training: false); // [B, N, D]
        using RotaryTables? own = rope is null ? Tables(images) : null;
        var tokens = new List<Tensor>();
        for (int i = 0; i <= wanted[^1]; i++)
        {
            Tensor next = _blocks[i].Forward(x, rope ?? own!);
            if (!tokens.Contains(x)) x.Dispose(); // without gradients nothing else holds the input of a block
            x = next;
            if (wanted.Contains(i)) tokens.Add(x);
        }

        return [.. tokens.Select(t => t.MoveToOuterDisposeScope())];
    }

    private BackboneOutput Output(Tensor x, bool localCrops)
    {
        (Tensor prefix, Tensor patches) = Normalize(x, localCrops);
        return new BackboneOutput(prefix.select(1, 0), prefix.narrow(1, 1, _config.Registers), patches, x);
    }

    // Local crops have a class norm of their own in training only; with one norm for all, one call covers all tokens.
    private (Tensor Prefix, Tensor Patches) Normalize(Tensor x, bool localCrops)
    {
        Norm prefixNorm = (localCrops ? _localClassNorm : null) ?? _classNorm ?? _norm;
        if (prefixNorm == _norm) return Split(_norm.call(x));
        (Tensor prefix, Tensor patches) = Split(x);
        return (prefixNorm.call(prefix), _norm.call(patches));
    }

    private (Tensor Prefix, Tensor Patches) Split(Tensor x) =>
        (x.narrow(1, 0, PrefixCount), x.narrow(1, PrefixCount, x.shape[1] - PrefixCount)); // [B, 1 + R, D], [B, P, D]

    private int GridHeight(Tensor images) => (int)(images.shape[2] / _config.PatchSize);

    private int GridWidth(Tensor images) => (int)(images.shape[3] / _config.PatchSize);
}
