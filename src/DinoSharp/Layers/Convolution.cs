using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Two-dimensional convolution; like <see cref="Linear"/> it leaves its weights unset.</summary>
internal sealed class Convolution : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter? _bias;
    private readonly long[] _stride;
    private readonly long[] _padding;
    private readonly int _groups;

    public Convolution(int inputs, int outputs, int kernel, int stride, int padding = 0, int groups = 1, Device? device = null, bool bias = true)
        : base(nameof(Convolution))
    {
        (_stride, _padding, _groups) = ([stride, stride], [padding, padding], groups);
        _weight = new Parameter(empty(outputs, inputs / groups, kernel, kernel, device: device));
        _bias = bias ? new Parameter(empty(outputs, device: device)) : null;
        RegisterComponents();
    }

    public Parameter Weight => _weight;

    public Parameter? Bias => _bias;

    public override Tensor forward(Tensor x) => nn.functional.conv2d(x, _weight.As(x.dtype), _bias?.As(x.dtype), _stride, _padding, groups: _groups); // [B, outputs, h, w]
}
