using DinoSharp.Inference;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Backbones;

/// <summary>The ConvNeXt that DINOv3 is distilled into (Liu et al. 2022; paper section 6.3): four stages of depthwise 7×7 blocks, total stride 32.</summary>
/// <remarks>The class token is the mean of the un-normalised map, normalised together with the patches; there are no registers and masks are ignored.</remarks>
public sealed class ConvNeXt : Backbone
{
    [ComponentName(Name = "downsample_layers")] private readonly ModuleList<nn.Module<Tensor, Tensor>> _downsamples;
    [ComponentName(Name = "stages")] private readonly ModuleList<ModuleList<ConvNeXtBlock>> _stages;
    [ComponentName(Name = "norm")] private readonly Norm _norm;
    private readonly ConvNeXtConfig _config;

    /// <summary>Builds the network with unset weights.</summary>
    /// <param name="config">Shape and options.</param>
    /// <param name="device">Where the weights live; null: CPU.</param>
    /// <exception cref="ArgumentException">The configuration cannot work; the message names the value.</exception>
    public ConvNeXt(ConvNeXtConfig config, Device? device = null)
        : base(nameof(ConvNeXt), config)
    {
        _config = config;
        int[] depths = [config.Depths.Stage0, config.Depths.Stage1, config.Depths.Stage2, config.Depths.Stage3];
        int[] dims = [config.Dims.Stage0, config.Dims.Stage1, config.Dims.Stage2, config.Dims.Stage3];
        _downsamples = new ModuleList<nn.Module<Tensor, Tensor>>(
            [new ConvNeXtStem(config.InputChannels, dims[0], device), .. Enumerable.Range(1, 3).Select(k => new ConvNeXtDownsample(dims[k - 1], dims[k], device))]);
        int total = depths.Sum(), index = 0;
        _stages = new ModuleList<ModuleList<ConvNeXtBlock>>(
            [.. depths.Select((depth, s) => new ModuleList<ConvNeXtBlock>([.. Enumerable.Range(0, depth).Select(_ => NewBlock(dims[s]))]))]);
        _norm = new Norm(dims[3], NormKind.LayerNorm, ConvNeXtBlock.NormEpsilon, device);
        RegisterComponents();

        ConvNeXtBlock NewBlock(int width) => new(width, config.LayerScale > 0, total == 1 ? 0 : config.DropPathRate * index++ / (total - 1), device);
    }

    /// <inheritdoc/>
    public override BackboneOutput ForwardFeatures(Tensor images, Tensor? masks = null) => Forward(images, null);

    /// <inheritdoc/>
    public override BackboneOutput[] ForwardTraining(IReadOnlyList<Tensor> crops, IReadOnlyList<Tensor?> masks, Generator random, bool recompute = false) =>
        [.. crops.Select(images => Forward(images, random, recompute))];

    /// <inheritdoc/>
    public override LayerFeatures[] GetLayers(Tensor images, LayerSelection layers, bool normalize = true)
    {
        int[] wanted = layers.Resolve(4);
        using var scope = NewDisposeScope();
        Check(images, 32);
        Tensor[] maps = Run(images, wanted); // each [B, C, h, w]
        return [.. wanted.Zip(maps).Select(pair => Layer(pair.Second, pair.First, images, normalize && pair.First == 3).MoveToOuterDisposeScope())];
    }

    /// <inheritdoc/>
    public override void Initialize(Generator random)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        foreach ((string name, Parameter parameter) in named_parameters())
        {
            if (name.EndsWith("gamma", StringComparison.Ordinal)) parameter.fill_(Num(_config.LayerScale));
            else if (name.EndsWith("bias", StringComparison.Ordinal)) parameter.zero_();
            else if (parameter.dim() == 1) parameter.fill_(Num(1));
            else parameter.normal_(0, 0.02, random);
        }
    }

    private BackboneOutput Forward(Tensor images, Generator? random, bool recompute = false)
    {
        using var scope = NewDisposeScope();
        Check(images, 32);
        Tensor x = images;
        if (random is null) x = Run(images, [3])[0]; // [B, C, h, w]
        else for (int s = 0; s < 4; s++) x = Stage(x, s, random, recompute); // [B, C, h, w]
        Tensor patches = x.flatten(2).transpose(1, 2); // [B, P, D]
        Tensor tokens = NormalizeTokens(x); // [B, 1 + P, D]
        return new BackboneOutput(tokens.select(1, 0), tokens.narrow(1, 1, 0), tokens.narrow(1, 1, patches.shape[1]), patches).MoveToOuterDisposeScope();
    }

    internal override int BlockCount => _stages.Sum(stage => stage.Count);

    internal override bool HasKernels(ComputeType type) => ConvNeXtEngine.Takes(this, type, false, out _);

    internal override InferenceEngine? TryCreateEngine(ComputeType type, out string reason, int exactBlocks = 0, bool library = false) => ConvNeXtEngine.TryCreate(this, type, out reason, exactBlocks, library);

    internal override Tensor[] RunLayers(Tensor images, int[] wanted)
    {
        using var scope = NewDisposeScope();
        var maps = new List<Tensor>();
        Tensor x = images;
        for (int s = 0; s <= wanted[^1]; s++)
        {
            x = Stage(x, s, null); // [B, C, h, w]
            if (wanted.Contains(s)) maps.Add(x);
        }

        return [.. maps.Select(map => map.MoveToOuterDisposeScope())];
    }

    internal override Tensor NormalizeTokens(Tensor last)
    {
        using var scope = NewDisposeScope();
        return _norm.call(cat([last.mean([2, 3]).unsqueeze(1), last.flatten(2).transpose(1, 2)], 1)).MoveToOuterDisposeScope(); // [B, 1 + P, D]
    }

    internal IEnumerable<ConvNeXtBlock> Blocks(int stage) => _stages[stage];

    internal (Convolution Convolution, Norm Norm) Downsample(int stage) =>
        _downsamples[stage] is ConvNeXtStem stem ? (stem.Convolution, stem.Norm) : (((ConvNeXtDownsample)_downsamples[stage]).Convolution, ((ConvNeXtDownsample)_downsamples[stage]).Norm);

    private Tensor[] Run(Tensor images, int[] wanted) =>
        Engine is { } engine && !is_grad_enabled() && engine.Takes(images) ? engine.Forward(images, wanted) : RunLayers(images, wanted);

    private Tensor Stage(Tensor x, int stage, Generator? random, bool recompute = false)
    {
        using var scope = NewDisposeScope();
        x = _downsamples[stage].call(x); // [B, C, h, w]
        foreach (ConvNeXtBlock block in _stages[stage]) x = block.Forward(x, random, recompute);
        return x.MoveToOuterDisposeScope();
    }

    private LayerFeatures Layer(Tensor map, int stage, Tensor images, bool normalize)
    {
        Tensor classToken = map.mean([2, 3]); // [B, C]
        if (_config.PatchSize is int patch)
        {
            map = nn.functional.interpolate(map, [images.shape[2] / patch, images.shape[3] / patch], mode: InterpolationMode.Bilinear, align_corners: false, antialias: true); // [B, C, h, w]
        }

        Tensor patches = map.flatten(2).transpose(1, 2); // [B, P, C]
        if (normalize) (classToken, patches) = (_norm.call(classToken), _norm.call(patches));
        return new LayerFeatures(stage, classToken, patches.narrow(1, 0, 0), patches, (int)map.shape[2], (int)map.shape[3]);
    }
}
