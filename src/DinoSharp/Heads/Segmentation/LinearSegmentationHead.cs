using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>Linear segmentation: class scores at each patch.</summary>
internal sealed class LinearSegmentationHead : LinearDenseHead
{
    [ComponentName(Name = "conv")] private readonly Convolution _conv;

    public LinearSegmentationHead(IReadOnlyList<int> channels, int classes, bool batchNorm = true, bool classToken = false, double dropout = 0.1, Device? device = null)
        : base(nameof(LinearSegmentationHead), channels, batchNorm, classToken, dropout, device)
    {
        _conv = new Convolution(Channels, classes, kernel: 1, stride: 1, device: device);
        RegisterComponents();
    }

    protected override Convolution Projection => _conv;
}
