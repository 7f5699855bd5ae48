using CsCheck;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Views;
using Xunit;

namespace DinoSharp.Tests.Training.Views;

public sealed class BlockMaskingTests
{
    [Fact]
    public void AMaskHidesExactlyTheWantedNumber() => Gen.Select(Gen.Int[1, 24], Gen.Double[0, 1], Gen.ULong).Sample(
        (grid, share, seed) =>
        {
            var options = new MaskOptions();
            BlockMasking masking = BlockMasking.ForCrop(grid * 16, 16, options);
            int count = (int)(share * masking.Patches);
            bool[] mask = masking.Generate(count, new SeededMaskDraws(new TorchRandom(seed)));
            Assert.Equal(count, mask.Count(hidden => hidden));
        },
        iter: 300);

    [Theory] // reference: data.md §4, "Derived masked patches per rank"
    [InlineData(16, 256, 16, 1274)]
    [InlineData(64, 224, 64, 3771)]
    [InlineData(8, 512, 8, 2659)]
    [InlineData(8, 768, 8, 5987)]
    public void TotalsAreThoseOfTheOriginal(int images, int size, int maskedCrops, int hiddenPatches)
    {
        BatchMasks masks = Draw(2 * images, size, new MaskOptions(), seed: 5);
        Assert.Equal(2 * images, masks.Rows.Count);
        Assert.Equal(maskedCrops, masks.Rows.Count(row => row.Contains(true)));
        Assert.Equal(hiddenPatches, masks.Rows.Sum(row => row.Count(hidden => hidden)));
        Assert.Equal(hiddenPatches, masks.UpperBound);
    }

    [Theory]
    [InlineData(224, 98)]
    [InlineData(256, 128)]
    [InlineData(512, 512)]
    [InlineData(768, 1152)]
    public void BlocksAreAtMostHalfTheCrop(int size, int largest)
    {
        // Half of a full mask at most can come from one block: with the largest block as the goal the first uniform draw ends there.
        var draws = new Recorder();
        BlockMasking masking = BlockMasking.ForCrop(size, 16, new MaskOptions());
        masking.Generate(masking.Patches, draws);
        Assert.Equal(largest, draws.FirstUpperEnd);
    }

    [Fact]
    public void MasksAreMadeOfBlocksNotOfDust()
    {
        // Hidden neighbours to the right of hidden patches: random dust at 40 % would have about 40 %.
        BatchMasks masks = Draw(64, 224, new MaskOptions { CropProbability = 1, MinRatio = 0.4, MaxRatio = 0.41 }, seed: 1);
        int hidden = 0, pairs = 0;
        foreach (bool[] row in masks.Rows)
        {
            for (int i = 0; i < row.Length; i++)
            {
                if (i % 14 == 13 || !row[i]) continue;
                hidden++;
                if (row[i + 1]) pairs++;
            }
        }

        Assert.True(pairs > 0.75 * hidden, $"{pairs} of {hidden}");
    }

    [Fact]
    public void ShiftingKeepsTheNumberAndMovesAroundTheEdges()
    {
        var options = new MaskOptions { RandomCircularShift = true, CropProbability = 1 };
        Assert.Equal(Draw(8, 96, new MaskOptions { CropProbability = 1 }, 3).UpperBound, Draw(8, 96, options, 3).Rows.Sum(row => row.Count(hidden => hidden)));
        bool[] mask = new bool[12];
        mask[11] = true; // last row, last column of 3 × 4
        bool[] moved = new BlockMasking(3, 4, 6, options).Shift(mask, new Recorder { IntegerAnswer = 1 });
        Assert.Equal(0, Array.IndexOf(moved, true));
    }

    [Fact]
    public void TheSameSeedGivesTheSameMasks()
    {
        bool[][] a = [.. Draw(12, 224, new MaskOptions(), 7).Rows], b = [.. Draw(12, 224, new MaskOptions(), 7).Rows], c = [.. Draw(12, 224, new MaskOptions(), 8).Rows];
        Assert.Equal(a, b);
        Assert.NotEqual(a, c);
    }

    [Fact]
    public void ImpossibleOptionsAreNamed()
    {
        Assert.Contains("MinRatio", Assert.Throws<DinoSharpException>(() => new MaskOptions { MinRatio = 0.6 }.Validate()).Message);
        Assert.Contains("CropProbability", Assert.Throws<DinoSharpException>(() => new MaskOptions { CropProbability = double.NaN }.Validate()).Message);
        new MaskOptions().Validate();
    }

    private static BatchMasks Draw(int crops, int size, MaskOptions options, ulong seed) =>
        BatchMasks.Draw(crops, BlockMasking.ForCrop(size, 16, options), options, new SeededMaskDraws(new TorchRandom(seed)));

    private sealed class Recorder : MaskDraws
    {
        public double FirstUpperEnd { get; private set; } = double.NaN;

        public int? IntegerAnswer { get; init; }

        public override double Uniform(double a, double b)
        {
            if (double.IsNaN(FirstUpperEnd)) FirstUpperEnd = b;
            return (a + b) / 2;
        }

        public override int Integer(int low, int high) => IntegerAnswer ?? low;

        public override IReadOnlyList<int> Choose(IReadOnlyList<int> candidates, int count) => [.. candidates.Take(count)];

        public override IReadOnlyList<int> Shuffle(int count) => [.. Enumerable.Range(0, count)];
    }
}
