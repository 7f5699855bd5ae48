using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>Refines the feature pyramid with deformable attention across its three coarser maps and adds the finest one (Cheng et al. 2022, Mask2Former).</summary>
internal sealed class PixelDecoder : nn.Module
{
    [ComponentName(Name = "input_convs")] private readonly ModuleList<InputProjection> _inputs;
    [ComponentName(Name = "encoder")] private readonly DeformableEncoder _encoder;
    [ComponentName(Name = "mask_feature")] private readonly Convolution _maskFeature;
    [ComponentName(Name = "lateral_convs")] private readonly ModuleList<NormedConvolution> _lateral;
    [ComponentName(Name = "output_convs")] private readonly ModuleList<NormedConvolution> _outputs;

    public PixelDecoder(Mask2FormerConfig config, Device? device)
        : base(nameof(PixelDecoder))
    {
        _inputs = new ModuleList<InputProjection>([.. Enumerable.Range(0, 3).Select(_ => new InputProjection(config.BackboneWidth, config.Width, device))]);
        _encoder = new DeformableEncoder(config, device);
        _maskFeature = new Convolution(config.Width, config.MaskWidth, kernel: 1, stride: 1, device: device);
        _lateral = new ModuleList<NormedConvolution>([new NormedConvolution(config.BackboneWidth, config.Width, kernel: 1, device)]);
        _outputs = new ModuleList<NormedConvolution>([new NormedConvolution(config.Width, config.Width, kernel: 3, device)]);
        RegisterComponents();
    }

    /// <param name="pyramid">Maps of stride 4, 8, 16 and 32, each [B, D, h, w].</param>
    /// <returns>Mask features of stride 4 [B, M, h, w] and the maps of stride 32, 16 and 8 [B, D, h, w]; in the current dispose scope</returns>
    public (Tensor MaskFeatures, Tensor[] Levels) Forward(IReadOnlyList<Tensor> pyramid)
    {
        using var scope = NewDisposeScope();
        Tensor[] levels = _encoder.Forward([.. Enumerable.Range(0, 3).Select(i => _inputs[i].call(pyramid[3 - i]))]); // each [B, D, h, w]
        Tensor finest = pyramid[0];
        Tensor merged = _lateral[0].call(finest).Plus(MapResize.Bilinear(levels[2], finest.shape[2], finest.shape[3])); // [B, D, H/4, W/4]
        Tensor maskFeatures = _maskFeature.call(_outputs[0].call(merged).relu()); // [B, M, H/4, W/4]
        return (maskFeatures.MoveToOuterDisposeScope(), [.. levels.Select(l => l.MoveToOuterDisposeScope())]);
    }

    private sealed class InputProjection : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "0")] private readonly Convolution _conv;
        [ComponentName(Name = "1")] private readonly GroupNorm _norm;

        public InputProjection(int inputs, int outputs, Device? device)
            : base(nameof(InputProjection))
        {
            _conv = new Convolution(inputs, outputs, kernel: 1, stride: 1, device: device);
            _norm = new GroupNorm(outputs, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using Tensor projected = _conv.call(x); // [B, D, h, w]
            return _norm.call(projected);
        }
    }

    /// <summary>A convolution without bias that carries its norm as a part of itself.</summary>
    private sealed class NormedConvolution : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "weight")] private readonly Parameter _weight;
        [ComponentName(Name = "norm")] private readonly GroupNorm _norm;
        private readonly long[] _padding;

        public NormedConvolution(int inputs, int outputs, int kernel, Device? device)
            : base(nameof(NormedConvolution))
        {
            _padding = [kernel / 2, kernel / 2];
            _weight = new Parameter(empty(outputs, inputs, kernel, kernel, device: device));
            _norm = new GroupNorm(outputs, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using Tensor mixed = nn.functional.conv2d(x, _weight, null, padding: _padding); // [B, outputs, h, w]
            return _norm.call(mixed);
        }
    }
}

/// <summary>Deformable self-attention over the cells of three maps together.</summary>
internal sealed class DeformableEncoder : nn.Module
{
    [ComponentName(Name = "level_encoding")] private readonly Parameter _levelEncoding;
    [ComponentName(Name = "encoder")] private readonly Stack _stack;

    public DeformableEncoder(Mask2FormerConfig config, Device? device)
        : base(nameof(DeformableEncoder))
    {
        _levelEncoding = new Parameter(empty(3, config.Width, device: device));
        _stack = new Stack(config, device);
        RegisterComponents();
    }

    /// <param name="maps">Coarsest first, each [B, D, h, w].</param>
    /// <returns>The same shapes; in the current dispose scope</returns>
    public Tensor[] Forward(IReadOnlyList<Tensor> maps)
    {
        using var scope = NewDisposeScope();
        (long H, long W)[] shapes = [.. maps.Select(m => (m.shape[2], m.shape[3]))];
        Tensor x = cat([.. maps.Select(Tokens)], 1); // [B, S, D]
        Tensor positions = cat([.. maps.Select((m, l) => Tokens(SinePositions.Grid(m.shape[2], m.shape[3], (int)m.shape[1], m.device)).Plus(_levelEncoding[l]))], 1); // [1, S, D]
        Tensor references = DeformableAttention.CellCenters(shapes, x.device); // [1, S, 1, 2]
        foreach (Layer layer in _stack.Layers) x = layer.Forward(x, positions, references, shapes);
        return [.. x.split([.. shapes.Select(s => s.H * s.W)], 1)
            .Select((part, l) => part.transpose(1, 2).reshape(part.shape[0], part.shape[2], shapes[l].H, shapes[l].W).MoveToOuterDisposeScope())]; // each [B, D, h, w]
    }

    private static Tensor Tokens(Tensor map) => map.flatten(2).transpose(1, 2); // [B, h·w, D]

    private sealed class Stack : nn.Module
    {
        [ComponentName(Name = "layers")] private readonly ModuleList<Layer> _layers;

        public Stack(Mask2FormerConfig config, Device? device)
            : base(nameof(Stack))
        {
            _layers = new ModuleList<Layer>([.. Enumerable.Range(0, config.EncoderLayers).Select(_ => new Layer(config, device))]);
            RegisterComponents();
        }

        public IEnumerable<Layer> Layers => _layers;
    }

    /// <summary>Post-norm layer: attention, then a feed-forward network with ReLU.</summary>
    private sealed class Layer : nn.Module
    {
        [ComponentName(Name = "self_attn")] private readonly DeformableAttention _attention;
        [ComponentName(Name = "norm1")] private readonly Norm _norm1;
        [ComponentName(Name = "linear1")] private readonly Linear _linear1;
        [ComponentName(Name = "linear2")] private readonly Linear _linear2;
        [ComponentName(Name = "norm2")] private readonly Norm _norm2;

        public Layer(Mask2FormerConfig config, Device? device)
            : base(nameof(Layer))
        {
            _attention = new DeformableAttention(config.Width, levels: 3, config.PixelHeads, points: 4, device: device);
            _norm1 = new Norm(config.Width, NormKind.LayerNorm, 1e-5, device);
            _linear1 = new Linear(config.Width, config.PixelFeedForwardWidth, true, device);
            _linear2 = new Linear(config.PixelFeedForwardWidth, config.Width, true, device);
            _norm2 = new Norm(config.Width, NormKind.LayerNorm, 1e-5, device);
            RegisterComponents();
        }

        public Tensor Forward(Tensor x, Tensor positions, Tensor references, IReadOnlyList<(long H, long W)> shapes)
        {
            using var scope = NewDisposeScope();
            x = _norm1.call(x.Plus(_attention.Forward(x.Plus(positions), references, x, shapes))); // [B, S, D]
            return _norm2.call(x.Plus(_linear2.call(_linear1.call(x).relu()))).MoveToOuterDisposeScope();
        }
    }
}
