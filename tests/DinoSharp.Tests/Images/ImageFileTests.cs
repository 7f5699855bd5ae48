using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Images;

/// <summary>What the pixels of the odd files are, and how the reader is called.</summary>
public class ImageFileTests
{
    private static ImageBuffer Odd(string file, ImageReadOptions? options = null) => ImageFile.Read(Path.Combine(Repository.Shared("data/odd"), file), options);

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void Every_orientation_stands_upright(int orientation)
    {
        ImageBuffer upright = Odd("exif_orientation_1.jpg"), turned = Odd($"exif_orientation_{orientation}.jpg");
        Assert.Equal(orientation, turned.Info.Orientation);
        // Compressed again after turning, so not equal byte for byte.
        Assert.InRange(MeanDifference(upright, turned), 0, 3);
        ImageBuffer stored = Odd($"exif_orientation_{orientation}.jpg", new() { ApplyOrientation = false });
        Assert.Equal(orientation >= 5 ? (192, 256) : (256, 192), (stored.Width, stored.Height));
    }

    [Fact]
    public void Containers_of_the_same_pixels_agree()
    {
        ImageBuffer reference = Odd("tiff_rgb_lzw.tif");
        foreach (string file in new[] { "tiff_rgb_tiled.tif", "tiff_rgb_planar.tif", "bmp_rgb.bmp", "png_named_jpg.jpg" })
            Assert.True(reference.Bytes.SequenceEqual(Odd(file).Bytes), file);
        Assert.True(Odd("tiff_gray16.tif").Bytes.SequenceEqual(Odd("tiff_gray16_be.tif").Bytes));
        Assert.True(Odd("dicom/MR_small.dcm").Bytes.SequenceEqual(Odd("dicom/MR_small_RLE.dcm").Bytes));
        Assert.InRange(MeanDifference(reference, Odd("jpeg_cmyk_adobe.jpg").ToRgb8()), 0, 12); // inverted ink would be off by about 100
        Assert.InRange(MeanDifference(reference, Odd("jpeg_444.jpg")), 0, 12);
    }

    [Fact]
    public void Ink_is_inverted_with_or_without_the_marker_of_adobe()
    {
        // Older versions of libvips inverted only with the marker.
        byte[] file = File.ReadAllBytes(Path.Combine(Repository.Shared("data/odd"), "jpeg_cmyk_adobe.jpg"));
        int marker = file.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xFF, 0xEE]), length = 2 + file[marker + 2] * 256 + file[marker + 3];
        Assert.True(file.AsSpan(marker + 4).StartsWith("Adobe"u8) && file[marker + 15] == 0, "the file must hold plain CMYK for this test");
        ImageBuffer with = ImageFile.Read(file), without = ImageFile.Read((byte[])[.. file[..marker], .. file[(marker + length)..]]);
        Assert.Equal(ColorModel.Cmyk, without.Info.Color);
        Assert.True(with.Bytes.SequenceEqual(without.Bytes));
    }

    [Fact]
    public void Pages_and_frames_are_chosen_by_number()
    {
        ImageBuffer first = Odd("tiff_multipage.tif"), third = Odd("tiff_multipage.tif", new() { Frame = 2 });
        Assert.False(first.Bytes.SequenceEqual(third.Bytes));
        ImageBuffer gif = Odd("gif_animated.gif"), last = Odd("gif_animated.gif", new() { Frame = 7 });
        Assert.False(gif.Bytes.SequenceEqual(last.Bytes));
        Assert.Contains("no frame 8", Assert.Throws<ImageException>(() => Odd("gif_animated.gif", new() { Frame = 8 })).Message);
        Assert.Throws<ImageException>(() => Odd("jpeg_gray.jpg", new() { Frame = 1 }));
    }

    [Fact]
    public void Not_a_number_is_kept_when_reading_and_black_as_rgb()
    {
        ImageBuffer image = Odd("tiff_float32_nan.tif");
        Assert.InRange(image.CountNonFinite(), 1, 256 * 192 - 1);
        Assert.True(float.IsNaN(image.Samples<float>()[0]));
        ImageBuffer rgb = image.ToRgb8();
        Assert.Equal(0, rgb.Bytes[0]);
        Assert.InRange(rgb.Bytes.ToArray().Max(), 200, 255);
    }

    [Fact]
    public void Sixteen_bit_gray_is_the_high_byte_or_clipped_on_request()
    {
        ImageBuffer image = Odd("png_gray16.png");
        ReadOnlySpan<ushort> samples = image.Samples<ushort>();
        ImageBuffer high = image.ToRgb8(), clipped = image.ToRgb8(new ValueRange(0, 255));
        for (int i = 0; i < samples.Length; i++)
        {
            Assert.Equal(samples[i] >> 8, high.Bytes[3 * i]);
            Assert.Equal(Math.Min((ushort)255, samples[i]), clipped.Bytes[3 * i + 2]);
        }
    }

    [Fact]
    public void Bands_become_colours_as_named()
    {
        ImageBuffer image = Odd("geotiff_5band_uint16.tif");
        ImageBuffer rgb = image.ToRgb8(bands: [4, 1, 0]);
        ImageBuffer stretched = image.ToRgb8(new ValueRange(1000, 3000), [4, 1, 0]);
        Assert.Equal(ColorModel.MultiBand, image.Info.Color);
        Assert.Equal(Scaled(image.Samples<ushort>()[5 * 1000 + 4], 0, 16383), rgb.Bytes[3 * 1000]); // uses 13 of 16 bits: shown as 14
        Assert.Equal(Scaled(image.Samples<ushort>()[5 * 1000], 0, 16383), rgb.Bytes[3 * 1000 + 2]);
        Assert.Equal(Scaled(image.Samples<ushort>()[5 * 1000], 1000, 3000), stretched.Bytes[3 * 1000 + 2]);
        Assert.Contains("no band 5", Assert.Throws<ImageException>(() => image.ToRgb8(bands: [0, 1, 5])).Message);
        Assert.Throws<ImageException>(() => image.ToRgb8(new ValueRange(3, 3)));
        static int Scaled(int v, double low, double high) => Math.Clamp((int)((v - low) / (high - low) * 255 + 0.5), 0, 255);
    }

    [Fact]
    public void Dicom_gives_modality_values_and_its_window()
    {
        ImageBuffer ct = Odd("dicom/CT_small.dcm");
        ReadOnlySpan<float> hounsfield = ct.Samples<float>();
        Assert.Equal(-896, hounsfield.ToArray().Min()); // stored 128 with intercept −1024, the published minimum of this test file
        Assert.Equal(1167, hounsfield.ToArray().Max());
        ImageBuffer lossy = Odd("dicom/JPEG-lossy.dcm");
        Assert.InRange(lossy.Samples<float>().ToArray().Max(), 200, 4095); // 12-bit samples
    }

    [Fact]
    public unsafe void Avif_is_read()
    {
        byte[] pixels = [.. Enumerable.Range(0, 64 * 48 * 3).Select(i => (byte)(i / 3 % 64 * 3))];
        byte[] file;
        fixed (byte* p = pixels)
        {
            using var image = NetVips.Image.NewFromMemory((IntPtr)p, (ulong)pixels.Length, 64, 48, 3, NetVips.Enums.BandFormat.Uchar);
            using var rgb = image.Copy(interpretation: NetVips.Enums.Interpretation.Srgb);
            file = rgb.HeifsaveBuffer(q: 95, compression: NetVips.Enums.ForeignHeifCompression.Av1, effort: 0);
        }

        ImageBuffer back = ImageFile.Read(file);
        Assert.Equal(ImageFormat.Avif, back.Info.Format);
        Assert.InRange(MeanDifference(ImageBuffer.FromSamples<byte>(64, 48, 3, pixels), back), 0, 3);
        Assert.Throws<ImageException>(() => ImageFile.Read(file.AsMemory(0, file.Length - 20)));
    }

    [Fact]
    public void Streams_bytes_and_paths_give_the_same()
    {
        string path = Path.Combine(Repository.Shared("data/odd"), "jpeg_odd_size.jpg");
        ImageBuffer fromPath = ImageFile.Read(path);
        using FileStream stream = File.OpenRead(path);
        Assert.True(fromPath.Bytes.SequenceEqual(ImageFile.Read(stream).Bytes));
        byte[] bytes = File.ReadAllBytes(path), padded = [1, 2, 3, .. bytes, 4];
        Assert.True(fromPath.Bytes.SequenceEqual(ImageFile.Read(bytes).Bytes));
        Assert.True(fromPath.Bytes.SequenceEqual(ImageFile.Read(padded.AsMemory(3, bytes.Length)).Bytes));
        using var forward = new NonSeekable(File.OpenRead(path));
        Assert.True(fromPath.Bytes.SequenceEqual(ImageFile.Read(forward).Bytes));
    }

    [Fact]
    public void Missing_files_and_folders_are_named()
    {
        Assert.Contains("no such file", Assert.Throws<ImageException>(() => ImageFile.Read("not/there.jpg")).Message);
        Assert.Contains("folder", Assert.Throws<ImageException>(() => ImageFile.Read(Path.GetTempPath())).Message);
    }

    [Fact]
    public void A_file_cut_anywhere_is_refused_or_complete()
    {
        string folder = Repository.Shared("data/odd");
        var wrong = new List<string>();
        foreach (string file in new[]
        {
            "jpeg_baseline.jpg", "jpeg_progressive.jpg", "png_rgba.png", "png_interlaced.png", "webp_lossy.webp", "webp_lossless_alpha.webp", "gif_static.gif",
            "tiff_rgb_lzw.tif", "tiff_rgb16_deflate.tif", "tiff_rgb_tiled.tif", "tiff_bigtiff.tif", "bmp_rgb.bmp", "tga_rgb.tga", "ppm_rgb.ppm",
            "dicom/CT_small.dcm", "dicom/MR_small_RLE.dcm", "dicom/JPEG-lossy.dcm", "dicom/SC_rgb_jpeg_gdcm.dcm",
        })
        {
            byte[] whole = File.ReadAllBytes(Path.Combine(folder, file));
            byte[] pixels = ImageFile.Read(whole).Bytes.ToArray();
            for (int cut = 0; cut < 40; cut++)
            {
                int length = (int)((long)whole.Length * cut / 40);
                try
                {
                    ImageBuffer image = ImageFile.Read(whole.AsMemory(0, length));
                    if (!image.Bytes.SequenceEqual(pixels)) wrong.Add($"{file} cut to {length} of {whole.Length} bytes");
                }
                catch (ImageException)
                {
                }
            }
        }

        Assert.Empty(wrong); // returned as if they were complete
    }

    [Theory]
    [InlineData("png_bad_crc.png", "checksum")]
    [InlineData("png_truncated.png", "ends inside")]
    [InlineData("jpeg_truncated_half.jpg", "premature end")]
    [InlineData("text_named_png.png", "starts with the text")]
    [InlineData("zero_bytes.png", "empty")]
    [InlineData("jpeg2000.jp2", "JPEG 2000 is not supported")]
    public void Errors_say_what_is_wrong(string file, string cause)
    {
        Assert.Contains(cause, Assert.Throws<ImageException>(() => Odd(file)).Message);
    }

    [Fact]
    public void Unknown_tiff_tags_are_no_damage()
    {
        byte[] file = File.ReadAllBytes(Path.Combine(Repository.Shared("data/odd"), "tiff_gray16.tif"));
        ImageBuffer before = ImageFile.Read(file);
        int directory = BitConverter.ToInt32(file, 4), entries = BitConverter.ToUInt16(file, directory);
        int last = directory + 2 + 12 * (entries - 1);
        Assert.True(BitConverter.ToUInt16(file, last) is not (257 or 258 or 273 or 279), "the last tag must not be one that matters");
        BitConverter.TryWriteBytes(file.AsSpan(last), (ushort)65123);
        Assert.True(before.Bytes.SequenceEqual(ImageFile.Read(file).Bytes));
    }

    [Fact]
    public void Any_byte_may_be_wrong()
    {
        string folder = Repository.Shared("data/odd");
        var random = new Random(1);
        int read = 0, refused = 0;
        foreach (string path in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Where(p => new FileInfo(p).Length is > 0 and < 300_000).Order())
        {
            byte[] whole = File.ReadAllBytes(path);
            for (int round = 0; round < 12; round++)
            {
                byte[] file = [.. whole];
                int changes = random.Next(1, 8), reach = round % 2 == 0 ? Math.Min(file.Length, 512) : file.Length;
                for (int i = 0; i < changes; i++) file[random.Next(reach)] = (byte)random.Next(256);
                try
                {
                    _ = ImageFile.Read(file, new() { MaxPixels = 4_000_000 }).ToRgb8();
                    read++;
                }
                catch (ImageException)
                {
                    refused++;
                }
            }
        }

        Assert.True(read > 0 && refused > 0, $"{read} read, {refused} refused");
        TestContext.Current.TestOutputHelper?.WriteLine($"{read} mutated files were read, {refused} refused, none did anything else");
    }

    [Fact]
    public void Many_threads_read_the_same_and_errors_name_their_own_file()
    {
        string folder = Repository.Shared("data/odd");
        string[] files = ["jpeg_baseline.jpg", "png_truncated.png", "jpeg_truncated_half.jpg", "tiff_rgb_lzw.tif", "text_named_png.png", "png_bad_crc.png", "webp_lossy.webp"];
        string[] alone = [.. files.Select(f => Outcome(Path.Combine(folder, f)))];
        Parallel.For(0, 200, new() { MaxDegreeOfParallelism = 8 }, i =>
            Assert.Equal(alone[i % files.Length], Outcome(Path.Combine(folder, files[i % files.Length]))));

        static string Outcome(string path)
        {
            try
            {
                return Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(ImageFile.Read(path).Bytes));
            }
            catch (ImageException error)
            {
                return error.Message;
            }
        }
    }

    [Theory]
    [InlineData(".png")]
    [InlineData(".jpg")]
    public void Pictures_are_written_whole_and_read_back(string extension)
    {
        string path = Path.Combine(Directory.CreateTempSubdirectory().FullName, "out" + extension);
        byte[] pixels = [.. Enumerable.Range(0, 40 * 30 * 3).Select(i => (byte)(i / 3 % 40 * 6))];
        ImageBuffer image = ImageBuffer.FromSamples<byte>(40, 30, 3, pixels);
        image.Save(path);
        image.Save(path); // replaces
        ImageBuffer back = ImageFile.Read(path);
        if (extension == ".png") Assert.True(back.Bytes.SequenceEqual(pixels));
        else Assert.InRange(MeanDifference(image, back), 0, 2);
        Assert.Single(Directory.GetFiles(Path.GetDirectoryName(path)!));
        Assert.Contains(".gif", Assert.Throws<ImageException>(() => image.Save("x.gif")).Message);
        Assert.Contains("there is no folder", Assert.Throws<ImageException>(() => image.Save(Path.Combine(Path.GetTempPath(), "no-such-folder-here", "x.png"))).Message);
    }

    private static double MeanDifference(ImageBuffer a, ImageBuffer b)
    {
        Assert.Equal((a.Width, a.Height, a.Channels), (b.Width, b.Height, b.Channels));
        long sum = 0;
        for (int i = 0; i < a.Bytes.Length; i++) sum += Math.Abs(a.Bytes[i] - b.Bytes[i]);
        return (double)sum / a.Bytes.Length;
    }

    private sealed class NonSeekable(Stream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, Math.Min(count, 1000));

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
