using DinoSharp.Backbones;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Layer norm or root-mean-square norm over the last axis.</summary>
internal sealed class Norm : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter? _bias;
    private readonly double _epsilon;

    public Norm(int width, NormKind kind, double epsilon, Device? device = null)
        : base(nameof(Norm))
    {
        _epsilon = epsilon;
        _weight = new Parameter(empty(width, device: device));
        _bias = kind == NormKind.LayerNorm ? new Parameter(empty(width, device: device)) : null;
        RegisterComponents();
    }

    public Parameter Weight => _weight;

    public Parameter? Bias => _bias;

    public override Tensor forward(Tensor x)
    {
        if (_bias is not null) return nn.functional.layer_norm(x, [_weight.shape[0]], _weight.As(x.dtype), _bias.As(x.dtype), _epsilon); // [..., D]
        using var scope = NewDisposeScope();
        Tensor wide = x.to(ScalarType.Float32);
        Tensor scale = wide.pow(Num(2)).mean([-1], keepdim: true).Plus(Num(_epsilon)).rsqrt(); // [..., 1]
        return ((wide * scale).to(x.dtype) * _weight.As(x.dtype)).MoveToOuterDisposeScope(); // [..., D]
    }
}
