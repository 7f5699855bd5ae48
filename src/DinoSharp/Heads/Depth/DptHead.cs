using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Depth;

/// <summary>Dense prediction transformer decoder (Ranftl et al. 2021): four layers of the backbone, fused from coarse to fine.</summary>
internal sealed class DptHead : nn.Module
{
    [ComponentName(Name = "reassemble_blocks")] private readonly DptReassemble _reassemble;
    [ComponentName(Name = "convs")] private readonly ModuleList<DptConvolution> _convs;
    [ComponentName(Name = "fusion_blocks")] private readonly ModuleList<DptFusion> _fusion;
    [ComponentName(Name = "project")] private readonly DptConvolution? _project;
    [ComponentName(Name = "conv_depth")] private readonly DptOutput _output;

    public DptHead(DptConfig config, Device? device = null)
        : base(nameof(DptHead))
    {
        config.Validate();
        Readout = config.Readout;
        int channels = config.Channels;
        _reassemble = new DptReassemble(config, device);
        _convs = new ModuleList<DptConvolution>([.. config.LevelChannels.Select(c => new DptConvolution(c, channels, kernel: 3, bias: false, device))]);
        _fusion = new ModuleList<DptFusion>([.. Enumerable.Range(0, 4).Select(i => new DptFusion(channels, first: i == 0, config.FusionBias, device))]);
        _project = config.ProjectAfterFusion ? new DptConvolution(channels, channels, kernel: 3, bias: true, device) : null;
        _output = new DptOutput(channels, config.HiddenChannels, config.Outputs, device);
        RegisterComponents();
    }

    public DptReadout Readout { get; }

    /// <param name="features">Four layers, first layer first, on one patch grid.</param>
    /// <returns>Scores [B, outputs, 16h, 16w]; an odd side of the grid counts as the next even one</returns>
    public Tensor Forward(IReadOnlyList<LayerFeatures> features)
    {
        using var scope = NewDisposeScope();
        return _output.call(Fuse(features, training: false)).MoveToOuterDisposeScope(); // [B, outputs, 16h, 16w]
    }

    /// <summary>With the statistics of the batch in batch norms, and only the scores that a target of four cells to a patch is compared with.</summary>
    /// <param name="features">Four layers, first layer first, on one patch grid.</param>
    /// <returns>Scores of every fourth pixel [B, outputs, 4h, 4w]; an odd side of the grid counts as the next even one</returns>
    public Tensor ForwardTraining(IReadOnlyList<LayerFeatures> features)
    {
        using var scope = NewDisposeScope();
        return _output.EveryFourth(Fuse(features, training: true)).MoveToOuterDisposeScope(); // [B, outputs, 4h, 4w]
    }

    private Tensor Fuse(IReadOnlyList<LayerFeatures> features, bool training)
    {
        using var scope = NewDisposeScope();
        Tensor[] levels = [.. _reassemble.Forward(features, training).Select((map, i) => _convs[i].call(map))]; // each [B, C, h_i, w_i]
        Tensor x = _fusion[0].Forward(levels[3], null); // [B, C, h, w]
        for (int k = 1; k < 4; k++) x = _fusion[k].Forward(x, levels[3 - k]); // [B, C, 2h, 2w] ... [B, C, 8h, 8w]
        return (_project is null ? x : _project.call(x).relu()).MoveToOuterDisposeScope();
    }
}

/// <summary>Halves the channels, doubles the map, and ends in the scores.</summary>
internal sealed class DptOutput : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "head")] private readonly Steps _head;

    public DptOutput(int channels, int hidden, int outputs, Device? device)
        : base(nameof(DptOutput))
    {
        _head = new Steps(channels, hidden, outputs, device);
        RegisterComponents();
    }

    public override Tensor forward(Tensor x) => _head.call(x); // [B, outputs, 2h, 2w]

    /// <summary>Some of the scores of <see cref="forward"/>: those of rows and columns 2, 6, 10 …, at a sixteenth of the cost of the two layers that cost most.</summary>
    /// <param name="x">[B, C, h, w] with even sides</param>
    public Tensor EveryFourth(Tensor x) => _head.EveryFourth(x); // [B, outputs, h/2, w/2]

    // Positions 1 and 3 of the original sequence are the doubling and the ReLU.
    private sealed class Steps : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "0")] private readonly Convolution _halve;
        [ComponentName(Name = "2")] private readonly Convolution _hide;
        [ComponentName(Name = "4")] private readonly Convolution _score;

        public Steps(int channels, int hidden, int outputs, Device? device)
            : base(nameof(Steps))
        {
            _halve = new Convolution(channels, channels / 2, kernel: 3, stride: 1, padding: 1, device: device);
            _hide = new Convolution(channels / 2, hidden, kernel: 3, stride: 1, padding: 1, device: device);
            _score = new Convolution(hidden, outputs, kernel: 1, stride: 1, device: device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            x = MapResize.DoubleAligned(_halve.call(x)); // [B, C/2, 2h, 2w]
            return _score.call(_hide.call(x).relu()).MoveToOuterDisposeScope(); // [B, outputs, 2h, 2w]
        }

        public Tensor EveryFourth(Tensor x)
        {
            using var scope = NewDisposeScope();
            x = MapResize.DoubleAligned(_halve.call(x)); // [B, C/2, 2h, 2w]
            Tensor from = x.narrow(2, 1, x.shape[2] - 1).narrow(3, 1, x.shape[3] - 1); // [B, C/2, 2h-1, 2w-1]: the window of row 2 begins at row 1
            x = nn.functional.conv2d(from, _hide.Weight, _hide.Bias, [4, 4]); // [B, hidden, h/2, w/2]
            return _score.call(x.relu()).MoveToOuterDisposeScope(); // [B, outputs, h/2, w/2]
        }
    }
}
