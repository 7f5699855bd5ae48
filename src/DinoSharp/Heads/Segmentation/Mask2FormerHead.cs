using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>The published segmentor without its backbone: adapter, pixel decoder and mask decoder, named as in the official file.</summary>
internal sealed class Mask2FormerHead : nn.Module
{
    [ComponentName(Name = "segmentation_model")] private readonly ModuleList<nn.Module> _parts;

    public Mask2FormerHead(Mask2FormerConfig config, Device? device = null)
        : base(nameof(Mask2FormerHead))
    {
        config.Validate();
        _parts = new ModuleList<nn.Module>([new ViTAdapter(config, device), new Decoders(config, device)]);
        RegisterComponents();
    }

    private ViTAdapter Adapter => (ViTAdapter)_parts[0];

    private Decoders Decoder => (Decoders)_parts[1];

    /// <param name="images">Normalised images [B, 3, H, W]; H and W multiples of 32.</param>
    /// <param name="features">Four layers of these images with final norm, first layer first.</param>
    /// <returns>The predictions of every stage, the answer last; in the current dispose scope</returns>
    public IReadOnlyList<MaskPredictions> Forward(Tensor images, IReadOnlyList<LayerFeatures> features)
    {
        using var scope = NewDisposeScope();
        (Tensor maskFeatures, Tensor[] levels) = Decoder.Pixels.Forward(Adapter.Forward(images, features));
        return [.. Decoder.Masks.Forward(maskFeatures, levels).Select(p => p.MoveToOuterDisposeScope())];
    }

    /// <summary>Class scores at each pixel: each query gives its class probabilities to the pixels of its mask, "no object" left out.</summary>
    /// <param name="predictions">Last predictions.</param>
    /// <param name="height">Rows of the result.</param>
    /// <param name="width">Columns of the result.</param>
    /// <returns>[B, classes, height, width]</returns>
    public static Tensor Semantic(MaskPredictions predictions, long height, long width)
    {
        using var scope = NewDisposeScope();
        Tensor classes = predictions.Logits.softmax(-1); // [B, Q, classes + 1]
        classes = classes.narrow(2, 0, classes.shape[2] - 1); // [B, Q, classes]
        Tensor masks = MapResize.Bilinear(predictions.Masks, height, width).sigmoid(); // [B, Q, height, width]
        return einsum("bqc,bqhw->bchw", classes, masks).MoveToOuterDisposeScope(); // [B, classes, height, width]
    }

    private sealed class Decoders : nn.Module
    {
        [ComponentName(Name = "pixel_decoder")] private readonly PixelDecoder _pixels;
        [ComponentName(Name = "predictor")] private readonly MaskDecoder _masks;

        public Decoders(Mask2FormerConfig config, Device? device)
            : base(nameof(Decoders))
        {
            _pixels = new PixelDecoder(config, device);
            _masks = new MaskDecoder(config, device);
            RegisterComponents();
        }

        public PixelDecoder Pixels => _pixels;

        public MaskDecoder Masks => _masks;
    }
}
