using DinoSharp.Training.Data.Sampling;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Data;

/// <summary>Our generator against the one of libtorch itself, bit for bit.</summary>
public sealed class TorchRandomTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(6060)]
    [InlineData(0x1_2345_6789L)]
    public void EveryKindOfDrawEqualsLibtorch(long seed)
    {
        using var scope = NewDisposeScope();
        using var theirs = new Generator((ulong)seed);
        var ours = new TorchRandom((ulong)seed);
        for (int i = 0; i < 700; i++)
        {
            float low = -1.5f + i * 0.013f, high = low + 0.37f + i * 0.11f;
            Assert.Equal(rand(1, generator: theirs).item<float>(), ours.NextSingle());
            Assert.Equal(empty(1).uniform_(low, high, theirs).item<float>(), ours.Uniform(low, high));
            Assert.Equal(randint(-3, 5 + i, 1, generator: theirs).item<long>(), ours.Integer(-3, 5 + i));
            if (i % 50 == 0) Assert.Equal(randperm(1 + i, generator: theirs).data<long>().ToArray(), ours.Permutation(1 + i).Select(v => (long)v));
        }
    }

    [Theory]
    [InlineData((1L << 28) - 1)]
    [InlineData(1L << 28)]
    [InlineData((1L << 28) + 1)]
    [InlineData((1L << 32) - 1)]
    [InlineData(1L << 32)]
    [InlineData((1L << 40) + 7)]
    public void WideIntegerRangesEqualLibtorch(long range)
    {
        using var scope = NewDisposeScope();
        using var theirs = new Generator(11);
        var ours = new TorchRandom(11);
        for (int i = 0; i < 20; i++) Assert.Equal(randint(0, range, 1, generator: theirs).item<long>(), ours.Integer(0, range));
    }
}
