using CsCheck;
using DinoSharp.Images;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Images;

public class ColorTests
{
    [Fact]
    public void Hue_equals_its_definition_for_every_colour_tried()
    {
        Gen.Select(Gen.Byte, Gen.Byte, Gen.Byte, Gen.Float[-0.5f, 0.5f]).Sample((r, g, b, turn) =>
        {
            byte[] pixel = [r, g, b];
            PillowColor.Hue(pixel, turn);
            Assert.Equal(PlainHue(r, g, b, (byte)(int)(turn * 255.0)), pixel);
        }, iter: 20_000);
    }

    [Fact]
    public void Factors_of_one_and_turns_of_nothing_keep_the_pixels()
    {
        Gen.Byte.Array[3 * 40].Sample(pixels =>
        {
            byte[] changed = [.. pixels];
            PillowColor.Brightness(changed, 1);
            PillowColor.Contrast(changed, 3, 1);
            PillowColor.Saturation(changed, 1);
            PillowColor.Solarize(changed, 256);
            PillowColor.FlipHorizontal(changed, 8, 3);
            PillowColor.FlipHorizontal(changed, 8, 3);
            Assert.Equal(pixels, changed);
        });
    }

    [Fact]
    public void Gray_pictures_stay_gray()
    {
        Gen.Select(Gen.Byte.Array[30], Gen.Float[0, 2], Gen.Float[-0.5f, 0.5f]).Sample((gray, factor, turn) =>
        {
            byte[] rgb = [.. gray.SelectMany(v => new[] { v, v, v })];
            PillowColor.Contrast(rgb, 3, factor);
            PillowColor.Saturation(rgb, factor);
            PillowColor.Hue(rgb, turn);
            GaussianBlur.Apply(rgb, 6, 5, 3, 1.5f);
            for (int i = 0; i < rgb.Length; i += 3) Assert.True(rgb[i] == rgb[i + 1] && rgb[i] == rgb[i + 2]);
        });
    }

    [Fact]
    public void Colour_needs_colour()
    {
        Assert.Throws<ArgumentException>(() => PillowColor.Contrast(new byte[8], 4, 1.2f));
        Assert.Throws<ArgumentOutOfRangeException>(() => PillowColor.Hue(new byte[3], 0.6f));
        using Tensor fourBands = zeros(4, 5, 5);
        Assert.Throws<ArgumentException>(() => TensorColor.Saturation(fourBands, 1.2));
        Assert.Throws<ArgumentException>(() => TensorColor.Hue(fourBands, 0.1));
    }

    [Theory]
    [InlineData(9, 7, 3, 0.1f)]
    [InlineData(40, 33, 1, 0.7f)]
    [InlineData(40, 33, 5, 2)]
    public void Blur_equals_a_convolution_with_reflected_borders(int width, int height, int channels, float sigma)
    {
        float[] pixels = new float[width * height * channels];
        var random = new Random(5);
        for (int i = 0; i < pixels.Length; i++) pixels[i] = random.NextSingle();
        float[] kernel = GaussianBlur.Kernel(sigma);
        Assert.Equal(1, kernel.Sum(), 1e-6f);
        using var scope = NewDisposeScope();
        Tensor planes = tensor(pixels, [height, width, channels]).permute(2, 0, 1).unsqueeze(1); // [C, 1, H, W]
        Tensor square = outer(tensor(kernel), tensor(kernel)).view(1, 1, 9, 9); // [1, 1, 9, 9]
        Tensor padded = nn.functional.pad(planes, [4, 4, 4, 4], PaddingModes.Reflect); // [C, 1, H+8, W+8]
        float[] expected = nn.functional.conv2d(padded, square).squeeze(1).permute(1, 2, 0).contiguous().data<float>().ToArray(); // [H, W, C]
        GaussianBlur.Apply(pixels.AsSpan(), width, height, channels, sigma);
        for (int i = 0; i < pixels.Length; i++) Assert.Equal(expected[i], pixels[i], 1e-6f);
    }

    [Fact]
    public void Blur_takes_pictures_smaller_than_itself()
    {
        byte[] one = [7, 8, 9], row = [10, 20, 30];
        GaussianBlur.Apply(one, 1, 1, 3, 2);
        Assert.Equal([7, 8, 9], one);
        GaussianBlur.Apply(row, 3, 1, 1, 1);
        Assert.Equal(20, row[1]);
    }

    /// <summary>The rules of the reference, step by step, with their precisions.</summary>
    private static byte[] PlainHue(int r, int g, int b, byte shift)
    {
        int v = Math.Max(r, Math.Max(g, b)), min = Math.Min(r, Math.Min(g, b)), d = v - min;
        if (d == 0) return [(byte)v, (byte)v, (byte)v];
        float s = (float)d / v, rc = (float)(v - r) / d, gc = (float)(v - g) / d, bc = (float)(v - b) / d;
        float h = r == v ? bc - gc : g == v ? (float)(2.0 + rc - bc) : (float)(4.0 + gc - rc);
        h = (float)((h / 6.0 + 1.0) % 1.0);
        int hue = (byte)((int)(255.0 * h) + shift), saturation = (int)(255.0 * s);
        if (saturation == 0) return [(byte)v, (byte)v, (byte)v];
        int i = (int)Math.Floor(hue * 6.0 / 255.0);
        double f = hue * 6.0 / 255.0 - i, u = saturation / 255.0;
        byte p = Round(v * (1 - u)), q = Round(v * (1 - u * f)), t = Round(v * (1 - u * (1 - f))), top = (byte)v;
        return (i % 6) switch
        {
            0 => [top, t, p],
            1 => [q, top, p],
            2 => [p, top, t],
            3 => [p, q, top],
            4 => [t, p, top],
            _ => [top, p, q],
        };

        static byte Round(double x) => (byte)Math.Clamp(Math.Round(x, MidpointRounding.AwayFromZero), 0, 255);
    }
}
