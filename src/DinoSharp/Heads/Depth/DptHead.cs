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

    private readonly DptConfig _config;

    public DptHead(DptConfig config, Device? device = null)
        : base(nameof(DptHead))
    {
        config.Validate();
        _config = config;
        int channels = config.Channels;
        _reassemble = new DptReassemble(config, device);
        _convs = new ModuleList<DptConvolution>([.. config.LevelChannels.Select(c => new DptConvolution(c, channels, kernel: 3, bias: false, device))]);
        _fusion = new ModuleList<DptFusion>([.. Enumerable.Range(0, 4).Select(i => new DptFusion(channels, first: i == 0, config.FusionBias, device))]);
        _project = config.ProjectAfterFusion ? new DptConvolution(channels, channels, kernel: 3, bias: true, device) : null;
        _output = new DptOutput(channels, config.HiddenChannels, config.Outputs, device);
        RegisterComponents();
    }

    public DptReadout Readout => _config.Readout;

    /// <summary>Bytes that are held at the peak: the fused maps, then the doubled one, its convolution before and after the ReLU with copies for the kernels, and the scores; or a band of these.</summary>
    /// <param name="pixels">Of the output.</param>
    /// <param name="banded">Whether something is made of the scores of each pixel alone.</param>
    public long ScoringBytes(long pixels, bool banded)
    {
        long end = sizeof(float) * pixels * (_config.Channels + (3 * _config.HiddenChannels) + ((banded ? 5 : 1) * _config.Outputs));
        return (sizeof(float) * pixels * _config.Channels) + (banded ? Math.Min(end, 2 * DptOutput.BandBytes) : end);
    }

    /// <param name="features">Four layers, first layer first, on one patch grid.</param>
    /// <param name="perPixel">What to make of the scores; must look at each pixel alone, as it is given bands of rows of a large picture. Null: the scores themselves.</param>
    /// <returns>Scores [B, outputs, 16h, 16w], or what <paramref name="perPixel"/> made of them; an odd side of the grid counts as the next even one</returns>
    public Tensor Forward(IReadOnlyList<LayerFeatures> features, Func<Tensor, Tensor>? perPixel = null)
    {
        using var scope = NewDisposeScope();
        return _output.Forward(Fuse(features, training: false), perPixel).MoveToOuterDisposeScope(); // [B, outputs, 16h, 16w]
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
internal sealed class DptOutput : nn.Module
{
    // 256 bins of a large picture, and what their mean is computed from, would be many times all the rest.
    internal const long BandBytes = 256 << 20;

    [ComponentName(Name = "head")] private readonly Steps _head;
    private readonly int _numbersPerPixel;

    public DptOutput(int channels, int hidden, int outputs, Device? device)
        : base(nameof(DptOutput))
    {
        _numbersPerPixel = (channels / 2) + (2 * hidden) + (5 * outputs);
        _head = new Steps(channels, hidden, outputs, device);
        RegisterComponents();
    }

    /// <param name="x">[B, C, h, w]</param>
    /// <param name="perPixel">What to make of the scores of a band; null: nothing.</param>
    /// <param name="bandBytes">Most memory for a band.</param>
    /// <returns>[B, outputs, 2h, 2w]</returns>
    public Tensor Forward(Tensor x, Func<Tensor, Tensor>? perPixel, long bandBytes = BandBytes)
    {
        using var scope = NewDisposeScope();
        Tensor halved = _head.Halve(x); // [B, C/2, h, w]
        long rows = 2 * x.shape[2], bytesPerRow = _numbersPerPixel * 2 * x.shape[3] * x.shape[0] * sizeof(float), band = Math.Max(1, bandBytes / bytesPerRow);
        if (rows <= band || perPixel is null) return Finish(_head.Score(MapResize.DoubleAligned(halved))).MoveToOuterDisposeScope(); // [B, outputs, 2h, 2w]
        var bands = new List<Tensor>();
        for (long top = 0; top < rows; top += band)
        {
            using var piece = NewDisposeScope();
            long count = Math.Min(band, rows - top), from = Math.Max(0, top - 1), to = Math.Min(rows, top + count + 1); // a 3x3 convolution looks a row beyond
            bands.Add(Finish(_head.Score(MapResize.DoubleAligned(halved, from, to - from), top - from, count)).MoveToOuterDisposeScope()); // [B, outputs, count, 2w]
        }

        return cat(bands, 2).MoveToOuterDisposeScope(); // [B, outputs, 2h, 2w]

        Tensor Finish(Tensor scores) => perPixel is null ? scores : perPixel(scores);
    }

    /// <summary>Some of the scores of <see cref="Forward"/>: those of rows and columns 2, 6, 10 …, at a sixteenth of the cost of the two layers that cost most.</summary>
    /// <param name="x">[B, C, h, w] with even sides</param>
    public Tensor EveryFourth(Tensor x) => _head.EveryFourth(x); // [B, outputs, h/2, w/2]

    // Positions 1 and 3 of the original sequence are the doubling and the ReLU.
    private sealed class Steps : nn.Module
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

        public Tensor Halve(Tensor x) => _halve.call(x); // [B, C/2, h, w]

        public Tensor Score(Tensor doubled) => Score(doubled, 0, doubled.shape[2]); // [B, outputs, 2h, 2w]

        /// <summary>Scores of some of the rows.</summary>
        public Tensor Score(Tensor doubled, long top, long count)
        {
            using var scope = NewDisposeScope();
            Tensor hidden = _hide.call(doubled).relu(); // [B, hidden, rows, 2w]
            return _score.call(hidden.narrow(2, top, count)).MoveToOuterDisposeScope(); // [B, outputs, count, 2w]
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
