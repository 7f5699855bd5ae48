using DinoSharp.Backbones;
using DinoSharp.Inference;
using Microsoft.ML.OnnxRuntime;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>A backbone in ONNX Runtime on the same weights, for one size and batch; the graph is that of <see cref="OnnxGraph"/>.</summary>
internal sealed class OnnxPeer : IDisposable
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.onnx");
    private readonly InferenceSession _session;
    private readonly long[] _inputShape, _outputShape;
    private readonly float[] _output;

    /// <param name="network">The weights.</param>
    /// <param name="images">[B, C, H, W]; the graph is made for this shape.</param>
    /// <param name="tokens">Shape of the normalised tokens.</param>
    /// <param name="int8">Linear layers in int8, activations scaled while computing (DynamicQuantizeMatMul), weights per output.</param>
    public OnnxPeer(Backbone network, Tensor images, long[] tokens, bool int8)
    {
        (_inputShape, _outputShape) = (images.shape, tokens);
        _output = new float[tokens.Aggregate(1L, (a, b) => a * b)];
        new OnnxGraph(int8).Save(network, images, tokens, _file);
        using var options = new SessionOptions { IntraOpNumThreads = get_num_threads(), InterOpNumThreads = 1, GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL };
        options.AddSessionConfigEntry("session.force_spinning_stop", "1"); // its threads would otherwise stay awake while another is timed
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
    public FeatureError Error(float[] pixels, Tensor expected)
    {
        using var scope = NewDisposeScope();
        Run(pixels);
        return FeatureError.Between(expected, tensor(_output).view(_outputShape));
    }

    public void Dispose()
    {
        _session.Dispose();
        File.Delete(_file);
    }
}
