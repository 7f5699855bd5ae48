using DinoSharp.Backbones;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Backbones as ONNX Runtime computes them best: fused operators (MultiHeadAttention, RotaryEmbedding, Gelu, LayerNormalization), layer scale folded into the weights.</summary>
/// <param name="int8">Linear layers as DynamicQuantizeMatMul with weights per output.</param>
internal sealed class OnnxGraph(bool int8)
{
    private readonly OnnxWriter _g = new();

    /// <summary>Writes a network for images of one shape; its output "tokens" are the normalised tokens.</summary>
    public void Save(Backbone network, Tensor images, long[] tokens, string file)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        _g.Input("pixels", images.shape);
        var last = (Norm)network.named_children().First(child => child.name == "norm").module;
        string x = network switch
        {
            VisionTransformer transformer => Write(transformer, images, tokens),
            ConvNeXt convolutional => Write(convolutional, images, tokens),
            _ => throw new ArgumentException($"no graph for {network.GetType().Name}"),
        };
        _g.Rename(Norm(x, last, network.Config is VisionTransformerConfig config ? config.NormEpsilon : ConvNeXtBlock.NormEpsilon), "tokens");
        _g.Output("tokens", tokens);
        _g.Save(file);
    }

    // [B, N, D]
    private string Write(VisionTransformer network, Tensor images, long[] shape)
    {
        var config = (VisionTransformerConfig)network.Config;
        (long batch, long tokens, int d) = (shape[0], shape[1], config.Width);
        int h = (int)(images.shape[2] / config.PatchSize), w = (int)(images.shape[3] / config.PatchSize), prefix = 1 + config.Registers;
        string x = Convolve("pixels", network.PatchEmbedding.Projection, config.PatchSize); // [B, D, h, w]
        x = _g.Node("Transpose", [Reshape(x, batch, d, h * w)], ("perm", new[] { 0, 2, 1 })); // [B, P, D]
        x = _g.Node("Concat", [_g.Constant(network.PrefixTokens().expand(batch, -1, -1)), x], ("axis", 1)); // [B, N, D]

        (Tensor sin, Tensor cos) = network.Rotary.Compute(h, w); // [P, E]
        int half = config.HeadWidth / 2;
        string cosines = _g.Constant(cat([ones(prefix, half), cos.narrow(1, 0, half)])), sines = _g.Constant(cat([zeros(prefix, half), sin.narrow(1, 0, half)])); // [N, E/2]
        string positions = _g.Constant(arange(tokens, dtype: ScalarType.Int64).expand(batch, tokens)), parts = _g.Constant(tensor(new long[] { d, d, d }));
        foreach (Block block in network.Blocks)
        {
            string[] qkv = _g.Nodes("Split", [Linear(Norm(x, block.Norm1, config.NormEpsilon), block.Attention.Qkv.Weight, block.Attention.Qkv.EffectiveBias(), null), parts], 3, ("axis", 2)); // each [B, N, D]
            string q = Rotate(qkv[0]), k = Rotate(qkv[1]);
            string mixed = _g.Node("com.microsoft:MultiHeadAttention", [q, k, qkv[2]], ("num_heads", config.Heads)); // [B, N, D]
            x = _g.Node("Add", [x, Linear(mixed, block.Attention.Projection.Weight, block.Attention.Projection.Bias, block.Scale1?.Gamma)]);
            var mlp = (Mlp)block.FeedForward;
            string up = _g.Node("com.microsoft:Gelu", [Linear(Norm(x, block.Norm2, config.NormEpsilon), mlp.Fc1.Weight, mlp.Fc1.Bias, null)]); // [B, N, F]
            x = _g.Node("Add", [x, Linear(up, mlp.Fc2.Weight, mlp.Fc2.Bias, block.Scale2?.Gamma)]);
        }

        return x;

        string Rotate(string input) => _g.Node("com.microsoft:RotaryEmbedding", [input, positions, cosines, sines], ("num_heads", config.Heads));
    }

    // Convolutions on channels first, norms and point-wise layers on channels last, as the network is written. [B, 1 + P, D]
    private string Write(ConvNeXt network, Tensor images, long[] shape)
    {
        string x = "pixels";
        for (int s = 0; s < 4; s++)
        {
            (Convolution reduce, Norm norm) = network.Downsample(s);
            if (s > 0) x = ChannelsFirst(Norm(ChannelsLast(x), norm, ConvNeXtBlock.NormEpsilon)); // [B, C, h, w]
            x = Convolve(x, reduce, s == 0 ? 4 : 2); // [B, C, h, w]
            if (s == 0) x = ChannelsFirst(Norm(ChannelsLast(x), norm, ConvNeXtBlock.NormEpsilon)); // [B, C, h, w]
            foreach (ConvNeXtBlock block in network.Blocks(s))
            {
                int width = (int)block.Depthwise.Weight.shape[0];
                string y = _g.Node("Conv", [x, _g.Constant(block.Depthwise.Weight), _g.Constant(block.Depthwise.Bias!)], ("group", width), ("pads", new[] { 3, 3, 3, 3 })); // [B, C, h, w]
                y = Norm(ChannelsLast(y), block.Norm, ConvNeXtBlock.NormEpsilon); // [B, h, w, C]
                y = _g.Node("com.microsoft:Gelu", [Linear(y, block.Expand.Weight, block.Expand.Bias, null)]); // [B, h, w, 4C]
                y = Linear(y, block.Contract.Weight, block.Contract.Bias, block.Gamma); // [B, h, w, C]
                x = _g.Node("Add", [x, ChannelsFirst(y)]); // [B, C, h, w]
            }
        }

        string pixels = _g.Node("Transpose", [Reshape(x, shape[0], shape[2], shape[1] - 1)], ("perm", new[] { 0, 2, 1 })); // [B, P, D]
        string mean = _g.Node("ReduceMean", [pixels, _g.Constant(tensor(new long[] { 1 }))], ("keepdims", 1)); // [B, 1, D]
        return _g.Node("Concat", [mean, pixels], ("axis", 1)); // [B, 1 + P, D]
    }

    private string ChannelsLast(string map) => _g.Node("Transpose", [map], ("perm", new[] { 0, 2, 3, 1 }));

    private string ChannelsFirst(string map) => _g.Node("Transpose", [map], ("perm", new[] { 0, 3, 1, 2 }));

    private string Reshape(string x, params long[] shape) => _g.Node("Reshape", [x, _g.Constant(tensor(shape))]);

    private string Convolve(string x, Convolution layer, int stride) => _g.Node("Conv", [x, _g.Constant(layer.Weight), _g.Constant(layer.Bias!)], ("strides", new[] { stride, stride }));

    private string Norm(string x, Norm norm, double epsilon) => _g.Node("LayerNormalization", [x, _g.Constant(norm.Weight), _g.Constant(norm.Bias!)], ("axis", -1), ("epsilon", (float)epsilon));

    private string Linear(string x, Tensor weight, Tensor? bias, Tensor? scale)
    {
        Tensor matrix = scale is null ? weight : weight * scale.unsqueeze(-1); // [outputs, inputs]
        Tensor offset = bias is null ? zeros(weight.shape[0]) : scale is null ? bias : bias * scale; // [outputs]
        if (!int8) return _g.Node("Add", [_g.Node("MatMul", [x, _g.Constant(matrix.t())]), _g.Constant(offset)]);
        Tensor unit = matrix.abs().amax([1]) / 127; // [outputs]
        string bytes = _g.Constant((matrix / unit.unsqueeze(-1)).round().to(ScalarType.Int8).t()), zero = _g.Constant(zeros(weight.shape[0], dtype: ScalarType.Int8));
        return _g.Node("com.microsoft:DynamicQuantizeMatMul", [x, bytes, _g.Constant(unit), zero, _g.Constant(offset)]);
    }
}
