using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Images;

/// <summary>Every line of data/odd/manifest.csv behaves as its `expect` column says.</summary>
public class OddFileTests
{
    // A file that may be read or refused is pinned to what we do, so that a change is noticed. Formats without a decoder here: JPEG 2000.
    private static readonly Dictionary<string, bool> ReadableWhereEitherIsAllowed = new()
    {
        ["jpeg_no_eoi.jpg"] = false,
        ["tga_rgb.tga"] = true,
        ["ppm_rgb.ppm"] = true,
        ["jpeg2000.jp2"] = false,
    };

    public static TheoryData<string> Files()
    {
        // Rows are found at run time; without the shared folder the one row left says so by being skipped.
        string manifest = Path.Combine(Repository.Root, "..", "shared", "data", "odd", "manifest.csv");
        return File.Exists(manifest) ? [.. Lines(manifest).Select(line => line[0])] : ["manifest.csv"];
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Behaves_as_the_manifest_expects(string file)
    {
        string folder = Repository.Shared("data/odd");
        string[] line = Lines(Path.Combine(folder, "manifest.csv")).Single(l => l[0] == file);
        string path = Path.Combine(folder, file), expect = line[1];
        switch (expect)
        {
            case "ok":
                CheckReadable(path, line);
                break;
            case "ok or error" or "ok or unsupported":
                if (ReadableWhereEitherIsAllowed[file]) CheckReadable(path, line);
                else CheckRefused(path);
                break;
            case "error":
                CheckRefused(path);
                break;
            case "error or partial" or "error or damaged":
                CheckRefused(path);
                ImageBuffer partial = ImageFile.Read(path, new() { AllowDamaged = true });
                Assert.False(string.IsNullOrEmpty(partial.Info.Damage));
                Assert.Equal((int.Parse(line[2]), int.Parse(line[3])), (partial.Width, partial.Height));
                break;
            case "reject by pixel limit":
                ImageInfo header = ImageFile.ReadInfo(path); // the header alone may be read
                Assert.Equal((int.Parse(line[2]), int.Parse(line[3])), (header.Width, header.Height));
                Assert.Contains("more than the limit", CheckRefused(path).Message);
                break;
            default:
                Assert.Fail($"the manifest has a word this test does not know: {expect}");
                break;
        }
    }

    [Theory]
    [InlineData("png_bomb_header_only.png")]
    [InlineData("png_bomb_valid_1bit_20000.png")]
    public void A_decompression_bomb_takes_no_memory(string file)
    {
        string path = Path.Combine(Repository.Shared("data/odd"), file);
        CheckRefused(path); // once before, to have everything loaded
        long before = GC.GetAllocatedBytesForCurrentThread();
        CheckRefused(path);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4_000_000);
    }

    [Fact]
    public void A_side_may_not_be_too_long()
    {
        string path = Path.Combine(Repository.Shared("data/odd"), "png_3000x1.png");
        Assert.Contains("a side of more than the limit", Assert.Throws<ImageException>(() => ImageFile.Read(path, new() { MaxSidePixels = 2999 })).Message);
        Assert.Equal(3000, ImageFile.Read(path, new() { MaxSidePixels = 3000 }).Width);
    }

    private static void CheckReadable(string path, string[] line)
    {
        (int width, int height, string mode, int frames) = (int.Parse(line[2]), int.Parse(line[3]), line[4], int.Parse(line[5]));
        ImageInfo info = ImageFile.ReadInfo(path);
        ImageBuffer image = ImageFile.Read(path);
        Assert.Equal((width, height), (info.Width, info.Height));
        Assert.Equal((width, height), (image.Width, image.Height));
        Assert.Null(image.Info.Damage);
        if (!path.EndsWith("apng_animated.png", StringComparison.Ordinal)) Assert.Equal(frames, info.Frames); // a plain PNG decoder sees one frame
        Assert.Equal(info.ByteCount, image.Bytes.Length);

        (SampleType type, int[] channels) = mode switch
        {
            "L" or "1" => (SampleType.UInt8, (int[])[1]),
            "LA" => (SampleType.UInt8, [2]),
            "P" => (SampleType.UInt8, [3, 4]), // expanded; 4 with a transparent entry
            "RGB" when info.Format == ImageFormat.WebP && frames > 1 => (SampleType.UInt8, [3, 4]), // animations have alpha
            "RGB" => (SampleType.UInt8, [3]),
            "RGBA" or "CMYK" => (SampleType.UInt8, [4]),
            "I;16" => (SampleType.UInt16, [1]),
            "RGB16" => (SampleType.UInt16, [3]),
            "RGBA16" => (SampleType.UInt16, [4]),
            "uint16 x5" => (SampleType.UInt16, [5]),
            "F" or "float32" => (SampleType.Float32, [1]),
            "MONOCHROME2" => (SampleType.Float32, [1]),
            _ => throw new InvalidOperationException($"unknown mode {mode}"),
        };
        Assert.Equal(type, image.SampleType);
        Assert.Contains(image.Channels, channels);

        ImageBuffer rgb = image.ToRgb8();
        Assert.Equal(width * height * 3, rgb.Bytes.Length);
        // The colour bands of geotiff_rgba_uint16.tif are 10000 throughout; its picture is in the alpha band.
        if (width * height > 100 && mode != "RGBA16") Assert.True(rgb.Bytes.ToArray().Distinct().Count() > 1, "the picture is one flat value");
    }

    private static ImageException CheckRefused(string path)
    {
        var error = Assert.Throws<ImageException>(() => ImageFile.Read(path));
        Assert.StartsWith(path + ": ", error.Message);
        Assert.True(error.Cause.Length > 10, "the message must say what is wrong");
        Assert.DoesNotContain("Exception", error.Message);
        TestContext.Current.TestOutputHelper?.WriteLine(error.Message);
        return error;
    }

    private static IEnumerable<string[]> Lines(string manifest) =>
        File.ReadLines(manifest).Skip(1).Where(l => l.Length > 0).Select(l => l.Split(',', 7));
}
