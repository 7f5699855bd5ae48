using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Weights;

internal static class TensorAssert
{
    /// <summary>Same type, shape and bytes: also tells NaN payloads and signed zeros apart.</summary>
    public static void AssertSame(Tensor expected, Tensor actual, string name = "the tensors")
    {
        using var scope = NewDisposeScope();
        Assert.Equal(expected.dtype, actual.dtype);
        Assert.Equal(expected.shape, actual.shape);
        Assert.True(expected.detach().contiguous().bytes.SequenceEqual(actual.detach().contiguous().bytes), $"{name} differ");
    }
}
