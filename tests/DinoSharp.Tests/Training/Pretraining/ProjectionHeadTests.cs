using DinoSharp.Training.Pretraining;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Pretraining;

/// <summary>The heads of the losses; their numbers are tested by golden cases.</summary>
public sealed class ProjectionHeadTests
{
    [Theory]
    [InlineData(0.02)]
    [InlineData(0.1)]
    public void FreshPrototypesHaveTheConfiguredSpreadAndTheOtherLayersTheOriginalOne(double std)
    {
        using var scope = NewDisposeScope();
        using var head = new ProjectionHead(64, new ProjectionHeadConfig { Prototypes = 200, BottleneckDim = 100, HiddenDim = 150, PrototypeStd = std });
        head.Initialize(new Generator(3));
        foreach ((string name, TorchSharp.Modules.Parameter weight) in head.named_parameters().Where(p => p.parameter.dim() == 2))
        {
            double expected = name == "last_layer.weight" ? std : 0.02;
            Assert.Equal(expected, weight.std().item<float>(), 0.05 * expected);
        }
    }
}
