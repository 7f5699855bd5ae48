using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Features.HighResolution;

public sealed class GuidedUpsamplingTests
{
    private const int Side = 64, Patch = 16;

    // Left of the border black, right white; the border runs through the middle of a column of patches.
    private static ImageBuffer HalfAndHalf(int border) => ImageBuffer.FromSamples<byte>(
        Side, Side, 3, [.. Enumerable.Range(0, Side * Side * 3).Select(i => (byte)(i / 3 % Side < border ? 0 : 255))]);

    [Theory]
    [InlineData(24)]
    [InlineData(29)]
    [InlineData(32)]
    [InlineData(35)]
    public void BordersLieWhereThePictureHasThem(int border)
    {
        // What an ideal classifier says about patches: the share of each that lies right of the border.
        float[] shares = [.. Enumerable.Range(0, 16).Select(i => (float)Math.Clamp((((i % 4) + 1) * Patch - border) / (double)Patch, 0, 1))];
        var map = new PatchMap(4, 4, 1, shares, PatchGeometry.Whole(Side, Side));
        PatchMap pixels = map.UpsampleGuided(HalfAndHalf(border));
        Assert.Equal((Side, Side, 1), (pixels.Height, pixels.Width, pixels.Dim));
        for (int x = 0; x < Side; x++) Assert.Equal(x >= border, pixels[Side / 2, x][0] > 0.5);
    }

    [Fact]
    public void APictureWithoutColourLeavesAWeightedMeanOfNeighbours()
    {
        var map = new PatchMap(4, 4, 2, [.. Enumerable.Range(0, 32).Select(i => (float)(i % 2 == 0 ? 3 : i))], PatchGeometry.Whole(Side, Side));
        PatchMap pixels = map.UpsampleGuided(HalfAndHalf(0));
        for (int y = 0; y < Side; y++)
        {
            for (int x = 0; x < Side; x++)
            {
                Assert.Equal(3, pixels[y, x][0], 1e-5f); // what is constant stays so
                Assert.InRange(pixels[y, x][1], 1, 31);
            }
        }
    }

    [Fact]
    public void ThePictureMayHaveAnotherSizeAndTheGridMayCoverAPart()
    {
        var map = new PatchMap(1, 2, 1, [0, 1], new PatchGeometry(Side, Side, 32, 0, 32, Side)); // only the right half
        PatchMap pixels = map.UpsampleGuided(ImageBuffer.FromSamples<byte>(8, 4, 3, new byte[96]));
        Assert.Equal((4, 8), (pixels.Height, pixels.Width));
        Assert.True(pixels[0, 0][0] < 0.2 && pixels[0, 7][0] > 0.7);
        Assert.Throws<ArgumentOutOfRangeException>(() => map.UpsampleGuided(HalfAndHalf(5), new() { ColorSigma = 0 }));
    }

    [Fact]
    public void ClassesAreTheLargestNumbersOfEachPixel()
    {
        var random = new Random(0);
        var map = new PatchMap(4, 8, 5, [.. Enumerable.Range(0, 4 * 8 * 5).Select(_ => (float)random.NextDouble())], PatchGeometry.Whole(64, 32));
        ImageBuffer picture = ImageBuffer.FromSamples<byte>(64, 32, 3, [.. Enumerable.Range(0, 64 * 32 * 3).Select(_ => (byte)random.Next(256))]);
        PatchMap pixels = map.UpsampleGuided(picture);
        Assert.Equal(Enumerable.Range(0, 64 * 32).Select(i => PatchClasses.Largest(pixels[i / 64, i % 64])), map.ClassesGuided(picture).Values.ToArray());
    }
}
