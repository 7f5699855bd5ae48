using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Depth;

/// <summary>Adds one finer level to the running map and doubles it. The first block has no finer level to add.</summary>
internal sealed class DptFusion : nn.Module
{
    [ComponentName(Name = "project")] private readonly DptConvolution _project;
    [ComponentName(Name = "res_conv_unit1")] private readonly DptResidualUnit? _unit1;
    [ComponentName(Name = "res_conv_unit2")] private readonly DptResidualUnit _unit2;

    public DptFusion(int channels, bool first, bool bias, Device? device)
        : base(nameof(DptFusion))
    {
        _project = new DptConvolution(channels, channels, kernel: 1, bias: true, device);
        _unit1 = first ? null : new DptResidualUnit(channels, bias, device);
        _unit2 = new DptResidualUnit(channels, bias, device);
        RegisterComponents();
    }

    /// <param name="x">The running map [B, C, h, w]; for the first block the coarsest level.</param>
    /// <param name="level">The level to add [B, C, h', w'], resized if its size differs; null for the first block.</param>
    /// <returns>[B, C, 2h, 2w]</returns>
    public Tensor Forward(Tensor x, Tensor? level)
    {
        using var scope = NewDisposeScope();
        if (level is not null) x = x.Plus(_unit1!.call(MapResize.Bilinear(level, x.shape[2], x.shape[3]))); // [B, C, h, w]
        x = MapResize.DoubleAligned(_unit2.call(x)); // [B, C, 2h, 2w]
        return _project.call(x).MoveToOuterDisposeScope();
    }
}

/// <summary>u + conv(ReLU(conv(ReLU u))).</summary>
internal sealed class DptResidualUnit : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "conv1")] private readonly DptConvolution _conv1;
    [ComponentName(Name = "conv2")] private readonly DptConvolution _conv2;

    public DptResidualUnit(int channels, bool bias, Device? device)
        : base(nameof(DptResidualUnit))
    {
        _conv1 = new DptConvolution(channels, channels, kernel: 3, bias, device);
        _conv2 = new DptConvolution(channels, channels, kernel: 3, bias, device);
        RegisterComponents();
    }

    public override Tensor forward(Tensor u)
    {
        using var scope = NewDisposeScope();
        return u.Plus(_conv2.call(_conv1.call(u.relu()).relu())).MoveToOuterDisposeScope(); // [B, C, h, w]
    }
}
