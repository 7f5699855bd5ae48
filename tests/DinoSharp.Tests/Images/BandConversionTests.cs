using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Images;

public sealed class BandConversionTests
{
    [Fact]
    public void TheOneBandOfAColouredPictureIsItsLuminance()
    {
        byte[] colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 12, 200, 90];
        byte[] luminance = [76, 150, 29, 131]; // Pillow's convert("L")
        ImageBuffer bytes = BandConversion.Select(ImageBuffer.FromSamples<byte>(2, 2, 3, colours), 1, range: null, bands: null);
        Assert.Equal((1, SampleType.UInt8), (bytes.Channels, bytes.SampleType));
        Assert.Equal(luminance, bytes.Bytes.ToArray());

        ImageBuffer words = BandConversion.Select(ImageBuffer.FromSamples<ushort>(2, 2, 3, [.. colours.Select(c => (ushort)(c * 257))]), 1, range: null, bands: null);
        Assert.Equal(SampleType.Float32, words.SampleType);
        float[] found = words.Samples<float>().ToArray();
        for (int i = 0; i < 4; i++) Assert.Equal(luminance[i] / 255.0, found[i], 0.003);
    }

    [Fact]
    public void GrayBandsAndNamedBandsStayWhatTheyAre()
    {
        Assert.Equal([1, 2, 3, 4], BandConversion.Select(ImageBuffer.FromSamples<byte>(2, 2, 1, [1, 2, 3, 4]), 1, range: null, bands: null).Bytes.ToArray());
        Assert.Equal([2, 5], BandConversion.Select(ImageBuffer.FromSamples<byte>(2, 1, 3, [1, 2, 3, 4, 5, 6]), 1, range: null, bands: [1]).Bytes.ToArray());
        Assert.Equal([1, 6], BandConversion.Select(ImageBuffer.FromSamples<byte>(2, 1, 5, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), 1, range: null, bands: null).Bytes.ToArray());
    }
}
