using DinoSharp.Features;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Features;

public class PictureTests
{
    [Fact]
    public void ViridisRunsFromDarkBlueToYellowAndClips()
    {
        byte[] rgb = new byte[3];
        foreach ((double value, byte[] expected) in new (double, byte[])[] { (0, [68, 1, 84]), (1, [253, 231, 37]), (-3, [68, 1, 84]), (7, [253, 231, 37]), (double.NaN, [68, 1, 84]) })
        {
            ColorScale.Viridis(value, rgb);
            Assert.Equal(expected, rgb);
        }
    }

    [Fact]
    public void AHeatMapKnowsItsExtremes()
    {
        var heat = new HeatMap(2, 3, [0.1f, 0.5f, -0.2f, 0.9f, 0.9f, 0], PatchGeometry.Whole(48, 32));
        Assert.Equal((1, 0), heat.Largest);
        Assert.Equal((-0.2, 0.9), (Math.Round(heat.Range.Low, 6), Math.Round(heat.Range.High, 6)));
        Assert.Equal((48, 32), (heat.ToImage().Width, heat.ToImage().Height));
    }

    [Fact]
    public void SimilarityIsTheCosine()
    {
        var map = new PatchMap(1, 4, 2, [1, 0, 0, 2, -3, 0, 0, 0], PatchGeometry.Whole(64, 16));
        Assert.Equal([1, 0, -1, 0], map.SimilarityTo([5, 0]).Values.ToArray());
        Assert.Equal([0, 0, 0, 0], map.SimilarityTo([0, 0]).Values.ToArray());
        Assert.Throws<ArgumentException>(() => map.SimilarityTo([1, 2, 3]));
        LiveTensors.AssertUnchangedBy(() => map.SimilarityTo([1, 1]));
    }

    [Fact]
    public void ASheetHoldsItsPanelsUnchanged()
    {
        ImageBuffer red = Plain(20, 10, 255, 0, 0), blue = Plain(30, 15, 0, 0, 255);
        ImageBuffer sheet = PictureSheet.Compose([[new(red, "head 0"), new(blue)], [new(blue)]]);
        ReadOnlySpan<byte> pixels = sheet.Samples<byte>();
        int reds = 0, blues = 0;
        for (int i = 0; i < pixels.Length; i += 3)
        {
            if (pixels.Slice(i, 3).SequenceEqual<byte>([255, 0, 0])) reds++;
            if (pixels.Slice(i, 3).SequenceEqual<byte>([0, 0, 255])) blues++;
        }

        Assert.Equal((200, 900), (reds, blues));
        Assert.Equal((30 + 30 + (3 * 12), 15 + 15 + (3 * 12) + (2 * 27)), (sheet.Width, sheet.Height)); // gaps of 12, lines of text of 27
    }

    [Fact]
    public void ALegendHasTheColoursOfTheHeatMap()
    {
        ImageBuffer legend = PictureSheet.Legend(new ValueRange(-0.5, 0.25), 200);
        Assert.Equal((byte[])[253, 231, 37], At(legend, 3, 0), Near);
        Assert.Equal((byte[])[68, 1, 84], At(legend, 3, 199), Near);
        Assert.Equal(200, legend.Height);
    }

    [Fact]
    public void ARingIsDrawnAroundItsPoint()
    {
        var canvas = new Canvas(40, 40);
        canvas.Draw(Plain(40, 40, 90, 90, 90), 0, 0);
        canvas.Ring(20, 20, 10, 3);
        ImageBuffer picture = canvas.ToPicture();
        Assert.Equal([90, 90, 90], At(picture, 20, 20));
        Assert.Equal([255, 255, 255], At(picture, 30, 20));
        Assert.Equal([0, 0, 0], At(picture, 32, 20));
        Assert.Equal([90, 90, 90], At(picture, 36, 20));
        new Canvas(4, 4).Ring(0, 0, 50, 3); // partly outside: nothing breaks
    }

    private static bool Near(byte expected, byte actual) => Math.Abs(expected - actual) <= 3;

    private static byte[] At(ImageBuffer picture, int x, int y) => picture.Samples<byte>().Slice(((y * picture.Width) + x) * 3, 3).ToArray();

    private static ImageBuffer Plain(int width, int height, params byte[] rgb) =>
        ImageBuffer.FromSamples<byte>(width, height, 3, [.. Enumerable.Repeat(rgb, width * height).SelectMany(c => c)]);
}
