using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>Plain convolutions over the image that give the adapter the fine structure which patches lose (Chen et al. 2023, ViT-Adapter).</summary>
internal sealed class SpatialPrior : nn.Module
{
    [ComponentName(Name = "stem")] private readonly ConvolutionStem _stem;
    [ComponentName(Name = "conv2")] private readonly Downsampling _conv2;
    [ComponentName(Name = "conv3")] private readonly Downsampling _conv3;
    [ComponentName(Name = "conv4")] private readonly Downsampling _conv4;
    [ComponentName(Name = "fc1")] private readonly Convolution _fc1;
    [ComponentName(Name = "fc2")] private readonly Convolution _fc2;
    [ComponentName(Name = "fc3")] private readonly Convolution _fc3;
    [ComponentName(Name = "fc4")] private readonly Convolution _fc4;

    public SpatialPrior(int stem, int width, Device? device)
        : base(nameof(SpatialPrior))
    {
        _stem = new ConvolutionStem(stem, device);
        _conv2 = new Downsampling(stem, 2 * stem, device);
        _conv3 = new Downsampling(2 * stem, 4 * stem, device);
        _conv4 = new Downsampling(4 * stem, 4 * stem, device);
        _fc1 = new Convolution(stem, width, kernel: 1, stride: 1, device: device);
        _fc2 = new Convolution(2 * stem, width, kernel: 1, stride: 1, device: device);
        _fc3 = new Convolution(4 * stem, width, kernel: 1, stride: 1, device: device);
        _fc4 = new Convolution(4 * stem, width, kernel: 1, stride: 1, device: device);
        RegisterComponents();
    }

    /// <param name="images">[B, 3, H, W]</param>
    /// <returns>Maps of stride 4, 8, 16 and 32, each [B, D, h, w]; in the current dispose scope</returns>
    public Tensor[] Forward(Tensor images)
    {
        Tensor c1 = _stem.call(images); // [B, S, H/4, W/4]
        Tensor c2 = _conv2.call(c1); // [B, 2S, H/8, W/8]
        Tensor c3 = _conv3.call(c2); // [B, 4S, H/16, W/16]
        Tensor c4 = _conv4.call(c3); // [B, 4S, H/32, W/32]
        return [_fc1.call(c1), _fc2.call(c2), _fc3.call(c3), _fc4.call(c4)];
    }

    /// <summary>Three 3×3 convolutions, the first of stride 2, then a max pool of stride 2.</summary>
    private sealed class ConvolutionStem : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "0")] private readonly Convolution _conv0;
        [ComponentName(Name = "1")] private readonly BatchNorm _norm0;
        [ComponentName(Name = "3")] private readonly Convolution _conv1;
        [ComponentName(Name = "4")] private readonly BatchNorm _norm1;
        [ComponentName(Name = "6")] private readonly Convolution _conv2;
        [ComponentName(Name = "7")] private readonly BatchNorm _norm2;

        public ConvolutionStem(int channels, Device? device)
            : base(nameof(ConvolutionStem))
        {
            _conv0 = new Convolution(3, channels, kernel: 3, stride: 2, padding: 1, device: device, bias: false);
            _norm0 = new BatchNorm(channels, device);
            _conv1 = new Convolution(channels, channels, kernel: 3, stride: 1, padding: 1, device: device, bias: false);
            _norm1 = new BatchNorm(channels, device);
            _conv2 = new Convolution(channels, channels, kernel: 3, stride: 1, padding: 1, device: device, bias: false);
            _norm2 = new BatchNorm(channels, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            x = _norm0.call(_conv0.call(x)).relu(); // [B, S, H/2, W/2]
            x = _norm1.call(_conv1.call(x)).relu();
            x = _norm2.call(_conv2.call(x)).relu();
            return nn.functional.max_pool2d(x, 3, stride: 2, padding: 1).MoveToOuterDisposeScope(); // [B, S, H/4, W/4]
        }
    }

    /// <summary>3×3 convolution of stride 2, batch norm, ReLU.</summary>
    private sealed class Downsampling : nn.Module<Tensor, Tensor>
    {
        [ComponentName(Name = "0")] private readonly Convolution _conv;
        [ComponentName(Name = "1")] private readonly BatchNorm _norm;

        public Downsampling(int inputs, int outputs, Device? device)
            : base(nameof(Downsampling))
        {
            _conv = new Convolution(inputs, outputs, kernel: 3, stride: 2, padding: 1, device: device, bias: false);
            _norm = new BatchNorm(outputs, device);
            RegisterComponents();
        }

        public override Tensor forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            return _norm.call(_conv.call(x)).relu().MoveToOuterDisposeScope(); // [B, outputs, h/2, w/2]
        }
    }
}
