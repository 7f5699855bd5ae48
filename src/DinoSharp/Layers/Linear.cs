using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>y = x·Wᵀ + b with W [out, in]. Unlike the library's own layer it leaves its weights unset, because weights follow or are drawn once.</summary>
internal sealed class Linear : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter? _bias;

    public Linear(int inputs, int outputs, bool bias, Device? device = null)
        : base(nameof(Linear))
    {
        _weight = new Parameter(empty(outputs, inputs, device: device));
        _bias = bias ? new Parameter(empty(outputs, device: device)) : null;
        RegisterComponents();
    }

    public Parameter Weight => _weight;

    public Parameter? Bias => _bias;

    /// <summary>Whether float32 is computed on our own tiles; for networks that are trained.</summary>
    public bool OnTiles { get; set; }

    public override Tensor forward(Tensor x) => TileLinear.Run(x, _weight.As(x.dtype), _bias?.As(x.dtype), OnTiles); // [..., out]
}
