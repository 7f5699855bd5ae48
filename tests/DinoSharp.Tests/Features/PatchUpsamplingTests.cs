using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Features;

public class PatchUpsamplingTests
{
    [Fact]
    public void AConstantMapStaysConstantAtEverySize()
    {
        foreach ((int width, int height) in new[] { (1, 1), (7, 5), (100, 3), (64, 48) })
        {
            foreach (float value in Enlarge([.. Enumerable.Repeat(0.25f, 12)], 3, 4, PatchGeometry.Whole(64, 48), width, height)) Assert.Equal(0.25f, value, 1e-6f);
        }
    }

    [Fact]
    public void AStraightSlopeStaysStraightBetweenThePatchCentres()
    {
        // Six patches of 10 pixels: the centre of patch k is at 10·k + 5.
        float[] row = Enlarge([0, 1, 2, 3, 4, 5], 1, 6, PatchGeometry.Whole(60, 10), 60, 1);
        for (int x = 15; x < 45; x++) Assert.Equal((x + 0.5f - 5) / 10, row[x], 1e-5f);
    }

    [Fact]
    public void ThePixelAtAPatchCentreHasTheValueOfThePatch()
    {
        float[] values = [3, 1, 4, 1, 5, 9, 2, 6, 5];
        float[] pixels = Enlarge(values, 3, 3, PatchGeometry.Whole(15, 15), 15, 15);
        for (int i = 0; i < 9; i++) Assert.Equal(values[i], pixels[(((i / 3 * 5) + 2) * 15) + (i % 3 * 5) + 2], 1e-5f);
    }

    [Fact]
    public void TheGridLiesWhereItsGeometrySays()
    {
        // The two patches cover columns 4 to 8 of a picture of 8 columns.
        float[] pixels = Enlarge([10, 20], 1, 2, new PatchGeometry(8, 2, 4, 0, 4, 2), 8, 2);
        Assert.Equal(10, pixels[4], 1.5f);
        Assert.Equal(20, pixels[7], 1.5f);
        Assert.All(pixels[..4], value => Assert.Equal(10, value, 1.5f)); // beyond the grid: the nearest patch
    }

    [Fact]
    public void APatchIsFoundByAPixelOfThePicture()
    {
        PatchGeometry whole = PatchGeometry.Whole(640, 480);
        Assert.Equal((0, 0), whole.PatchAt(0, 0, 6, 8));
        Assert.Equal((5, 7), whole.PatchAt(639, 479, 6, 8));
        Assert.Equal((2, 4), whole.PatchAt(320, 239, 6, 8));
        Assert.Equal((360, 200), whole.CenterOf(2, 4, 6, 8));
        Assert.Contains("640x480", Assert.Throws<DinoSharpException>(() => whole.PatchAt(640, 0, 6, 8)).Message);
        Assert.Contains("cut off", Assert.Throws<DinoSharpException>(() => new PatchGeometry(640, 480, 200, 0, 240, 480).PatchAt(0, 0, 6, 3)).Message);
    }

    [Fact]
    public void TheBackgroundIsBlackAndTheSubjectKeepsItsColours()
    {
        float[] values = [.. Enumerable.Range(0, 8 * 8 * 4).Select(i => (float)Math.Sin(i * 1.7))];
        var map = new PatchMap(8, 8, 4, values, PatchGeometry.Whole(64, 64));
        bool[] mask = [.. Enumerable.Range(0, 64).Select(i => i % 8 < 4)];
        ImageBuffer plain = map.Pca().ToImage(), masked = new PcaMap(map.Pca().Map, new PatchMask(8, 8, mask)).ToImage();
        ReadOnlySpan<byte> a = plain.Samples<byte>(), b = masked.Samples<byte>();
        for (int y = 0; y < 64; y++)
        {
            for (int x = 0; x < 64; x++)
            {
                int i = ((y * 64) + x) * 3;
                if (x < 28) Assert.Equal(a.Slice(i, 3).ToArray(), b.Slice(i, 3).ToArray());
                if (x >= 36) Assert.Equal([0, 0, 0], b.Slice(i, 3).ToArray());
            }
        }
    }

    private static float[] Enlarge(float[] values, int height, int width, PatchGeometry geometry, int pixelsX, int pixelsY)
    {
        var map = new PatchMap(height, width, 1, values, geometry);
        float[] result = new float[pixelsX * pixelsY];
        for (int y = 0; y < pixelsY; y++) new PatchUpsampling(map, pixelsX, pixelsY).Row(y).CopyTo(result, y * pixelsX);
        return result;
    }
}
