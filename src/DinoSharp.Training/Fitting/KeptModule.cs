using static TorchSharp.torch;

namespace DinoSharp.Training.Fitting;

internal static class KeptModule
{
    /// <summary>Takes the parameters and buffers of a network out of the current dispose scope, so that it lives until it is disposed itself.</summary>
    public static T Kept<T>(this T network)
        where T : nn.Module
    {
        foreach (Tensor tensor in network.parameters()) tensor.DetachFromDisposeScope();
        foreach (Tensor tensor in network.buffers()) tensor.DetachFromDisposeScope();
        return network;
    }
}
