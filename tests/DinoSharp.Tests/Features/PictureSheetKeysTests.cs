using DinoSharp.Features;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Features;

/// <summary>Words and colours on pictures of results.</summary>
public sealed class PictureSheetKeysTests
{
    [Fact]
    public void KeysStandBelowThePanelsWithTheirColours()
    {
        ImageBuffer panel = Gray(200, 80, 30);
        PictureSheet.Key[] keys = [new("Sky", (10, 200, 30)), new("Building", (250, 5, 5)), new("a very long name that needs a line of its own", (1, 2, 250))];
        ImageBuffer without = PictureSheet.Compose([[new(panel)]]), with = PictureSheet.Compose([[new(panel)]], keys);
        Assert.True(with.Height > without.Height);
        Assert.True(with.Width > without.Width); // the long name fits
        foreach (PictureSheet.Key key in keys) Assert.True(Count(with, key.Color) > 100, key.Name);
        Assert.Equal(0, Count(without, keys[0].Color));
    }

    [Fact]
    public void BoxesAreDrawnInTheColourOfTheirClassAndNamed()
    {
        ImageBuffer picture = Gray(120, 90, 90);
        var found = new Detections([new Detection(new Box(20, 30, 60, 40), 0.9, 3, "cup"), new Detection(new Box(-10, -10, 5, 5), 0.8, 4, "outside"), new Detection(new Box(5, 5, 10, 10), 0.2, 7, "unsure")]);
        ImageBuffer drawn = found.Draw(picture, 0.5);
        (int, int, int) frame = Detections.ColorOf(3);
        Assert.Equal(frame, Pixel(drawn, 50, 30));
        Assert.Equal(frame, Pixel(drawn, 20, 60));
        Assert.Equal((90, 90, 90), Pixel(drawn, 50, 50));
        Assert.True(Count(drawn, (0, 0, 0)) > 10); // letters
        Assert.Equal(0, Count(drawn, Detections.ColorOf(4)) + Count(drawn, Detections.ColorOf(7)));
    }

    private static ImageBuffer Gray(int width, int height, byte value)
    {
        byte[] pixels = new byte[width * height * 3];
        Array.Fill(pixels, value);
        return ImageBuffer.FromSamples<byte>(width, height, 3, pixels);
    }

    private static (int Red, int Green, int Blue) Pixel(ImageBuffer picture, int x, int y)
    {
        ReadOnlySpan<byte> pixels = picture.Samples<byte>();
        int i = ((y * picture.Width) + x) * 3;
        return (pixels[i], pixels[i + 1], pixels[i + 2]);
    }

    private static int Count(ImageBuffer picture, (int Red, int Green, int Blue) color) =>
        Enumerable.Range(0, picture.Width * picture.Height).Count(i => Pixel(picture, i % picture.Width, i / picture.Width) == color);
}
