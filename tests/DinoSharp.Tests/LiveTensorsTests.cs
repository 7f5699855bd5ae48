using Xunit;
using Xunit.Sdk;
using static TorchSharp.torch;

namespace DinoSharp.Tests;

public sealed class LiveTensorsTests
{
    /// <summary>The leak test itself must be able to fail.</summary>
    [Fact]
    public void AForgottenTensorIsFound()
    {
        List<Tensor> kept = [];
        Assert.ThrowsAny<XunitException>(() => LiveTensors.AssertUnchangedBy(() => kept.Add(ones(1))));
        kept.ForEach(t => t.Dispose());
    }
}
