using CsCheck;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Images;

public class ResizeTests
{
    private static readonly Gen<(int W, int H, int C, int ToW, int ToH, Interpolation How, int Seed)> Cases = Gen.Select(
        Gen.Int[1, 70], Gen.Int[1, 70], Gen.Int[1, 5], Gen.Int[1, 90], Gen.Int[1, 90], Gen.Bool.Select(cubic => cubic ? Interpolation.Bicubic : Interpolation.Bilinear), Gen.Int[0, 1000]);

    // libtorch 2.10's antialias kernels are wrong if the result is one pixel wide and the height changes, too: (23 × 1) differs from the transpose of (1 × 23).
    private static readonly Gen<(int W, int H, int C, int ToW, int ToH, Interpolation How, int Seed)> ComparableCases = Cases.Where(c => c.ToW > 1);

    [Fact]
    public void Tensor_arithmetic_equals_the_kernel_of_libtorch()
    {
        ComparableCases.Sample(c =>
        {
            byte[] pixels = Random(c.W * c.H * c.C, c.Seed);
            using var scope = NewDisposeScope();
            Tensor expected = TensorResize.Resize(tensor(pixels, [c.H, c.W, c.C]).permute(2, 0, 1), c.ToH, c.ToW, c.How); // [C, h, w]
            byte[] actual = Run(pixels, c.W, c.H, c.C, c.ToW, c.ToH, c.How, ResizeArithmetic.Tensor);
            Assert.Equal(expected.permute(1, 2, 0).contiguous().data<byte>().ToArray(), actual);
        }, iter: 300);
    }

    [Theory]
    [InlineData(1500, 1100, 224, 224)]
    [InlineData(3000, 7, 100, 100)]
    public void Large_pictures_equal_the_kernel_of_libtorch(int width, int height, int toWidth, int toHeight)
    {
        byte[] pixels = Random(width * height * 3, 3);
        using var scope = NewDisposeScope();
        Tensor planes = tensor(pixels, [height, width, 3]).permute(2, 0, 1);
        foreach (Interpolation how in new[] { Interpolation.Bilinear, Interpolation.Bicubic })
        {
            byte[] expected = TensorResize.Resize(planes, toHeight, toWidth, how).permute(1, 2, 0).contiguous().data<byte>().ToArray();
            Assert.Equal(expected, Run(pixels, width, height, 3, toWidth, toHeight, how, ResizeArithmetic.Tensor));
        }
    }

    [Fact]
    public void Pillow_arithmetic_equals_its_definition()
    {
        Cases.Sample(c =>
        {
            byte[] pixels = Random(c.W * c.H * c.C, c.Seed);
            byte[] expected = PlainPillow(pixels, c.W, c.H, c.C, c.ToW, c.ToH, c.How);
            Assert.Equal(expected, Run(pixels, c.W, c.H, c.C, c.ToW, c.ToH, c.How, ResizeArithmetic.Pillow));
        }, iter: 300);
    }

    [Fact]
    public void Float_resizing_equals_libtorch_to_rounding()
    {
        ComparableCases.Sample(c =>
        {
            byte[] pixels = Random(c.W * c.H * c.C, c.Seed);
            using var scope = NewDisposeScope();
            Tensor expected = TensorResize.Resize(tensor(pixels, [c.H, c.W, c.C]).permute(2, 0, 1).to(float32), c.ToH, c.ToW, c.How).permute(1, 2, 0).contiguous();
            float[] fromBytes = new float[c.ToW * c.ToH * c.C], fromFloats = new float[c.ToW * c.ToH * c.C];
            Resize.Float(pixels, c.W, c.H, c.C, new(0, 0, c.W, c.H), fromBytes, c.ToW, c.ToH, c.How);
            Resize.Float(Array.ConvertAll(pixels, p => (float)p).AsSpan(), c.W, c.H, c.C, new(0, 0, c.W, c.H), fromFloats, c.ToW, c.ToH, c.How);
            float[] reference = expected.data<float>().ToArray();
            for (int i = 0; i < reference.Length; i++)
            {
                Assert.Equal(reference[i], fromBytes[i], 255 * 4e-6f);
                Assert.Equal(reference[i], fromFloats[i], 255 * 4e-6f);
            }
        }, iter: 200);
    }

    [Fact]
    public void A_constant_picture_stays_constant()
    {
        Gen.Select(Cases, Gen.Byte).Sample((c, value) =>
        {
            byte[] pixels = new byte[c.W * c.H * c.C];
            pixels.AsSpan().Fill(value);
            foreach (ResizeArithmetic form in Enum.GetValues<ResizeArithmetic>())
                Assert.All(Run(pixels, c.W, c.H, c.C, c.ToW, c.ToH, c.How, form), v => Assert.InRange(Math.Abs(v - value), 0, form == ResizeArithmetic.Pillow ? 0 : 1));
            float[] result = new float[c.ToW * c.ToH * c.C];
            Resize.Float(pixels, c.W, c.H, c.C, new(0, 0, c.W, c.H), result, c.ToW, c.ToH, c.How);
            Assert.All(result, v => Assert.Equal(value, v, 2e-4f));
        }, iter: 100);
    }

    [Fact]
    public void The_same_size_changes_nothing()
    {
        Cases.Sample(c =>
        {
            byte[] pixels = Random(c.W * c.H * c.C, c.Seed);
            foreach (Interpolation how in Enum.GetValues<Interpolation>())
            {
                foreach (ResizeArithmetic form in Enum.GetValues<ResizeArithmetic>()) Assert.Equal(pixels, Run(pixels, c.W, c.H, c.C, c.W, c.H, how, form));
                float[] result = new float[pixels.Length];
                Resize.Float(pixels, c.W, c.H, c.C, new(0, 0, c.W, c.H), result, c.W, c.H, how);
                Assert.Equal(Array.ConvertAll(pixels, p => (float)p), result);
            }
        }, iter: 50);
    }

    [Fact]
    public void A_window_is_cut_out_before_it_is_resized()
    {
        Gen.Select(Cases, Gen.Int[0, 9], Gen.Int[0, 9]).Sample((c, left, top) =>
        {
            int width = c.W + 10, height = c.H + 10;
            ImageBuffer image = ImageBuffer.FromSamples<byte>(width, height, c.C, Random(width * height * c.C, c.Seed));
            ImageBuffer cut = image.Crop(left, top, c.W, c.H);
            foreach (Interpolation how in Enum.GetValues<Interpolation>())
            {
                byte[] whole = new byte[c.ToW * c.ToH * c.C];
                Resize.UInt8(image.Bytes, width, height, c.C, new(left, top, c.W, c.H), whole, c.ToW, c.ToH, how, ResizeArithmetic.Pillow);
                Assert.Equal(Run(cut.Bytes, c.W, c.H, c.C, c.ToW, c.ToH, how, ResizeArithmetic.Pillow), whole);
            }
        }, iter: 60);
    }

    [Fact]
    public void Beyond_the_picture_it_is_black()
    {
        Cases.Sample(c =>
        {
            byte[] pixels = Random(c.W * c.H * c.C, c.Seed), framed = new byte[(c.W + 5) * (c.H + 4) * c.C];
            for (int y = 0; y < c.H; y++) pixels.AsSpan(y * c.W * c.C, c.W * c.C).CopyTo(framed.AsSpan(((y + 1) * (c.W + 5) + 2) * c.C));
            byte[] result = new byte[c.ToW * c.ToH * c.C];
            Resize.UInt8(pixels, c.W, c.H, c.C, new(-2, -1, c.W + 5, c.H + 4), result, c.ToW, c.ToH, c.How, ResizeArithmetic.Pillow);
            Assert.Equal(Run(framed, c.W + 5, c.H + 4, c.C, c.ToW, c.ToH, c.How, ResizeArithmetic.Pillow), result);
        }, iter: 40);
    }

    [Fact]
    public void Nearest_equals_libtorch()
    {
        Cases.Sample(c =>
        {
            byte[] pixels = Random(c.W * c.H * c.C, c.Seed);
            using var scope = NewDisposeScope();
            Tensor planes = tensor(pixels, [c.H, c.W, c.C]).permute(2, 0, 1).contiguous(); // [C, H, W]
            Tensor expected = nn.functional.interpolate(planes.unsqueeze(0), [c.ToH, c.ToW], mode: InterpolationMode.Nearest)[0]; // [C, h, w]
            Assert.Equal(Flat(expected), Run(pixels, c.W, c.H, c.C, c.ToW, c.ToH, Interpolation.Nearest, ResizeArithmetic.Pillow));
            foreach (Interpolation how in new[] { Interpolation.Nearest, Interpolation.NearestExact })
                Assert.Equal(Flat(TensorResize.Resize(planes, c.ToH, c.ToW, how)), Run(pixels, c.W, c.H, c.C, c.ToW, c.ToH, how, ResizeArithmetic.Pillow));
        }, iter: 100);
    }

    [Fact]
    public void Impossible_sizes_are_refused()
    {
        byte[] pixels = new byte[12], target = new byte[12];
        Assert.Throws<ArgumentException>(() => Resize.UInt8(pixels, 2, 2, 3, new(1, 0, 0, 2), target, 2, 2, Interpolation.Bilinear, ResizeArithmetic.Pillow));
        Assert.Throws<ArgumentException>(() => Resize.UInt8(pixels, 2, 2, 3, new(0, 0, 2, 2), target, 3, 3, Interpolation.Bilinear, ResizeArithmetic.Pillow));
        Assert.Throws<ArgumentException>(() => Resize.UInt8(pixels, 2, 3, 3, new(0, 0, 2, 3), target, 1, 1, Interpolation.Bilinear, ResizeArithmetic.Pillow));
    }

    private static byte[] Flat(Tensor planes) => planes.permute(1, 2, 0).contiguous().data<byte>().ToArray(); // [h, w, C]

    private static byte[] Run(ReadOnlySpan<byte> pixels, int w, int h, int channels, int toW, int toH, Interpolation how, ResizeArithmetic form)
    {
        byte[] target = new byte[toW * toH * channels];
        Resize.UInt8(pixels, w, h, channels, new PixelWindow(0, 0, w, h), target, toW, toH, how, form);
        return target;
    }

    private static byte[] Random(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        // Hard edges and extremes, where clipping matters.
        for (int i = 0; i < count; i += 7) bytes[i] = (byte)(i % 2 * 255);
        return bytes;
    }

    /// <summary>The rules of the reference, one line after the other, without any speed.</summary>
    private static byte[] PlainPillow(byte[] pixels, int w, int h, int channels, int toW, int toH, Interpolation how)
    {
        return toH == h ? Axis(pixels, w, 1, toW, h) : Axis(Axis(pixels, w, 1, toW, h), h, toW, toH, toW);

        byte[] Axis(byte[] from, int n, int stride, int m, int lines)
        {
            if (n == m) return from;
            byte[] to = new byte[m * lines * channels];
            double s = (double)n / m, f = Math.Max(1, s), reach = how == Interpolation.Bicubic ? 2 * f : f;
            for (int o = 0; o < m; o++)
            {
                double c = (o + 0.5) * s;
                int first = Math.Max(0, (int)(c - reach + 0.5)), end = Math.Min(n, (int)(c + reach + 0.5));
                double[] weights = [.. Enumerable.Range(first, end - first).Select(i => Kernel((i - c + 0.5) * (1 / f)))];
                double total = weights.Sum();
                long[] q = [.. weights.Select(v => (long)(v / total * (1 << 22) + (v < 0 ? -0.5 : 0.5)))];
                for (int line = 0; line < lines; line++)
                {
                    for (int ch = 0; ch < channels; ch++)
                    {
                        long sum = 1 << 21;
                        for (int i = first; i < end; i++) sum += q[i - first] * from[At(i, line, n, ch)];
                        to[At(o, line, m, ch)] = (byte)Math.Clamp(sum >> 22, 0, 255);
                    }
                }
            }

            return to;

            int At(int along, int line, int length, int ch) => (stride == 1 ? line * length + along : along * lines + line) * channels + ch;
        }

        double Kernel(double x)
        {
            x = Math.Abs(x);
            if (how == Interpolation.Bilinear) return Math.Max(0, 1 - x);
            return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
        }
    }
}
