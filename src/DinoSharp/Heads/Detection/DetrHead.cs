using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>The published detector without its backbone (Lin et al. 2023, plain DETR), named as in the official file.</summary>
internal sealed class DetrHead : nn.Module
{
    [ComponentName(Name = "transformer")] private readonly DetrTransformer _transformer;
    [ComponentName(Name = "class_embed")] private readonly ModuleList<Linear> _classes;
    [ComponentName(Name = "bbox_embed")] private readonly ModuleList<MultiLayerPerceptron> _boxes;
    [ComponentName(Name = "query_embed")] private readonly LearnedTable? _queries;
    [ComponentName(Name = "input_proj")] private readonly ModuleList<InputProjection> _input;
    [ComponentName(Name = "backbone")] private readonly ModuleList<nn.Module> _backbone;
    private readonly DetrConfig _config;

    public DetrHead(DetrConfig config, Device? device = null)
        : base(nameof(DetrHead))
    {
        config.Validate();
        _config = config;
        int width = config.Width, stages = config.DecoderLayers + 1;
        _classes = new ModuleList<Linear>([.. Enumerable.Range(0, stages).Select(_ => new Linear(width, config.Classes, true, device))]);
        _boxes = new ModuleList<MultiLayerPerceptron>([.. Enumerable.Range(0, stages).Select(_ => new MultiLayerPerceptron(width, 4, device))]);
        _transformer = new DetrTransformer(config, _classes, _boxes, device);
        _queries = config.MixedSelection ? new LearnedTable(config.Queries + config.TrainingQueries, width, device) : null;
        _input = new ModuleList<InputProjection>([new InputProjection(config.InputChannels, width, device)]);
        var features = new WindowedFeatures(config, device);
        _backbone = new ModuleList<nn.Module>([config.WindowsPerSide > 0 ? new WindowWrapper(features) : features]);
        if (config.Positions == DetrPositions.Learned) _backbone.Add(new LearnedPositions(width / 2, device));
        RegisterComponents();
    }

    private WindowedFeatures Features => _backbone[0] as WindowedFeatures ?? ((WindowWrapper)_backbone[0]).Inner;

    /// <param name="backbone">The frozen backbone.</param>
    /// <param name="images">Normalised images [3, H_i, W_i] of any size; they are padded with zeros at the right and bottom.</param>
    /// <param name="queries">How many queries answer; null: those of inference. More than those: the rest are the queries of training, and the two groups do not see each other.</param>
    /// <returns>The proposals of all cells and the decoder layers, the answer last; in the current dispose scope</returns>
    public (DetrStage Proposals, IReadOnlyList<DetrStage> Layers) Forward(Backbone backbone, IReadOnlyList<Tensor> images, int? queries = null)
    {
        using var scope = NewDisposeScope();
        (Tensor batch, Tensor pixelPadding) = Pad(images); // [B, 3, H, W], [B, H, W]
        Tensor features = Features.Forward(backbone, batch); // [B, C, h, w]
        Tensor padding = ProposalLevel.Nearest(pixelPadding, features.shape[2], features.shape[3]); // [B, h, w]
        Tensor map = _input[0].call(features); // [B, D, h, w]
        (DetrStage proposals, IReadOnlyList<DetrStage> layers) = _transformer.Forward(
            map, Positions(padding), padding, _queries?.Weight, queries ?? _config.Queries, separate: queries > _config.Queries);
        return (proposals.MoveToOuterDisposeScope(), [.. layers.Select(l => l.MoveToOuterDisposeScope())]);
    }

    /// <summary>Position embeddings of the cells. [B, D, h, w]</summary>
    internal Tensor Positions(Tensor padding)
    {
        if (_config.Positions == DetrPositions.Learned) return ((LearnedPositions)_backbone[1]).Forward(padding);
        using Tensor valid = padding.logical_not(); // [B, h, w]
        return SinePositions.Padded(valid, _config.Width, normalize: _config.Positions == DetrPositions.Sine);
    }

    /// <summary>Images in one batch, zeros at the right and bottom up to the largest size, rounded up to whole patches.</summary>
    /// <returns>[B, 3, H, W], and true where a pixel is padding [B, H, W]</returns>
    internal static (Tensor Images, Tensor Padding) Pad(IReadOnlyList<Tensor> images)
    {
        using var scope = NewDisposeScope();
        long height = ImageFitting.RoundUp(images.Max(i => i.shape[1]), DetrConfig.Stride), width = ImageFitting.RoundUp(images.Max(i => i.shape[2]), DetrConfig.Stride);
        Tensor[] padded = [.. images.Select(i => nn.functional.pad(i, [0, width - i.shape[2], 0, height - i.shape[1]]))]; // each [3, H, W]
        Tensor mask = ones([images.Count, height, width], dtype: ScalarType.Bool, device: images[0].device); // [B, H, W]
        for (int i = 0; i < images.Count; i++) mask.select(0, i).narrow(0, 0, images[i].shape[1]).narrow(1, 0, images[i].shape[2]).fill_(Num(false));
        return (stack(padded).MoveToOuterDisposeScope(), mask.MoveToOuterDisposeScope());
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

    private sealed class WindowWrapper : nn.Module
    {
        [ComponentName(Name = "_backbone")] private readonly WindowedFeatures _inner;

        public WindowWrapper(WindowedFeatures inner)
            : base(nameof(WindowWrapper))
        {
            _inner = inner;
            RegisterComponents();
        }

        public WindowedFeatures Inner => _inner;
    }

    /// <summary>A learned vector for each row and each column; channels [column, row].</summary>
    private sealed class LearnedPositions : nn.Module
    {
        private const int Size = 50;

        [ComponentName(Name = "row_embed")] private readonly LearnedTable _rows;
        [ComponentName(Name = "col_embed")] private readonly LearnedTable _columns;

        public LearnedPositions(int width, Device? device)
            : base(nameof(LearnedPositions))
        {
            _rows = new LearnedTable(Size, width, device);
            _columns = new LearnedTable(Size, width, device);
            RegisterComponents();
        }

        public Tensor Forward(Tensor padding)
        {
            using var scope = NewDisposeScope();
            long batch = padding.shape[0], h = padding.shape[1], w = padding.shape[2];
            if (h > Size || w > Size) throw new DinoSharpException($"learned positions cover {Size}x{Size} patches, the image has {w}x{h}");
            Tensor x = _columns.Weight.narrow(0, 0, w).unsqueeze(0).expand(h, w, -1), y = _rows.Weight.narrow(0, 0, h).unsqueeze(1).expand(h, w, -1); // [h, w, D/2]
            return cat([x, y], -1).permute(2, 0, 1).unsqueeze(0).expand(batch, -1, -1, -1).MoveToOuterDisposeScope(); // [B, D, h, w]
        }
    }
}
