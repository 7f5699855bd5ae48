using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>The linear probe of the dense protocols: features of one or more layers, batch norm, and one linear layer at each patch (paper appendix D.1, D.2).</summary>
internal abstract class LinearDenseHead : nn.Module
{
    [ComponentName(Name = "batchnorm_layer")] private readonly BatchNorm? _norm;
    private readonly bool _classToken;
    private readonly double _dropout;

    /// <param name="name">Name of the class.</param>
    /// <param name="channels">Width of each layer whose features come in.</param>
    /// <param name="batchNorm">Normalise the channels first.</param>
    /// <param name="classToken">Append the class token of its layer to each patch, which doubles the channels.</param>
    /// <param name="dropout">Probability with which a channel is dropped in training.</param>
    /// <param name="device">Where the weights live.</param>
    protected LinearDenseHead(string name, IReadOnlyList<int> channels, bool batchNorm, bool classToken, double dropout, Device? device)
        : base(name)
    {
        (_classToken, _dropout) = (classToken, dropout);
        Channels = channels.Sum() * (classToken ? 2 : 1);
        _norm = batchNorm ? new BatchNorm(Channels, device) : null;
    }

    /// <summary>Channels C at each patch after concatenation.</summary>
    protected int Channels { get; }

    protected abstract Convolution Projection { get; }

    /// <param name="features">One entry for each layer of the constructor; the first one's grid is the grid of the result.</param>
    /// <returns>Scores [B, outputs, h, w]</returns>
    public Tensor Forward(IReadOnlyList<LayerFeatures> features)
    {
        using var scope = NewDisposeScope();
        Tensor x = Gather(features); // [B, C, h, w]
        if (_norm is not null) x = _norm.call(x);
        return Projection.call(x).MoveToOuterDisposeScope(); // [B, outputs, h, w]
    }

    /// <summary>Scores resized bilinearly to the wanted size. [B, outputs, height, width]</summary>
    public Tensor Predict(IReadOnlyList<LayerFeatures> features, long height, long width)
    {
        using Tensor scores = Forward(features); // [B, outputs, h, w]
        return MapResize.Bilinear(scores, height, width); // [B, outputs, height, width]
    }

    /// <summary>As <see cref="Forward"/>, with channel dropout and the statistics of the batch.</summary>
    public Tensor ForwardTraining(IReadOnlyList<LayerFeatures> features, Generator random)
    {
        using var scope = NewDisposeScope();
        Tensor x = Gather(features); // [B, C, h, w]
        if (_dropout > 0)
        {
            Tensor kept = rand([x.shape[0], x.shape[1], 1, 1], generator: random).ge(Num(_dropout)).to(x.device); // [B, C, 1, 1]
            x = x * kept / Num(1 - _dropout);
        }

        if (_norm is not null) x = _norm.ForwardTraining(x);
        return Projection.call(x).MoveToOuterDisposeScope(); // [B, outputs, h, w]
    }

    /// <summary>Weights N(0, 0.01), bias 0, identity norm.</summary>
    public void Initialize(Generator random)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        Projection.Weight.normal_(0, 0.01, random);
        Projection.Bias!.zero_();
        _norm?.Initialize();
    }

    private Tensor Gather(IReadOnlyList<LayerFeatures> features)
    {
        long height = features[0].GridHeight, width = features[0].GridWidth;
        Tensor[] maps = [.. features.Select(f =>
        {
            Tensor map = f.PatchMap(); // [B, D, h, w]
            if (_classToken) map = cat([map, f.ClassToken.unsqueeze(-1).unsqueeze(-1).expand_as(map)], 1); // [B, 2D, h, w]
            return MapResize.Bilinear(map, height, width);
        })];
        return maps.Length == 1 ? maps[0] : cat(maps, 1); // [B, C, h, w]
    }
}
