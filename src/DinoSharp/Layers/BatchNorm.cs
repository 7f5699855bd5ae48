using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>Batch norm over the channels of a map. Inference uses the running statistics whatever the training flag of the module says.</summary>
internal sealed class BatchNorm : nn.Module<Tensor, Tensor>
{
    private const double Epsilon = 1e-5;
    private const double Momentum = 0.1;

    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;
    [ComponentName(Name = "running_mean")] private readonly Tensor _runningMean;
    [ComponentName(Name = "running_var")] private readonly Tensor _runningVariance;
    [ComponentName(Name = "num_batches_tracked")] private readonly Tensor _batches;

    public BatchNorm(int channels, Device? device = null)
        : base(nameof(BatchNorm))
    {
        _weight = new Parameter(empty(channels, device: device));
        _bias = new Parameter(empty(channels, device: device));
        _runningMean = zeros(channels, device: device).DetachFromDisposeScope();
        _runningVariance = ones(channels, device: device).DetachFromDisposeScope();
        _batches = zeros([], dtype: ScalarType.Int64, device: device).DetachFromDisposeScope();
        RegisterComponents();
    }

    /// <param name="x">[B, C, h, w]</param>
    public override Tensor forward(Tensor x) => nn.functional.batch_norm(x, _runningMean, _runningVariance, _weight, _bias, training: false, eps: Epsilon); // [B, C, h, w]

    /// <summary>Uses the statistics of the batch and adds them to the running ones (a tenth of the new to nine tenths of the old).</summary>
    /// <param name="x">[B, C, h, w]</param>
    public Tensor ForwardTraining(Tensor x)
    {
        using (no_grad()) _batches.add_(Num(1), Num(1));
        return nn.functional.batch_norm(x, _runningMean, _runningVariance, _weight, _bias, training: true, Momentum, Epsilon); // [B, C, h, w]
    }

    /// <summary>Weight one, bias zero.</summary>
    public void Initialize()
    {
        using var quiet = no_grad();
        _weight.fill_(Num(1));
        _bias.zero_();
    }
}
