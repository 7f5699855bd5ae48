using DinoSharp.Backbones;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Layers;

/// <summary>x + γ·pw2(GELU(pw1(LN(dw7×7 x)))), the point-wise layers on channels-last maps (Liu et al. 2022).</summary>
internal sealed class ConvNeXtBlock : nn.Module
{
    /// <summary>Epsilon of every norm of a ConvNeXt.</summary>
    public const double NormEpsilon = 1e-6;

    [ComponentName(Name = "dwconv")] private readonly Convolution _depthwise;
    [ComponentName(Name = "norm")] private readonly Norm _norm;
    [ComponentName(Name = "pwconv1")] private readonly Linear _expand;
    [ComponentName(Name = "pwconv2")] private readonly Linear _contract;
    [ComponentName(Name = "gamma")] private readonly Parameter? _gamma;
    private readonly double _dropPathRate;

    public ConvNeXtBlock(int width, bool layerScale, double dropPathRate, Device? device)
        : base(nameof(ConvNeXtBlock))
    {
        _dropPathRate = dropPathRate;
        _depthwise = new Convolution(width, width, kernel: 7, stride: 1, padding: 3, groups: width, device);
        _norm = new Norm(width, NormKind.LayerNorm, NormEpsilon, device);
        _expand = new Linear(width, 4 * width, bias: true, device);
        _contract = new Linear(4 * width, width, bias: true, device);
        _gamma = layerScale ? new Parameter(empty(width, device: device)) : null;
        RegisterComponents();
    }

    internal Convolution Depthwise => _depthwise;

    internal Norm Norm => _norm;

    internal Linear Expand => _expand;

    internal Linear Contract => _contract;

    internal Parameter? Gamma => _gamma;

    /// <summary>Inference, or training with stochastic depth.</summary>
    /// <param name="x">[B, C, h, w]</param>
    /// <param name="random">Source of the dropped samples in training; null: nothing is dropped.</param>
    /// <param name="recompute">Keep only the input for the backward pass and compute the rest again.</param>
    public Tensor Forward(Tensor x, Generator? random, bool recompute = false)
    {
        using var scope = NewDisposeScope();
        Tensor? kept = random is not null && _dropPathRate > 0 ? rand(x.shape[0], 1, 1, 1, generator: random).Plus(Num(1 - _dropPathRate)).floor().to(x.dtype).SendTo(x.device) : null; // [B, 1, 1, 1]
        Tensor y = recompute ? Recompute.Run(inputs => [Compute(inputs[0], inputs.ElementAtOrDefault(1))], 1, kept is null ? [x] : [x, kept])[0] : Compute(x, kept); // [B, C, h, w]
        return y.MoveToOuterDisposeScope();
    }

    private Tensor Compute(Tensor x, Tensor? kept)
    {
        using var scope = NewDisposeScope();
        Tensor y = _depthwise.call(x).permute(0, 2, 3, 1); // [B, h, w, C]
        y = _contract.call(nn.functional.gelu(_expand.call(_norm.call(y)))); // [B, h, w, C]
        if (_gamma is not null) y = y * _gamma.As(y.dtype);
        y = y.permute(0, 3, 1, 2); // [B, C, h, w]
        if (kept is not null) y = y / Num(1 - _dropPathRate) * kept; // [B, C, h, w]
        return x.Plus(y).MoveToOuterDisposeScope();
    }
}

/// <summary>4×4 convolution of stride 4, then a norm over channels.</summary>
internal sealed class ConvNeXtStem : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "0")] private readonly Convolution _conv;
    [ComponentName(Name = "1")] private readonly Norm _norm;

    public ConvNeXtStem(int channels, int width, Device? device)
        : base(nameof(ConvNeXtStem))
    {
        _conv = new Convolution(channels, width, kernel: 4, stride: 4, device: device);
        _norm = new Norm(width, NormKind.LayerNorm, ConvNeXtBlock.NormEpsilon, device);
        RegisterComponents();
    }

    public Convolution Convolution => _conv;

    public Norm Norm => _norm;

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return ConvNeXtDownsample.NormChannels(_conv.call(x), _norm).MoveToOuterDisposeScope(); // [B, C, h, w]
    }
}

/// <summary>A norm over channels, then a 2×2 convolution of stride 2.</summary>
internal sealed class ConvNeXtDownsample : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "0")] private readonly Norm _norm;
    [ComponentName(Name = "1")] private readonly Convolution _conv;

    public ConvNeXtDownsample(int inputs, int outputs, Device? device)
        : base(nameof(ConvNeXtDownsample))
    {
        _norm = new Norm(inputs, NormKind.LayerNorm, ConvNeXtBlock.NormEpsilon, device);
        _conv = new Convolution(inputs, outputs, kernel: 2, stride: 2, device: device);
        RegisterComponents();
    }

    public Convolution Convolution => _conv;

    public Norm Norm => _norm;

    public override Tensor forward(Tensor x)
    {
        using var scope = NewDisposeScope();
        return _conv.call(NormChannels(x, _norm)).MoveToOuterDisposeScope(); // [B, C, h, w]
    }

    internal static Tensor NormChannels(Tensor x, Norm norm) => norm.call(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2); // [B, C, h, w]
}
