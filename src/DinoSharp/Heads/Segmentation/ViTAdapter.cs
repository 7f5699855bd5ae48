using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>Makes a feature pyramid of strides 4, 8, 16 and 32 from four layers of a frozen ViT (Chen et al. 2023; here only extractors, the backbone is never changed).</summary>
/// <remarks>For inference: batch norms use their running statistics and no path is dropped.</remarks>
internal sealed class ViTAdapter : nn.Module
{
    [ComponentName(Name = "level_embed")] private readonly Parameter _levelEmbedding;
    [ComponentName(Name = "spm")] private readonly SpatialPrior _prior;
    [ComponentName(Name = "interactions")] private readonly ModuleList<Interaction> _interactions;
    [ComponentName(Name = "up")] private readonly TransposedConvolution _up;
    [ComponentName(Name = "norm1")] private readonly BatchNorm _norm1;
    [ComponentName(Name = "norm2")] private readonly BatchNorm _norm2;
    [ComponentName(Name = "norm3")] private readonly BatchNorm _norm3;
    [ComponentName(Name = "norm4")] private readonly BatchNorm _norm4;

    public ViTAdapter(Mask2FormerConfig config, Device? device = null)
        : base(nameof(ViTAdapter))
    {
        int width = config.BackboneWidth;
        _levelEmbedding = new Parameter(empty(3, width, device: device));
        _prior = new SpatialPrior(config.StemChannels, width, device);
        _interactions = new ModuleList<Interaction>([.. Enumerable.Range(0, 4).Select(i => new Interaction(config, extra: i == 3 ? 2 : 0, device))]);
        _up = new TransposedConvolution(width, width, kernel: 2, device);
        (_norm1, _norm2, _norm3, _norm4) = (new BatchNorm(width, device), new BatchNorm(width, device), new BatchNorm(width, device), new BatchNorm(width, device));
        RegisterComponents();
    }

    /// <param name="images">The normalised images that the features are of [B, 3, H, W]; H and W multiples of 32.</param>
    /// <param name="features">Four layers with final norm, first layer first.</param>
    /// <returns>Maps of stride 4, 8, 16 and 32, each [B, D, h, w]; in the current dispose scope</returns>
    public Tensor[] Forward(Tensor images, IReadOnlyList<LayerFeatures> features)
    {
        long height = images.shape[2], width = images.shape[3];
        if (height % 32 != 0 || width % 32 != 0) throw new DinoSharpException($"the adapter needs image sides that are multiples of 32, found {width}x{height}");
        using var scope = NewDisposeScope();
        (long H, long W)[] shapes = [(height / 8, width / 8), (height / 16, width / 16), (height / 32, width / 32)];
        Tensor[] prior = _prior.Forward(images); // each [B, D, h, w]
        Tensor tokens = cat([.. Enumerable.Range(0, 3).Select(l => prior[l + 1].flatten(2).transpose(1, 2).Plus(_levelEmbedding[l]))], 1); // [B, T, D]
        Tensor references = DeformableAttention.CellCenters(shapes, images.device); // [1, T, 1, 2]
        for (int i = 0; i < 4; i++) tokens = _interactions[i].Forward(tokens, references, features[i], shapes);

        Tensor[] maps = [.. tokens.split([.. shapes.Select(s => s.H * s.W)], 1)
            .Select((part, i) => part.transpose(1, 2).reshape(part.shape[0], part.shape[2], shapes[i].H, shapes[i].W))]; // each [B, D, h, w]
        Tensor finest = _up.call(maps[0]).Plus(prior[0]); // [B, D, H/4, W/4]
        BatchNorm[] norms = [_norm1, _norm2, _norm3, _norm4];
        return [.. maps.Prepend(finest).Select((map, i) => norms[i].call(map.Plus(MapResize.Bilinear(features[i].PatchMap(), map.shape[2], map.shape[3]))).MoveToOuterDisposeScope())];
    }

    /// <summary>One layer of the backbone enters; the last interaction looks twice more.</summary>
    private sealed class Interaction : nn.Module
    {
        [ComponentName(Name = "extractor")] private readonly AdapterExtractor _extractor;
        [ComponentName(Name = "extra_extractors")] private readonly ModuleList<AdapterExtractor>? _extra;

        public Interaction(Mask2FormerConfig config, int extra, Device? device)
            : base(nameof(Interaction))
        {
            _extractor = new AdapterExtractor(config, device);
            _extra = extra == 0 ? null : new ModuleList<AdapterExtractor>([.. Enumerable.Range(0, extra).Select(_ => new AdapterExtractor(config, device))]);
            RegisterComponents();
        }

        public Tensor Forward(Tensor tokens, Tensor references, LayerFeatures layer, IReadOnlyList<(long H, long W)> shapes)
        {
            (long, long) grid = (layer.GridHeight, layer.GridWidth);
            tokens = _extractor.Forward(tokens, references, layer.Patches, grid, shapes); // [B, T, D]
            foreach (AdapterExtractor extractor in (IEnumerable<AdapterExtractor>?)_extra ?? []) tokens = extractor.Forward(tokens, references, layer.Patches, grid, shapes);
            return tokens;
        }
    }
}
