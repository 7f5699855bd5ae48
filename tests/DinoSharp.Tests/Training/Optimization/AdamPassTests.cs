using DinoSharp.Training.Optimization;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Optimization;

public sealed class AdamPassTests : IDisposable
{
    private static readonly AdamFactors[] Factors = [.. Enumerable.Range(1, 3).Select(i => new AdamFactors(0.9, 0.99, 1 - (1e-2 * 0.04 * i), 1e-2 / (1 - Math.Pow(0.9, i)), Math.Sqrt(1 - Math.Pow(0.99, i)), 1e-8))];

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(33)]
    [InlineData(16384)]
    [InlineData(40001)]
    public void OnePassGivesWhatLibtorchGives(int count)
    {
        Tensor[] gradients = Gradients(count);
        Tensor[] own = Start(count), library = Start(count);
        for (int i = 0; i < Factors.Length; i++)
        {
            var pass = new AdamPass();
            pass.Add(own[0], gradients[i], own[1], own[2], Factors[i]);
            pass.Run();
            AdamW.Update(library[0], gradients[i], library[1], library[2], Factors[i]);
        }

        for (int i = 0; i < own.Length; i++)
        {
            double error = (own[i] - library[i]).abs().max().item<float>(), scale = library[i].abs().max().item<float>();
            Assert.True(error <= 1e-6 * scale, $"tensor {i}: {error} of {scale}");
        }
    }

    [Fact]
    public void ANumberIsTheSameWhereverItLies()
    {
        const int Count = 40001, From = 16381; // elsewhere in its vector and in its piece, and the last of the first part are computed one by one
        Tensor[] gradients = Gradients(Count);
        Tensor[] whole = Start(Count), halves = Start(Count);
        foreach ((Tensor gradient, AdamFactors factors) in gradients.Zip(Factors))
        {
            var pass = new AdamPass();
            pass.Add(whole[0], gradient, whole[1], whole[2], factors);
            pass.Run();
            foreach ((int from, int length) in new[] { (0, From), (From, Count - From) })
            {
                Tensor Part(Tensor x) => x.narrow(0, from, length);
                pass.Add(Part(halves[0]), Part(gradient), Part(halves[1]), Part(halves[2]), factors);
            }

            pass.Run();
        }

        for (int i = 0; i < whole.Length; i++) Assert.Equal(whole[i].data<float>().ToArray(), halves[i].data<float>().ToArray());
    }

    [Fact]
    public void WhatIsNotOneRowOfFloatsIsLeftToLibtorch()
    {
        Assert.True(AdamPass.Takes(zeros(3, 4), zeros(3, 4)));
        Assert.False(AdamPass.Takes(zeros(4, 3), zeros(3, 4).t()));
        Assert.False(AdamPass.Takes(zeros(3, 4, dtype: ScalarType.Float64), zeros(3, 4, dtype: ScalarType.Float64)));
        Assert.False(AdamPass.Takes(zeros(3, device: META), zeros(3, device: META)));
    }

    // Weights, first and second moment.
    private static Tensor[] Start(int count)
    {
        using var random = new Generator(1);
        return [randn(count, generator: random), randn(count, generator: random) * 0.1, randn(count, generator: random).abs()];
    }

    private static Tensor[] Gradients(int count)
    {
        using var random = new Generator(2);
        return [.. Factors.Select(_ => randn(count, generator: random))];
    }
}
