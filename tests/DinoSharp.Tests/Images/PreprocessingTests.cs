using CsCheck;
using DinoSharp.Images;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Images;

public class PreprocessingTests
{
    [Theory]
    [InlineData(ResizeOrder.ScaleThenResize, 2e-5f)]
    [InlineData(ResizeOrder.ResizeThenScale, 0)]
    public void Equals_the_same_steps_on_tensors(ResizeOrder order, float tolerance)
    {
        ImageBuffer image = Noise(203, 150, 3);
        using var scope = NewDisposeScope();
        var how = new Preprocessing { Order = order, Interpolation = Interpolation.Bicubic, Size = SizePolicy.Exact(96, 64), Normalization = Normalization.Sat };
        Tensor planes = tensor(image.Bytes.ToArray(), [150, 203, 3]).permute(2, 0, 1).contiguous(); // [3, 150, 203]
        Tensor scaled = order == ResizeOrder.ScaleThenResize
            ? TensorResize.Resize(planes.to(float32) * (1f / 255), 64, 96, Interpolation.Bicubic) // [3, 64, 96]
            : TensorResize.Resize(planes, 64, 96, Interpolation.Bicubic).to(float32) * (1f / 255); // [3, 64, 96]
        Tensor expected = (scaled - tensor(Normalization.Sat.Mean.ToArray()).view(3, 1, 1)) / tensor(Normalization.Sat.Std.ToArray()).view(3, 1, 1); // [3, 64, 96]
        using ImageTensor actual = how.Apply(image);
        Assert.Equal([3, 64, 96], actual.Tensor.shape);
        Assert.InRange((actual.Tensor - expected).abs().max().item<float>(), 0, tolerance);
        Assert.Equal(Normalization.Sat, actual.Normalization);
    }

    [Theory]
    [InlineData(640, 480, 304, 224)] // 298.7 → 304, nearer than 288
    [InlineData(480, 640, 224, 304)]
    [InlineData(100, 1000, 224, 2240)]
    [InlineData(224, 224, 224, 224)]
    public void Keep_aspect_rounds_the_longer_side_to_whole_patches(int width, int height, int expectedWidth, int expectedHeight)
    {
        using ImageTensor tensor = new Preprocessing { Size = SizePolicy.KeepAspect(224) }.Apply(Noise(width, height, 3));
        Assert.Equal((expectedWidth, expectedHeight), (tensor.Geometry.Width, tensor.Geometry.Height));
        Assert.Equal([3, expectedHeight, expectedWidth], tensor.Tensor.shape);
    }

    [Fact]
    public void Fixed_height_is_the_rule_of_the_notebooks()
    {
        var how = Preprocessing.Notebook with { Size = SizePolicy.FixedHeight(48) };
        using ImageTensor wide = how.Apply(Noise(110, 50, 3)), tall = how.Apply(Noise(50, 110, 3));
        Assert.Equal((96, 48), (wide.Geometry.Width, wide.Geometry.Height)); // ⌊110·48/(50·16)⌋ = 6 patches
        Assert.Equal((16, 48), (tall.Geometry.Width, tall.Geometry.Height));
        Assert.Contains("square", Assert.Throws<ImageException>(() => how.Apply(Noise(2, 300, 3))).Message);
    }

    [Fact]
    public void Native_size_drops_the_rim_and_nothing_else()
    {
        ImageBuffer image = Noise(70, 50, 3);
        using ImageTensor tensor = new Preprocessing { Size = SizePolicy.Native }.Apply(image);
        Assert.Equal([3, 48, 64], tensor.Tensor.shape);
        Assert.Equal(new ImageGeometry(70, 50, 64, 48, 1, 1, 0, 0), tensor.Geometry);
        Assert.Equal((image.Bytes[(47 * 70 + 63) * 3 + 1] / 255f - 0.456f) / 0.224f, tensor.Tensor[1, 47, 63].item<float>(), 1e-6f);
        Assert.Contains("smaller than one patch", Assert.Throws<ImageException>(() => new Preprocessing { Size = SizePolicy.Native }.Apply(Noise(13, 9, 3))).Message);
        using ImageTensor whole = new Preprocessing { Size = SizePolicy.Native, PatchSizePixels = 1 }.Apply(image);
        Assert.Equal([3, 50, 70], whole.Tensor.shape);
    }

    [Fact]
    public void An_illegal_size_names_the_nearest_legal_ones()
    {
        ImageBuffer image = Noise(100, 80, 3);
        Assert.Contains("224 or 240", Message(new() { Size = SizePolicy.Square(225) }));
        Assert.Contains("16", Message(new() { Size = SizePolicy.Square(7) }));
        Assert.Contains("the centre crop is 100×100", Message(new() { Size = SizePolicy.ShorterSide(120), CenterCropPixels = 100 }));
        Assert.Contains("patch size 14", Message(new() { PatchSizePixels = 14, Size = SizePolicy.Square(225) }));
        Assert.Contains("more than", Assert.Throws<ImageException>(() => new Preprocessing { Size = SizePolicy.KeepAspect(224) }.Apply(Noise(60_000, 1, 1))).Message);
        Assert.Throws<DinoSharpException>(() => SizePolicy.Square(0));
        string Message(Preprocessing how) => Assert.Throws<ImageException>(() => how.Apply(image)).Message;
    }

    [Fact]
    public void A_crop_larger_than_the_picture_pads_with_black()
    {
        using ImageTensor tensor = new Preprocessing { Size = SizePolicy.Native, CenterCropPixels = 32, PatchSizePixels = 1 }.Apply(Noise(21, 10, 3));
        Assert.Equal([3, 32, 32], tensor.Tensor.shape);
        float black = (0 - 0.485f) / 0.229f;
        Assert.Equal(black, tensor.Tensor[0, 0, 0].item<float>());
        Assert.Equal(black, tensor.Tensor[0, 31, 31].item<float>());
        Assert.NotEqual(black, tensor.Tensor[0, 11, 5].item<float>()); // 11 rows above, 5 columns to the left
        Assert.Equal((-5, -11), (tensor.Geometry.OffsetX, tensor.Geometry.OffsetY));
    }

    [Fact]
    public void Geometry_maps_there_and_back()
    {
        Gen.Select(Gen.Int[20, 300], Gen.Int[20, 300], Gen.Int[1, 3], Gen.Bool).Sample((width, height, patches, crop) =>
        {
            var how = new Preprocessing { Size = crop ? SizePolicy.ShorterSide(60) : SizePolicy.KeepAspect(16 * patches), CenterCropPixels = crop ? 48 : null };
            (int w, int h, PixelWindow cut) = how.Plan(width, height, "x");
            using ImageTensor tensor = how.Apply(Noise(width, height, 3));
            ImageGeometry g = tensor.Geometry;
            (double x, double y) = g.ToOriginal(7.5, 3.25);
            (double backX, double backY) = g.ToInput(x, y);
            Assert.Equal(7.5, backX, 1e-9);
            Assert.Equal(3.25, backY, 1e-9);
            Assert.Equal((7.5 + cut.Left) * width / w, x, 1e-9);
            Assert.Equal((3.25 + cut.Top) * height / h, y, 1e-9);
        }, iter: 30);
    }

    [Fact]
    public void Models_of_other_channel_counts_take_bands()
    {
        var five = new Normalization("five bands", [0.1f, 0.2f, 0.3f, 0.4f, 0.5f], [1, 1, 1, 1, 2]);
        var how = new Preprocessing { Normalization = five, Size = SizePolicy.Native };
        ushort[] samples = [.. Enumerable.Range(0, 32 * 16 * 6).Select(i => (ushort)(i * 13))];
        ImageBuffer image = ImageBuffer.FromSamples<ushort>(32, 16, 6, samples);
        using ImageTensor plain = how.Apply(image), chosen = how.Apply(image, new() { Bands = [5, 4, 3, 2, 1], Range = new(1000, 3000) });
        Assert.Equal([5, 16, 32], plain.Tensor.shape);
        Assert.Equal((samples[6 * 40 + 4] / 65535f - 0.5f) / 2, plain.Tensor[4, 1, 8].item<float>(), 1e-6f);
        Assert.Equal((samples[6 * 40 + 5] - 1000) / 2000f - 0.1f, chosen.Tensor[0, 1, 8].item<float>(), 1e-5f);
        Assert.Contains("takes 5 bands, the picture has 3", Assert.Throws<ImageException>(() => how.Apply(Noise(32, 16, 3))).Message);
        Assert.Throws<ImageException>(() => how.Apply(image, new() { Bands = [0, 1, 2, 3, 6] }));
    }

    [Fact]
    public void Not_a_number_becomes_black_before_it_can_spread()
    {
        float[] samples = [.. Enumerable.Range(0, 64 * 64).Select(i => i % 64 / 63f)];
        samples[64 * 32 + 32] = float.NaN;
        samples[5] = float.PositiveInfinity;
        ImageBuffer image = ImageBuffer.FromSamples<float>(64, 64, 1, samples);
        Assert.Equal(2, image.CountNonFinite());
        using ImageTensor rgb = new Preprocessing { Size = SizePolicy.Square(32) }.Apply(image);
        using ImageTensor gray = new Preprocessing { Size = SizePolicy.Square(32), Normalization = new("gray", [0.5f], [0.5f]) }.Apply(image);
        Assert.True(rgb.Tensor.isfinite().all().item<bool>());
        Assert.True(gray.Tensor.isfinite().all().item<bool>());
        Assert.Equal([3, 32, 32], rgb.Tensor.shape);
    }

    [Fact]
    public void Loading_a_file_equals_reading_it_and_preparing_it()
    {
        string folder = Repository.Shared("data/odd");
        // Large and small in turn, so that reused memory holds other pictures.
        foreach (string file in new[] { "jpeg_baseline.jpg", "png_13x9.png", "exif_orientation_6.jpg", "tiff_gray16.tif", "jpeg_cmyk_adobe.jpg", "gif_static.gif", "bmp_rgb.bmp", "dicom/CT_small.dcm", "webp_lossless_alpha.webp", "geotiff_5band_uint16.tif" })
        {
            string path = Path.Combine(folder, file);
            using ImageTensor expected = Preprocessing.HuggingFace.Apply(ImageFile.Read(path)), actual = Preprocessing.HuggingFace.Load(path);
            Assert.True(expected.Tensor.equal(actual.Tensor).all().item<bool>(), file);
            Assert.Equal(expected.Geometry, actual.Geometry);
        }
    }

    [Fact]
    public void Known_normalisations_are_told_apart()
    {
        Assert.Same(Normalization.Chmv2, Normalization.Of([0.420f, 0.411f, 0.296f], [0.213f, 0.156f, 0.143f]));
        Assert.NotEqual(Normalization.Chmv2, Normalization.Sat);
        Assert.Equal(new Preprocessing { Size = SizePolicy.Square(224) }, Preprocessing.HuggingFace);
        Assert.NotEqual(new Preprocessing { Size = SizePolicy.Square(240) }, Preprocessing.HuggingFace);
        Assert.Throws<ArgumentException>(() => new Normalization("bad", [0.5f], [0]));
        using Tensor two = zeros(2, 16, 16);
        Assert.Throws<ArgumentException>(() => ImageTensor.FromNormalized(two, Normalization.Lvd));
    }

    [Theory]
    [InlineData("""{"image_processor_type":"DINOv3ViTImageProcessorFast","do_resize":true,"size":{"height":224,"width":224},"resample":2,"do_rescale":true,"rescale_factor":0.00392156862745098,"do_normalize":true,"image_mean":[0.43,0.411,0.296],"image_std":[0.213,0.156,0.143],"do_center_crop":null}""")]
    public void Hugging_face_configuration_is_read(string json)
    {
        string folder = Directory.CreateTempSubdirectory().FullName, file = Path.Combine(folder, "preprocessor_config.json");
        File.WriteAllText(file, json);
        Assert.Equal(Preprocessing.HuggingFace with { Normalization = Normalization.Sat }, Preprocessing.ReadHuggingFace(folder));
        File.WriteAllText(file, json.Replace("\"do_center_crop\":null", "\"do_center_crop\":true,\"crop_size\":{\"height\":224,\"width\":224}").Replace("{\"height\":224,\"width\":224},\"resample\":2", "{\"shortest_edge\":256},\"resample\":3").Replace("DINOv3", "Other"));
        Assert.Equal(Preprocessing.Evaluation with { Normalization = Normalization.Sat }, Preprocessing.ReadHuggingFace(file));
        foreach (string broken in new[] { "", "[1]", json.Replace("224", "\"x\""), json.Replace("0.00392156862745098", "1"), json.Replace("\"resample\":2", "\"resample\":1"), json.Replace("\"do_normalize\":true", "\"do_normalize\":false") })
        {
            File.WriteAllText(file, broken);
            Assert.Contains(file, Assert.Throws<DinoSharpException>(() => Preprocessing.ReadHuggingFace(file)).Message);
        }

        Assert.Throws<DinoSharpException>(() => Preprocessing.ReadHuggingFace(Path.Combine(folder, "no.json")));
    }

    private static ImageBuffer Noise(int width, int height, int channels)
    {
        byte[] bytes = new byte[width * height * channels];
        new Random(width).NextBytes(bytes);
        for (int i = 0; i < bytes.Length; i++) bytes[i] |= 1; // never black, so that padding shows
        return ImageBuffer.FromSamples<byte>(width, height, channels, bytes);
    }
}
