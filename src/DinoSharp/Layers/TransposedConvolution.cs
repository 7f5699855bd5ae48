using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Learned enlargement: a transposed convolution with bias whose stride is its kernel, so that its patches of output do not overlap.</summary>
internal sealed class TransposedConvolution : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;
    private readonly long[] _stride;

    public TransposedConvolution(int inputs, int outputs, int kernel, Device? device = null)
        : base(nameof(TransposedConvolution))
    {
        _stride = [kernel, kernel];
        _weight = new Parameter(empty(inputs, outputs, kernel, kernel, device: device));
        _bias = new Parameter(empty(outputs, device: device));
        RegisterComponents();
    }

    public override Tensor forward(Tensor x) => nn.functional.conv_transpose2d(x, _weight, _bias, _stride); // [B, outputs, kernel·h, kernel·w]
}
