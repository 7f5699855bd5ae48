using CsCheck;
using DinoSharp.Training.Data.Sampling;
using Xunit;

namespace DinoSharp.Tests.Training.Data;

public sealed class SampleOrderTests
{
    private static readonly Gen<(SamplerKind Kind, bool Shuffle, int Count, int World, ulong Seed)> Settings = Gen.Select(
        Gen.Enum<SamplerKind>(), Gen.Bool, Gen.Int[4, 60], Gen.Int[1, 4], Gen.ULong[0, 1UL << 33]);

    [Fact]
    public void AdvancingEqualsHavingWalkedThere() => Settings.Sample(
        s =>
        {
            for (int rank = 0; rank < s.World; rank++)
            {
                int[] whole = [.. SampleOrder.Endless(s.Kind, s.Count, s.Shuffle, s.Seed, rank, s.World).Take(200)];
                foreach (int advance in (int[])[0, 1, 17, 120])
                    Assert.Equal(whole[advance..], SampleOrder.Endless(s.Kind, s.Count, s.Shuffle, s.Seed, rank, s.World, advance).Take(200 - advance));
            }
        },
        iter: 50);

    [Fact]
    public void APassOverAllRanksVisitsEverySampleOnce() => Settings.Sample(
        s =>
        {
            int count = s.Count / s.World * s.World; // slices drop a rest that does not divide; so do not have one
            int share = count / s.World;
            for (int pass = 0; pass < 3; pass++)
            {
                int[] seen = [.. Enumerable.Range(0, s.World)
                    .SelectMany(rank => SampleOrder.Endless(s.Kind, count, s.Shuffle, s.Seed, rank, s.World, (long)pass * share).Take(share)).Order()];
                Assert.Equal(Enumerable.Range(0, count), seen);
            }
        },
        iter: 50);

    [Fact]
    public void PassesAndSeedsDiffer()
    {
        foreach (SamplerKind kind in Enum.GetValues<SamplerKind>())
        {
            int[] first = [.. SampleOrder.Endless(kind, 50, true, 1).Take(100)];
            Assert.NotEqual(first[..50], first[50..]);
            Assert.NotEqual(first[..50], SampleOrder.Endless(kind, 50, true, 2).Take(50));
        }
    }

    [Fact]
    public void MoreProcessesThanSamplesIsAnError()
    {
        DinoSharpException error = Assert.Throws<DinoSharpException>(() => SampleOrder.Endless(SamplerKind.Infinite, 3, true, 0, 3, 4));
        Assert.Contains("3 samples", error.Message);
    }

    [Fact]
    public void NumpyDrawsAreThoseOfItsDocumentation()
    {
        var rng = new NumpyRandom(42);
        Assert.Equal([0.77395605, 0.43887844, 0.85859792], Enumerable.Range(0, 3).Select(_ => Math.Round(rng.NextDouble(), 8)));
        rng = new NumpyRandom(12345);
        Assert.Equal([0.22733602, 0.31675834, 0.79736546], Enumerable.Range(0, 3).Select(_ => Math.Round(rng.NextDouble(), 8)));
    }

    [Theory]
    [InlineData(100, 100)]
    [InlineData(12000, 11000)] // the method for many out of many
    [InlineData(20000, 150)]
    public void ChoosingWithoutReplacementGivesDifferentValues(int population, int size)
    {
        int[] chosen = new NumpyRandom(9).ChoiceWithoutReplacement(population, size);
        Assert.Equal(size, chosen.Distinct().Count());
        Assert.All(chosen, v => Assert.InRange(v, 0, population - 1));
        Assert.NotEqual(chosen.Order(), chosen);
    }
}
