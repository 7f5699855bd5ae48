using DinoSharp.Features;
using DinoSharp.Features.Change;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Features.Change;

public sealed class ChangeDetectionTests
{
    // Patch (y, x) holds the texture with the number that `texture` gives.
    private static PatchMap World(int side, Func<int, int, int> texture)
    {
        const int dim = 16;
        float[] values = new float[side * side * dim];
        for (int i = 0; i < side * side; i++)
        {
            var random = new Random(texture(i / side, i % side) * 13);
            for (int d = 0; d < dim; d++) values[(i * dim) + d] = (float)(random.NextDouble() - 0.5);
        }

        return new PatchMap(side, side, dim, values, PatchGeometry.Whole(side * 8, side * 8));
    }

    private static bool Lake(int y, int x) => y is >= 2 and < 5 && x is >= 3 and < 7;

    private static readonly PatchMap Before = World(10, (_, _) => 1), After = World(10, (y, x) => Lake(y, x) ? 2 : 1);

    [Fact]
    public void OnlyWhatChangedIsDistant()
    {
        HeatMap distance = ChangeDetection.Distance(Before, After);
        for (int y = 0; y < 10; y++)
        {
            for (int x = 0; x < 10; x++) Assert.Equal(Lake(y, x), distance[y, x] > 0.01f);
        }
    }

    [Fact]
    public void AToleranceBeyondThePictureIsThatOfThePicture() =>
        Assert.Equal(ChangeDetection.Distance(Before, After, 9).Values.ToArray(), ChangeDetection.Distance(Before, After, int.MaxValue).Values.ToArray());

    [Fact]
    public void AShiftWithinTheToleranceIsNoChange()
    {
        PatchMap a = World(10, (y, x) => (y * 50) + x), b = World(10, (y, x) => (y * 50) + x + 1);
        HeatMap strict = ChangeDetection.Distance(a, b), tolerant = ChangeDetection.Distance(a, b, tolerance: 1);
        Assert.True(strict[5, 5] > 0.1f);
        Assert.Equal(0, tolerant[5, 5], 5);
    }

    [Fact]
    public void OrderDoesNotMatter()
    {
        PatchMap a = World(6, (y, x) => y + x), b = World(6, (y, x) => y * x);
        Assert.Equal(ChangeDetection.Distance(a, b, 1).Values.ToArray(), ChangeDetection.Distance(b, a, 1).Values.ToArray(), (x, y) => Math.Abs(x - y) < 1e-6);
    }

    [Fact]
    public void ALabelledPairGivesAThresholdThatSeparates()
    {
        HeatMap distance = ChangeDetection.Distance(Before, After);
        var truth = new LabelMap(10, 10, [.. Enumerable.Range(0, 100).Select(i => Lake(i / 10, i % 10) ? (byte)255 : (byte)0)]);
        ChangeThreshold found = ChangeThreshold.Calibrate([(distance, truth)]);
        Assert.Equal((1.0, 1.0), (found.F1, found.Iou));
        Assert.Equal(truth.Values.ToArray().Select(v => v != 0), ChangeThreshold.Mask(distance, found.Threshold, 10, 10).Values.ToArray().Select(v => v != 0));
        Assert.Contains("no change", Assert.Throws<DinoSharpException>(() => ChangeThreshold.Calibrate([(distance, new LabelMap(10, 10, new byte[100]))])).Message);
    }

    [Fact]
    public void WithoutLabelsChangeStandsOut()
    {
        var random = new Random(0);
        float[] noisy = [.. Enumerable.Range(0, 400).Select(i => (float)((i is >= 100 and < 120 ? 0.6 : 0.1) + (0.02 * random.NextDouble())))];
        float threshold = ChangeDetection.OutlierThreshold(new HeatMap(20, 20, noisy, PatchGeometry.Whole(20, 20)));
        Assert.InRange(threshold, 0.12f, 0.6f);
    }

    [Fact]
    public void PicturesOfDifferentSizeAreRefused() =>
        Assert.Contains("10x10", Assert.Throws<DinoSharpException>(() => ChangeDetection.Distance(Before, World(9, (_, _) => 0))).Message);

    [Fact]
    public void NothingLeaks() => LiveTensors.AssertUnchangedBy(() => ChangeDetection.Distance(Before, After, 2));

    [Fact]
    public void RoundingIsNoChange()
    {
        var random = new Random(0);
        float[] rounding = [.. Enumerable.Range(0, 400).Select(i => i % 3 == 0 ? (float)random.NextDouble() * 1e-6f : 0)];
        var distance = new HeatMap(20, 20, rounding, PatchGeometry.Whole(20, 20));
        Assert.DoesNotContain((byte)1, ChangeThreshold.Mask(distance, ChangeDetection.OutlierThreshold(distance), 20, 20).Values.ToArray());
    }
}
