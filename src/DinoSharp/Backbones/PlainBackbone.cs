using DinoSharp.Inference;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DinoSharp.Backbones;

/// <summary>What a patch is described by where nothing was learned.</summary>
internal enum PlainFeature
{
    /// <summary>Its pixels less their mean, so that the cosine similarity of two patches is their correlation.</summary>
    Pixels,

    /// <summary>A block of histograms of oriented gradients (Dalal and Triggs 2005: 2×2 cells of 8×8 pixels, 9 unsigned orientations, L2-Hys) beside the square roots of the shares of 4×4×4 colours.</summary>
    Gradients,
}

/// <summary>A baseline in place of a backbone.</summary>
internal sealed record PlainConfig : BackboneConfig
{
    public required PlainFeature Feature { get; init; }

    public override int PatchSizePixels => PlainBackbone.Patch;

    public override int EmbedDim => Feature == PlainFeature.Pixels ? 3 * PlainBackbone.Patch * PlainBackbone.Patch : PlainBackbone.GradientDim + PlainBackbone.ColorDim;

    public override int LayerCount => 1;

    public override void Validate() => Require(InputChannels == 3, $"a baseline looks at 3 channels, not {InputChannels}");
}

/// <summary>Patch features without any learning, which a backbone has to beat. Images are red, green and blue from 0 to 1.</summary>
internal sealed class PlainBackbone : Backbone
{
    public const int Patch = 16, GradientDim = 4 * Orientations, ColorDim = Levels * Levels * Levels;
    private const int Orientations = 9, Levels = 4, Cell = Patch / 2;
    private const double Clip = 0.2;

    private readonly PlainFeature _feature;
    private readonly Parameter _luma; // [1, 3, 1, 1], shares of the colours in grey; it also tells where the backbone lives

    public PlainBackbone(PlainConfig config)
        : base(nameof(PlainBackbone), config)
    {
        _feature = config.Feature;
        _luma = new Parameter(tensor(new[] { 0.299f, 0.587f, 0.114f }, [1, 3, 1, 1]), requires_grad: false);
        RegisterComponents();
    }

    public override void Initialize(Generator random)
    {
    }

    public override BackboneOutput ForwardFeatures(Tensor images, Tensor? masks = null)
    {
        using var scope = NewDisposeScope();
        Tensor patches = Patches(images); // [B, P, D]
        return new BackboneOutput(patches.mean([1]), Registers(patches), patches, patches.clone()).MoveToOuterDisposeScope();
    }

    public override BackboneOutput[] ForwardTraining(IReadOnlyList<Tensor> crops, IReadOnlyList<Tensor?> masks, Generator random, bool recompute = false) => throw new DinoSharpException("a baseline has nothing to train");

    public override LayerFeatures[] GetLayers(Tensor images, LayerSelection layers, bool normalize = true)
    {
        int layer = layers.Resolve(1)[0];
        using var scope = NewDisposeScope();
        Tensor patches = Patches(images); // [B, P, D]
        return [new LayerFeatures(layer, patches.mean([1]), Registers(patches), patches, (int)images.shape[2] / Patch, (int)images.shape[3] / Patch).MoveToOuterDisposeScope()];
    }

    internal override int BlockCount => 0;

    internal override bool HasKernels(ComputeType type) => false;

    internal override InferenceEngine? TryCreateEngine(ComputeType type, out string reason, int exactBlocks = 0, bool library = false)
    {
        reason = "a baseline has no weights";
        return null;
    }

    internal override Tensor[] RunLayers(Tensor images, int[] wanted) => [Patches(images)];

    internal override Tensor NormalizeTokens(Tensor last) => last;

    private static Tensor Registers(Tensor patches) => zeros(patches.shape[0], 0, patches.shape[2], device: patches.device);

    // [B, P, D]
    private Tensor Patches(Tensor images)
    {
        Check(images, Patch);
        using var scope = NewDisposeScope();
        Tensor whole = images.to(ScalarType.Float32).narrow(2, 0, images.shape[2] / Patch * Patch).narrow(3, 0, images.shape[3] / Patch * Patch).contiguous(); // [B, 3, h·16, w·16]
        Tensor features = _feature == PlainFeature.Pixels ? Pixels(whole) : cat([Gradients(whole), Colors(whole)], 1); // [B, D, P]
        return features.transpose(1, 2).contiguous().MoveToOuterDisposeScope(); // [B, P, D]
    }

    private static Tensor Pixels(Tensor rgb)
    {
        Tensor pixels = nn.functional.unfold(rgb, Patch, stride: Patch); // [B, 3·16·16, P]
        return pixels - pixels.mean([1], keepdim: true);
    }

    private Tensor Gradients(Tensor rgb)
    {
        Tensor gray = (rgb * _luma).sum(1, keepdim: true); // [B, 1, H, W]
        Tensor padded = nn.functional.pad(gray, [1, 1, 1, 1], TorchSharp.PaddingModes.Replicate); // [B, 1, H + 2, W + 2]
        (long height, long width) = (gray.shape[2], gray.shape[3]);
        Tensor dx = padded.narrow(2, 1, height).narrow(3, 2, width) - padded.narrow(2, 1, height).narrow(3, 0, width); // [B, 1, H, W]
        Tensor dy = padded.narrow(2, 2, height).narrow(3, 1, width) - padded.narrow(2, 0, height).narrow(3, 1, width); // the same
        Tensor size = dx.pow(Num(2)).Plus(dy.pow(Num(2))).sqrt();
        Tensor angle = (dy.atan2(dx) / Num(Math.PI)).Plus(Num(1)).remainder(Num(1)) * Num(Orientations) - Num(0.5); // unsigned, −½ … 8½
        Tensor lower = angle.floor(), share = angle - lower;
        Tensor first = lower.remainder(Num(Orientations)).to(ScalarType.Int64), second = lower.Plus(Num(1)).remainder(Num(Orientations)).to(ScalarType.Int64);
        Tensor votes = zeros(gray.shape[0], Orientations, height, width, device: gray.device)
            .scatter_add(1, first, size * (-share).Plus(Num(1))).scatter_add(1, second, size * share); // [B, 9, H, W]
        Tensor blocks = nn.functional.unfold(nn.functional.avg_pool2d(votes, Cell), 2, stride: 2); // [B, 36, P]
        return Unit(Unit(blocks).clamp(max: Num(Clip)));
    }

    private static Tensor Colors(Tensor rgb)
    {
        Tensor level = (rgb * Num(Levels)).floor().clamp(min: Num(0), max: Num(Levels - 1)).to(ScalarType.Int64); // [B, 3, H, W]
        Tensor color = (level * tensor(new long[] { Levels * Levels, Levels, 1 }, [1, 3, 1, 1], device: rgb.device)).sum(1, keepdim: true); // [B, 1, H, W]
        Tensor counted = zeros(rgb.shape[0], ColorDim, rgb.shape[2], rgb.shape[3], device: rgb.device).scatter(1, color, ones_like(color, dtype: ScalarType.Float32)); // [B, 64, H, W]
        return nn.functional.avg_pool2d(counted, Patch).sqrt().flatten(2); // [B, 64, P]
    }

    // A flat patch has no direction and stays near zero.
    private static Tensor Unit(Tensor blocks) => nn.functional.normalize(blocks, dim: 1, eps: 1e-3);
}
