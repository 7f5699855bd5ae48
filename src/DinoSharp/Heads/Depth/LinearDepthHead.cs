using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Depth;

/// <summary>Linear depth: scores of depth bins at each patch, to be turned into metres by <see cref="DepthBins"/>.</summary>
internal sealed class LinearDepthHead : LinearDenseHead
{
    [ComponentName(Name = "conv_depth")] private readonly Convolution _conv;

    public LinearDepthHead(IReadOnlyList<int> channels, int bins = 256, bool batchNorm = true, bool classToken = false, Device? device = null)
        : base(nameof(LinearDepthHead), channels, batchNorm, classToken, 0, device)
    {
        _conv = new Convolution(Channels, bins, kernel: 1, stride: 1, device: device);
        RegisterComponents();
    }

    protected override Convolution Projection => _conv;
}
