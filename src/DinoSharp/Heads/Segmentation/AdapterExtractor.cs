using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>Lets the multi-scale tokens of the adapter collect what they need from one layer of the backbone.</summary>
internal sealed class AdapterExtractor : nn.Module
{
    private const double NormEpsilon = 1e-6;

    [ComponentName(Name = "query_norm")] private readonly Norm _queryNorm;
    [ComponentName(Name = "feat_norm")] private readonly Norm _featureNorm;
    [ComponentName(Name = "attn")] private readonly DeformableAttention _attention;
    [ComponentName(Name = "ffn")] private readonly ConvolutionalFeedForward _feedForward;
    [ComponentName(Name = "ffn_norm")] private readonly Norm _feedForwardNorm;

    public AdapterExtractor(Mask2FormerConfig config, Device? device)
        : base(nameof(AdapterExtractor))
    {
        int width = config.BackboneWidth;
        _queryNorm = new Norm(width, NormKind.LayerNorm, NormEpsilon, device);
        _featureNorm = new Norm(width, NormKind.LayerNorm, NormEpsilon, device);
        _attention = new DeformableAttention(width, levels: 1, config.AdapterHeads, config.AdapterPoints, config.AdapterValueRatio, device);
        _feedForward = new ConvolutionalFeedForward(width, (int)(width * config.AdapterFeedForwardRatio), device);
        _feedForwardNorm = new Norm(width, NormKind.LayerNorm, NormEpsilon, device);
        RegisterComponents();
    }

    /// <param name="tokens">Tokens of strides 8, 16 and 32, one after the other [B, T, D].</param>
    /// <param name="references">Their centres [1, T, 1, 2].</param>
    /// <param name="features">Patch tokens of one backbone layer [B, P, D].</param>
    /// <param name="grid">Patch rows and columns.</param>
    /// <param name="shapes">Rows and columns of the three scales.</param>
    /// <returns>[B, T, D]</returns>
    public Tensor Forward(Tensor tokens, Tensor references, Tensor features, (long H, long W) grid, IReadOnlyList<(long H, long W)> shapes)
    {
        using var scope = NewDisposeScope();
        tokens = tokens.Plus(_attention.Forward(_queryNorm.call(tokens), references, _featureNorm.call(features), [grid])); // [B, T, D]
        return tokens.Plus(_feedForward.Forward(_feedForwardNorm.call(tokens), shapes)).MoveToOuterDisposeScope();
    }
}

/// <summary>Two linear layers with a depthwise 3×3 convolution and GELU between; all scales share its weights.</summary>
internal sealed class ConvolutionalFeedForward : nn.Module
{
    [ComponentName(Name = "fc1")] private readonly Linear _fc1;
    [ComponentName(Name = "dwconv")] private readonly Depthwise _depthwise;
    [ComponentName(Name = "fc2")] private readonly Linear _fc2;

    public ConvolutionalFeedForward(int width, int hidden, Device? device)
        : base(nameof(ConvolutionalFeedForward))
    {
        _fc1 = new Linear(width, hidden, true, device);
        _depthwise = new Depthwise(hidden, device);
        _fc2 = new Linear(hidden, width, true, device);
        RegisterComponents();
    }

    /// <param name="x">Tokens of several maps, one after the other [B, T, D].</param>
    /// <param name="shapes">Rows and columns of the maps.</param>
    public Tensor Forward(Tensor x, IReadOnlyList<(long H, long W)> shapes)
    {
        using var scope = NewDisposeScope();
        Tensor[] maps = _fc1.call(x).split([.. shapes.Select(s => s.H * s.W)], 1); // each [B, h·w, hidden]
        Tensor mixed = cat([.. maps.Select((map, i) => _depthwise.Forward(map, shapes[i]))], 1); // [B, T, hidden]
        return _fc2.call(nn.functional.gelu(mixed)).MoveToOuterDisposeScope(); // [B, T, D]
    }

    private sealed class Depthwise : nn.Module
    {
        [ComponentName(Name = "dwconv")] private readonly Convolution _conv;

        public Depthwise(int channels, Device? device)
            : base(nameof(Depthwise))
        {
            _conv = new Convolution(channels, channels, kernel: 3, stride: 1, padding: 1, groups: channels, device: device);
            RegisterComponents();
        }

        public Tensor Forward(Tensor tokens, (long H, long W) shape)
        {
            Tensor map = tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], shape.H, shape.W); // [B, hidden, h, w]
            return _conv.call(map).flatten(2).transpose(1, 2); // [B, h·w, hidden]
        }
    }
}
