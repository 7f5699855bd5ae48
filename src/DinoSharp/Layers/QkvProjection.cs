using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>One linear layer to queries, keys and values, rows [Q | K | V]; a stored mask multiplies its bias, so that keys can go without one.</summary>
internal sealed class QkvProjection : Linear
{
    [ComponentName(Name = "bias_mask")] private readonly Tensor? _biasMask;

    public QkvProjection(int width, bool bias, bool maskKeyBias, Device? device = null)
        : base(nameof(QkvProjection), width, 3 * width, bias, device)
    {
        if (bias && maskKeyBias)
        {
            using var scope = NewDisposeScope();
            _biasMask = ones(3 * width, device: device);
            _biasMask.narrow(0, width, width).zero_();
            _biasMask.DetachFromDisposeScope();
        }

        RegisterComponents();
    }

    /// <summary>The bias after its mask; null if there is none. Lives in the caller's dispose scope. [3D]</summary>
    public Tensor? EffectiveBias() => _biasMask is null ? _bias : _bias! * _biasMask.to(_bias!.dtype);

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return TrainedLinear.Run(x, Weight.As(x.dtype), EffectiveBias()?.As(x.dtype), Products).MoveToOuterDisposeScope(); // [B, N, 3D]
    }
}
