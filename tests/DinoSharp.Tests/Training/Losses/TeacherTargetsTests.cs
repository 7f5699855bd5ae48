using DinoSharp.Training.Distributed;
using DinoSharp.Training.Losses;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Losses;

public sealed class TeacherTargetsTests
{
    [Fact]
    public void LongPrototypesDoNotOverflow()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(1);
        Tensor logits = randn(32, 16, generator: random) + randn(1, 16, generator: random) * 200; // divided by 0.04: thousands
        Tensor targets = TeacherTargets.SinkhornKnopp(logits, 0.04, Collectives.Single); // [n, K]
        Assert.True(targets.isfinite().all().item<bool>());
        Assert.Equal(1, targets.sum(1).min().item<float>(), 4);
        Assert.Equal(1, targets.sum(1).max().item<float>(), 4);
    }

    [Fact]
    public void AConstantOfAPrototypeDoesNotMatter()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(2);
        Tensor logits = randn(12, 8, generator: random) * 0.1, shifted = logits + randn(1, 8, generator: random);
        Tensor a = TeacherTargets.SinkhornKnopp(logits, 0.05, Collectives.Single), b = TeacherTargets.SinkhornKnopp(shifted, 0.05, Collectives.Single);
        Assert.True((a - b).abs().max().item<float>() < 1e-4);
    }
}
