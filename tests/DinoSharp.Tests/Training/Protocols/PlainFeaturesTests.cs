using DinoSharp.Training.Protocols;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

public class PlainFeaturesTests
{
    private const int Side = 128;

    [Theory]
    [InlineData(1, 0, 0)] // brighter to the right: gradient along 0°, shared by the bins around 0°
    [InlineData(0, 1, 4)] // brighter downwards: 90° is the middle of the fifth bin
    public void ARampFillsTheBinOfItsDirection(int dx, int dy, int bin)
    {
        float[] features = PlainFeatures.Gradients(Picture((x, y) => ((x * dx) + (y * dy)) / (float)Side));
        Assert.Equal(15 * 15 * 36, features.Length);
        Assert.Equal(1, features.Sum(f => (double)f * f), 4);
        double[] bins = [.. Enumerable.Range(0, 9).Select(b => features.Where((_, i) => i % 9 == b).Sum(f => (double)f))];
        if (bin == 4) Assert.True(bins[4] > 0.99 * bins.Sum());
        else Assert.Equal(0.5, bins[0] / bins.Sum(), 3); // on the border of the first and the last bin
    }

    [Fact]
    public void GradientsIgnoreBrightnessAndAFlatPictureHasNone()
    {
        float[] a = PlainFeatures.Gradients(Picture((x, y) => (x * y % 50) / 100f)), b = PlainFeatures.Gradients(Picture((x, y) => 0.3f + ((x * y % 50) / 100f)));
        Assert.All(a.Zip(b), pair => Assert.Equal(pair.First, pair.Second, 3));
        Assert.All(PlainFeatures.Gradients(Picture((_, _) => 0.5f)), f => Assert.Equal(0, f));
    }

    [Fact]
    public void ColorsAreCounted()
    {
        float[] colors = PlainFeatures.Colors([1, 0, 0, 0, /* green */ 0, 0, 0, 0, /* blue */ 0, 0, 0, 0.99f]); // red, black, black, blue
        Assert.Equal(MathF.Sqrt(0.25f), colors[7 * 64]);
        Assert.Equal(MathF.Sqrt(0.5f), colors[0]);
        Assert.Equal(MathF.Sqrt(0.25f), colors[7]);
        Assert.Equal(1, colors.Sum(c => c * c), 5);
    }

    private static float[] Picture(Func<int, int, float> value) =>
        [.. Enumerable.Range(0, 3 * Side * Side).Select(i => value(i % Side, i / Side % Side))];
}
