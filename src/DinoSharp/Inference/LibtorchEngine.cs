using DinoSharp.Backbones;
using DinoSharp.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace DinoSharp.Inference;

/// <summary>The layers themselves on a bfloat16 copy of the weights, for GPUs and for processors where libtorch's bfloat16 is good (AMX). Tokens come back in float32.</summary>
internal sealed class LibtorchEngine : InferenceEngine
{
    private readonly VisionTransformer _original, _copy;

    public LibtorchEngine(VisionTransformer network)
    {
        using var quiet = no_grad();
        var config = (VisionTransformerConfig)network.Config;
        _original = network;
        _copy = new VisionTransformer(config, network.parameters().First().device);
        _copy.to(ScalarType.BFloat16);
        foreach ((var to, var from) in _copy.parameters().Zip(network.parameters())) to.copy_(from);
        foreach ((var to, var from) in _copy.buffers().Zip(network.buffers())) to.copy_(from);
    }

    public override ComputeType Type => ComputeType.BFloat16;

    public override bool Takes(Tensor images) => images.dtype == ScalarType.Float32;

    public override Tensor[] Forward(Tensor images, IReadOnlyList<int> layers)
    {
        using var scope = NewDisposeScope();
        using RotaryTables rope = _original.Tables(images); // angles need the original precision
        Tensor[] tokens = _copy.RunLayers(images.to(ScalarType.BFloat16), [.. layers], null, rope); // each [B, N, D]
        return [.. tokens.Select(x => x.to(ScalarType.Float32).MoveToOuterDisposeScope())];
    }

    public override void Dispose() => _copy.Dispose();
}
