using DinoSharp.Images;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Views;
using Xunit;

namespace DinoSharp.Tests.Training.Views;

public sealed class ViewRendererTests
{
    private static readonly Normalization Plain3 = Normalization.Of([0, 0, 0], [1, 1, 1]);

    [Fact]
    public void GrayPicturesStayGray()
    {
        byte[] gray = [.. Enumerable.Range(0, 60 * 50).Select(i => (byte)(i * 7))];
        float[] view = Global(ImageBuffer.FromSamples<byte>(60, 50, 1, gray), new ViewOptions { GlobalSizePixels = 32, LocalCrops = 0, Normalization = Plain3 }, seed: 4);
        Assert.Equal(view[..1024], view[1024..2048]);
        Assert.Equal(view[..1024], view[2048..]);
        Assert.True(view.Distinct().Count() > 50);
    }

    [Fact]
    public void SixteenBitsKeepTheirRangeAndMoreThanEightBits()
    {
        ushort[] samples = [.. Enumerable.Range(0, 64 * 64).Select(i => (ushort)(20000 + i % 64))]; // all in one 8-bit level
        var options = new ViewOptions { GlobalSizePixels = 32, LocalCrops = 0, GlobalScale = (1, 1), Normalization = Normalization.Of([0], [1]) };
        float[] view = Global(ImageBuffer.FromSamples<ushort>(64, 64, 1, samples), options, seed: 1);
        Assert.True(view.Distinct().Count() > 20);
        float[] stretched = Global(ImageBuffer.FromSamples<ushort>(64, 64, 1, samples), options with { ValueRange = new ValueRange(20000, 20063) }, seed: 1);
        Assert.True(stretched.Max() - stretched.Min() > 0.5f);
        Assert.All(stretched, v => Assert.InRange(v, 0, 1));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(13)]
    public void AnyNumberOfBandsIsDistortedBandByBand(int bands)
    {
        byte[] samples = [.. Enumerable.Range(0, 70 * 60 * bands).Select(i => (byte)(i % bands * 15 + i / bands % 50))];
        var options = new ViewOptions { GlobalSizePixels = 32, LocalCrops = 0, Normalization = Normalization.Of([.. Enumerable.Repeat(0f, bands)], [.. Enumerable.Repeat(1f, bands)]) };
        float[] view = Global(ImageBuffer.FromSamples<byte>(70, 60, bands, samples), options, seed: 2);
        Assert.Equal(bands * 32 * 32, view.Length);
        double[] means = [.. Enumerable.Range(0, bands).Select(c => view.AsSpan(c * 1024, 1024).ToArray().Average(v => (double)v))];
        Assert.Equal(means.Order(), means); // bands are neither mixed nor exchanged
    }

    [Fact]
    public void NotANumberDoesNotSpread()
    {
        float[] samples = [.. Enumerable.Range(0, 40 * 40).Select(i => i % 97 == 0 ? float.NaN : i % 10 / 10f)];
        var options = new ViewOptions { GlobalSizePixels = 32, LocalCrops = 0, Normalization = Normalization.Of([0.5f], [0.25f]) };
        Assert.All(Global(ImageBuffer.FromSamples<float>(40, 40, 1, samples), options, seed: 3), v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void TooFewBandsAreNamed()
    {
        ImageBuffer image = ImageBuffer.FromSamples<byte>(20, 20, 3, new byte[1200], "three.png");
        var options = new ViewOptions { Normalization = Normalization.Of([0, 0, 0, 0], [1, 1, 1, 1]) };
        Assert.Contains("three.png", Assert.Throws<ImageException>(() => new ViewRenderer(options).Open(image)).Message);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(3000, 1)]
    [InlineData(2, 1500)]
    public void OddSizesGiveViews(int width, int height)
    {
        byte[] samples = [.. Enumerable.Range(0, width * height * 3).Select(i => (byte)(i * 31))];
        Assert.All(Global(ImageBuffer.FromSamples<byte>(width, height, 3, samples), new ViewOptions { GlobalSizePixels = 32, LocalSizePixels = 16, LocalCrops = 2 }, seed: 5), v => Assert.True(float.IsFinite(v)));
    }

    [Fact]
    public void TheGramCropShowsTheRegionOfItsGlobalCrop()
    {
        // Without distortions both are the same pixels at two sizes: averaged down they agree.
        byte[] samples = [.. Enumerable.Range(0, 128 * 128).SelectMany(i => (byte[])[(byte)(i % 128 * 2), (byte)(i / 128 * 2), 90])];
        var options = new ViewOptions
        {
            GlobalSizePixels = 32,
            GramSizePixels = 64,
            GramWithoutDistortions = true,
            LocalCrops = 0,
            Normalization = Plain3,
            Distortions = new DistortionOptions { JitterProbability = 0, GrayscaleProbability = 0, SecondGlobalBlurProbability = 0, SolarizeProbability = 0 },
        };
        (float[] global, float[] gram) = GlobalAndGram(ImageBuffer.FromSamples<byte>(128, 128, 3, samples), options, seed: 9);
        for (int y = 0; y < 32; y++)
        {
            for (int x = 0; x < 32; x++)
            {
                for (int c = 0; c < 2; c++)
                {
                    float mean = (gram[c * 4096 + 2 * y * 64 + 2 * x] + gram[c * 4096 + 2 * y * 64 + 2 * x + 1] + gram[c * 4096 + (2 * y + 1) * 64 + 2 * x] + gram[c * 4096 + (2 * y + 1) * 64 + 2 * x + 1]) / 4;
                    Assert.Equal(global[c * 1024 + y * 32 + x], mean, 0.02f);
                }
            }
        }
    }

    private static float[] Global(ImageBuffer image, ViewOptions options, ulong seed) => GlobalAndGram(image, options, seed).Global;

    private static (float[] Global, float[] Gram) GlobalAndGram(ImageBuffer image, ViewOptions options, ulong seed)
    {
        options.Validate();
        int bands = options.Normalization.Channels;
        float[][] crops = [new float[bands * options.GlobalSizePixels * options.GlobalSizePixels], new float[bands * (options.GramSizePixels ?? 0) * (options.GramSizePixels ?? 0)]];
        var renderer = new ViewRenderer(options);
        using Raster raster = renderer.Open(image);
        float[] rest = new float[crops.Max(c => c.Length)];
        renderer.Render(raster, ViewPlan.Draw(image.Height, image.Width, options, new TorchRandom(seed)), (kind, index) => index > 0 || kind == ViewKind.Local ? rest : kind == ViewKind.Global ? crops[0] : crops[1]);
        return (crops[0], crops[1]);
    }
}
