using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Depth;

/// <summary>Turns the tokens of four layers into maps of four scales: 4, 2, 1 and ½ times the patch grid.</summary>
internal sealed class DptReassemble : nn.Module
{
    [ComponentName(Name = "projects")] private readonly ModuleList<DptConvolution> _projects;
    [ComponentName(Name = "resize_layers")] private readonly ModuleList<nn.Module<Tensor, Tensor>> _resizers;
    [ComponentName(Name = "readout_projects")] private readonly ModuleList<DptReadoutProjection>? _readouts;
    [ComponentName(Name = "batchnorm_layers")] private readonly ModuleList<BatchNorm>? _norms;
    private readonly DptReadout _readout;

    public DptReassemble(DptConfig config, Device? device)
        : base(nameof(DptReassemble))
    {
        _readout = config.Readout;
        IReadOnlyList<int> inputs = config.InputChannels, levels = config.LevelChannels;
        _projects = new ModuleList<DptConvolution>([.. levels.Select((c, i) => new DptConvolution(inputs[i], c, kernel: 1, bias: true, device))]);
        _resizers = new ModuleList<nn.Module<Tensor, Tensor>>(
        [
            new TransposedConvolution(levels[0], levels[0], 4, device),
            new TransposedConvolution(levels[1], levels[1], 2, device),
            nn.Identity(),
            new Convolution(levels[3], levels[3], kernel: 3, stride: 2, padding: 1, device: device),
        ]);
        _readouts = _readout == DptReadout.Project ? new ModuleList<DptReadoutProjection>([.. inputs.Select(c => new DptReadoutProjection(c, device))]) : null;
        _norms = config.BatchNorm ? new ModuleList<BatchNorm>([.. inputs.Select(c => new BatchNorm(c, device))]) : null;
        RegisterComponents();
    }

    /// <param name="features">Four layers, first layer first.</param>
    /// <param name="training">Use the statistics of the batch.</param>
    /// <returns>Maps [B, C_i, 4h, 4w], [B, C_i, 2h, 2w], [B, C_i, h, w], [B, C_i, ⌈h/2⌉, ⌈w/2⌉]; in the current dispose scope</returns>
    public Tensor[] Forward(IReadOnlyList<LayerFeatures> features, bool training) => [.. features.Select((f, i) => Level(f, i, training))];

    private Tensor Level(LayerFeatures features, int level, bool training)
    {
        using var scope = NewDisposeScope();
        Tensor patches = features.Patches; // [B, P, D]
        if (_readout == DptReadout.Add) patches = patches.Plus(features.ClassToken.unsqueeze(1)); // [B, P, D]
        if (_readouts is not null) patches = _readouts[level].Forward(patches, features.ClassToken); // [B, P, D]
        Tensor map = patches.transpose(1, 2).reshape(patches.shape[0], -1, features.GridHeight, features.GridWidth); // [B, D, h, w]
        if (_norms is not null) map = training ? _norms[level].ForwardTraining(map) : _norms[level].call(map);
        return _resizers[level].call(_projects[level].call(map)).MoveToOuterDisposeScope(); // [B, C_i, h_i, w_i]
    }
}

/// <summary>A convolution one name deeper, as the DPT state dict has it. A 3×3 kernel is padded to keep the size.</summary>
internal sealed class DptConvolution : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "conv")] private readonly Convolution _conv;

    public DptConvolution(int inputs, int outputs, int kernel, bool bias, Device? device)
        : base(nameof(DptConvolution))
    {
        _conv = new Convolution(inputs, outputs, kernel, stride: 1, padding: kernel / 2, device: device, bias: bias);
        RegisterComponents();
    }

    public override Tensor forward(Tensor x) => _conv.call(x); // [B, outputs, h, w]
}

/// <summary>GELU(W·[patch; class] + b), computed in two halves so that the class token is multiplied once and not once per patch.</summary>
internal sealed class DptReadoutProjection : nn.Module
{
    [ComponentName(Name = "0")] private readonly Linear _linear;
    private readonly int _width;

    public DptReadoutProjection(int width, Device? device)
        : base(nameof(DptReadoutProjection))
    {
        _width = width;
        _linear = new Linear(2 * width, width, true, device);
        RegisterComponents();
    }

    /// <param name="patches">[B, P, D]</param>
    /// <param name="classToken">[B, D]</param>
    public Tensor Forward(Tensor patches, Tensor classToken)
    {
        using var scope = NewDisposeScope();
        Tensor ofPatches = nn.functional.linear(patches, _linear.Weight.narrow(1, 0, _width)); // [B, P, D]
        Tensor ofClass = nn.functional.linear(classToken, _linear.Weight.narrow(1, _width, _width), _linear.Bias); // [B, D]
        return nn.functional.gelu(ofPatches.Plus(ofClass.unsqueeze(1))).MoveToOuterDisposeScope(); // [B, P, D]
    }
}
