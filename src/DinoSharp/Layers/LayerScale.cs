using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Learned scale per channel on a residual branch (CaiT, Touvron et al. 2021).</summary>
internal sealed class LayerScale : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "gamma")] private readonly Parameter _gamma;

    public LayerScale(int width, Device? device = null)
        : base(nameof(LayerScale))
    {
        _gamma = new Parameter(empty(width, device: device));
        RegisterComponents();
    }

    public Parameter Gamma => _gamma;

    public override Tensor forward(Tensor x) => x * _gamma.As(x.dtype);
}
