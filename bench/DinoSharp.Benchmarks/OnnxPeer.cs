using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Layers;
using Microsoft.ML.OnnxRuntime;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>A vision transformer in ONNX Runtime on the same weights, in its fused operators (MultiHeadAttention, RotaryEmbedding, Gelu), for one size and batch.</summary>
internal sealed class OnnxPeer : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.onnx");
    private readonly InferenceSession _session;
    private readonly long[] _inputShape, _outputShape;
    private readonly float[] _output;

    /// <param name="network">The weights.</param>
    /// <param name="images">[B, C, H, W]; the graph is made for this shape.</param>
    /// <param name="int8">Linear layers in int8, activations scaled while computing (DynamicQuantizeMatMul), weights per output.</param>
    public OnnxPeer(VisionTransformer network, Tensor images, bool int8)
    {
        var config = (VisionTransformerConfig)network.Config;
        _inputShape = images.shape;
        _outputShape = [images.shape[0], 1 + config.Registers + (images.shape[2] / config.PatchSize * (images.shape[3] / config.PatchSize)), config.Width];
        _output = new float[_outputShape.Aggregate(1L, (a, b) => a * b)];
        Write(network, config, images, int8);
        using var options = new SessionOptions { IntraOpNumThreads = get_num_threads(), InterOpNumThreads = 1, GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL };
        _session = new InferenceSession(_file, options);
        File.Delete(_file);
    }

    /// <summary>Version of the library.</summary>
    public static string Version => OrtEnv.Instance().GetVersionString();

    /// <summary>One pass: normalised tokens.</summary>
    public void Run(float[] pixels)
    {
        using OrtValue input = OrtValue.CreateTensorValueFromMemory(pixels, _inputShape), output = OrtValue.CreateTensorValueFromMemory(_output, _outputShape);
        using var options = new RunOptions();
        _session.Run(options, ["pixels"], [input], ["tokens"], [output]);
    }

    /// <summary>How far it is from the network.</summary>
    public FeatureError Error(VisionTransformer network, Tensor images)
    {
        using var scope = NewDisposeScope();
        Run(images.data<float>().ToArray());
        return FeatureError.Between(network.NormalizeTokens(network.RunLayers(images, [network.Config.LayerCount - 1])[0]), tensor(_output).view(_outputShape));
    }

    public void Dispose()
    {
        _session.Dispose();
        File.Delete(_file);
    }

    private void Write(VisionTransformer network, VisionTransformerConfig config, Tensor images, bool int8)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var g = new OnnxWriter();
        (long batch, long tokens, int d) = (_outputShape[0], _outputShape[1], config.Width);
        int h = (int)(images.shape[2] / config.PatchSize), w = (int)(images.shape[3] / config.PatchSize), prefix = 1 + config.Registers;
        g.Input("pixels", _inputShape);
        Convolution patch = network.PatchEmbedding.Projection;
        string x = g.Node("Conv", ["pixels", g.Constant(patch.Weight), g.Constant(patch.Bias!)], ("strides", new[] { config.PatchSize, config.PatchSize })); // [B, D, h, w]
        x = g.Node("Transpose", [g.Node("Reshape", [x, g.Constant(tensor(new[] { batch, d, h * w }))])], ("perm", new[] { 0, 2, 1 })); // [B, P, D]
        x = g.Node("Concat", [g.Constant(network.PrefixTokens().expand(batch, -1, -1)), x], ("axis", 1)); // [B, N, D]

        (Tensor sin, Tensor cos) = network.Rotary.Compute(h, w); // [P, E]
        int half = config.HeadWidth / 2;
        string cosines = g.Constant(cat([ones(prefix, half), cos.narrow(1, 0, half)])), sines = g.Constant(cat([zeros(prefix, half), sin.narrow(1, 0, half)])); // [N, E/2]
        string positions = g.Constant(arange(tokens, dtype: ScalarType.Int64).expand(batch, tokens)), parts = g.Constant(tensor(new long[] { d, d, d }));
        foreach (Block block in network.Blocks)
        {
            string[] qkv = g.Nodes("Split", [Linear(Norm(x, block.Norm1), block.Attention.Qkv.Weight, block.Attention.Qkv.EffectiveBias(), null), parts], 3, ("axis", 2)); // each [B, N, D]
            string q = Rotate(qkv[0]), k = Rotate(qkv[1]);
            string mixed = g.Node("com.microsoft:MultiHeadAttention", [q, k, qkv[2]], ("num_heads", config.Heads)); // [B, N, D]
            x = g.Node("Add", [x, Linear(mixed, block.Attention.Projection.Weight, block.Attention.Projection.Bias, block.Scale1?.Gamma)]);
            var mlp = (Mlp)block.FeedForward;
            string up = g.Node("com.microsoft:Gelu", [Linear(Norm(x, block.Norm2), mlp.Fc1.Weight, mlp.Fc1.Bias, null)]); // [B, N, F]
            x = g.Node("Add", [x, Linear(up, mlp.Fc2.Weight, mlp.Fc2.Bias, block.Scale2?.Gamma)]);
        }

        Norm last = (Norm)network.named_children().First(child => child.name == "norm").module;
        string result = Norm(x, last);
        g.Rename(result, "tokens");
        g.Output("tokens", _outputShape);
        g.Save(_file);

        string Norm(string input, Norm norm) => g.Node("LayerNormalization", [input, g.Constant(norm.Weight), g.Constant(norm.Bias!)], ("axis", -1), ("epsilon", (float)config.NormEpsilon));

        string Rotate(string input) => g.Node("com.microsoft:RotaryEmbedding", [input, positions, cosines, sines], ("num_heads", config.Heads));

        string Linear(string input, Tensor weight, Tensor? bias, Tensor? scale)
        {
            Tensor matrix = scale is null ? weight : weight * scale.unsqueeze(-1); // [outputs, inputs]
            Tensor offset = bias is null ? zeros(weight.shape[0]) : scale is null ? bias : bias * scale; // [outputs]
            if (!int8) return g.Node("Add", [g.Node("MatMul", [input, g.Constant(matrix.t())]), g.Constant(offset)]);
            Tensor unit = matrix.abs().amax([1]) / 127; // [outputs]
            string bytes = g.Constant((matrix / unit.unsqueeze(-1)).round().to(ScalarType.Int8).t()), zero = g.Constant(zeros(weight.shape[0], dtype: ScalarType.Int8));
            return g.Node("com.microsoft:DynamicQuantizeMatMul", [input, bytes, g.Constant(unit), zero, g.Constant(offset)]);
        }
    }
}
