using System.Buffers.Binary;
using System.Text;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Images;

/// <summary>DICOM kinds of which there is no sample file, written here element by element.</summary>
public class DicomTests
{
    private const string ExplicitLittle = "1.2.840.10008.1.2.1", ImplicitLittle = "1.2.840.10008.1.2", ExplicitBig = "1.2.840.10008.1.2.2", Rle = "1.2.840.10008.1.2.5";

    [Theory]
    [InlineData(ExplicitLittle)]
    [InlineData(ImplicitLittle)]
    [InlineData(ExplicitBig)]
    public void Signed_gray_gets_slope_intercept_and_window(string syntax)
    {
        var file = new Writer(syntax);
        Header(file, 2, 2, 1, 16, stored: 12, signed: true, "MONOCHROME2");
        file.Text(0x0028_1050, "DS", "40").Text(0x0028_1051, "DS", "400\\80").Text(0x0028_1052, "DS", "-10").Text(0x0028_1053, "DS", "2");
        file.Sequence(0x0040_0555);
        file.Words(0x7FE0_0010, [0x0001, 0x0FFF, 0x0800, 0xF005]); // 1, −1, −2048, 5 with bits above the stored ones set
        ImageBuffer image = ImageFile.Read(file.ToArray());
        Assert.Equal([-8, -12, -4106, 0], image.Samples<float>().ToArray());
        Assert.Equal(new ValueRange(-160, 239), image.Info.DisplayRange);
        Assert.Equal((byte)((152 / 399.0 * 255) + 0.5), image.ToRgb8().Bytes[0]);
    }

    [Fact]
    public void Monochrome1_shows_low_values_bright()
    {
        var file = new Writer(ExplicitLittle);
        Header(file, 2, 1, 1, 8, 8, false, "MONOCHROME1");
        ImageBuffer image = ImageFile.Read(file.Bytes(0x7FE0_0010, [10, 110]).ToArray());
        Assert.Equal([10, 110], image.Samples<float>().ToArray());
        Assert.Equal([255, 255, 255, 0, 0, 0], image.ToRgb8().Bytes.ToArray());
    }

    [Fact]
    public void Colour_planes_are_interleaved()
    {
        var file = new Writer(ExplicitLittle);
        Header(file, 2, 1, 3, 8, 8, false, "RGB", planar: true);
        Assert.Equal([1, 3, 5, 2, 4, 6], ImageFile.Read(file.Bytes(0x7FE0_0010, [1, 2, 3, 4, 5, 6]).ToArray()).Bytes.ToArray());
    }

    [Fact]
    public void Luminance_and_chrominance_become_rgb()
    {
        var file = new Writer(ExplicitLittle);
        Header(file, 2, 1, 3, 8, 8, false, "YBR_FULL");
        Assert.Equal([100, 100, 100, 254, 0, 0], ImageFile.Read(file.Bytes(0x7FE0_0010, [100, 128, 128, 76, 85, 255]).ToArray()).Bytes.ToArray());
    }

    [Fact]
    public void Palettes_are_looked_up()
    {
        var file = new Writer(ExplicitLittle);
        Header(file, 3, 1, 1, 8, 8, false, "PALETTE COLOR");
        for (uint c = 0; c < 3; c++) file.Words(0x0028_1101 + c, [2, 1, 16], "US");
        for (uint c = 0; c < 3; c++) file.Words(0x0028_1201 + c, [(ushort)(0x1000 * (c + 1)), 0xFF00]);
        Assert.Equal([0x10, 0x20, 0x30, 255, 255, 255, 0x10, 0x20, 0x30], ImageFile.Read(file.Bytes(0x7FE0_0010, [1, 2, 0]).ToArray()).Bytes.ToArray());
    }

    [Fact]
    public void Frames_are_chosen_and_run_lengths_expanded()
    {
        var plain = new Writer(ExplicitLittle);
        Header(plain, 2, 1, 1, 8, 8, false, "MONOCHROME2", frames: 3);
        byte[] file = plain.Bytes(0x7FE0_0010, [1, 2, 3, 4, 5, 6]).ToArray();
        Assert.Equal(3, ImageFile.ReadInfo(ImageSource.FromBytes(file)).Frames);
        Assert.Equal([5, 6], ImageFile.Read(file, new() { Frame = 2 }).Bytes.ToArray());
        Assert.Contains("no frame 3", Assert.Throws<ImageException>(() => ImageFile.Read(file, new() { Frame = 3 })).Message);

        var coded = new Writer(Rle);
        Header(coded, 2, 2, 3, 8, 8, false, "RGB");
        byte[] segments = [.. RleHeader(3, 64, 66, 71), unchecked((byte)-3), 9, 3, 1, 2, 3, 4, 1, 7, 7, unchecked((byte)-1), 8];
        coded.Fragments(0x7FE0_0010, [], segments);
        Assert.Equal([9, 1, 7, 9, 2, 7, 9, 3, 8, 9, 4, 8], ImageFile.Read(coded.ToArray()).Bytes.ToArray());
    }

    [Fact]
    public void Lossless_jpeg_is_read()
    {
        ushort[] samples = [.. Enumerable.Range(0, 16 * 8).Select(i => (ushort)(i * 31))];
        var file = new Writer("1.2.840.10008.1.2.4.70");
        Header(file, 16, 8, 1, 16, 12, false, "MONOCHROME2");
        byte[] jpeg = LosslessJpeg.Encode(samples, 16, 8);
        file.Fragments(0x7FE0_0010, [], jpeg.Length % 2 == 0 ? jpeg : [.. jpeg, 0]);
        Assert.Equal(Array.ConvertAll(samples, s => (float)s), ImageFile.Read(file.ToArray()).Samples<float>().ToArray());
    }

    [Fact]
    public void What_cannot_be_read_is_said()
    {
        var coded = new Writer("1.2.840.10008.1.2.4.90"); // JPEG 2000
        Header(coded, 2, 2, 1, 8, 8, false, "MONOCHROME2");
        Assert.Contains("1.2.840.10008.1.2.4.90", Assert.Throws<ImageException>(() => ImageFile.Read(coded.Fragments(0x7FE0_0010, [], [0, 0]).ToArray())).Message);
        Assert.Contains("no pixel data", Assert.Throws<ImageException>(() => ImageFile.Read(new Writer(ExplicitLittle).Words(0x0028_0010, [1], "US").ToArray())).Message);
        Assert.Contains("BitsAllocated", Assert.Throws<ImageException>(() => ImageFile.Read(new Writer(ExplicitLittle).Bytes(0x7FE0_0010, [0, 0]).ToArray())).Message);
        Assert.Contains("deflated", Assert.Throws<ImageException>(() => ImageFile.Read(new Writer("1.2.840.10008.1.2.1.99").Bytes(0x7FE0_0010, [0, 0]).ToArray())).Message);
        var huge = new Writer(ExplicitLittle);
        Header(huge, 65535, 65535, 1, 8, 8, false, "MONOCHROME2");
        Assert.Contains("limit", Assert.Throws<ImageException>(() => ImageFile.Read(huge.Bytes(0x7FE0_0010, [0, 0]).ToArray())).Message);
    }

    private static void Header(Writer file, int columns, int rows, int samples, int allocated, int stored, bool signed, string photometric, bool planar = false, int frames = 1)
    {
        file.Words(0x0028_0002, [(ushort)samples], "US").Text(0x0028_0004, "CS", photometric).Words(0x0028_0006, [(ushort)(planar ? 1 : 0)], "US");
        if (frames > 1) file.Text(0x0028_0008, "IS", $"{frames}");
        file.Words(0x0028_0010, [(ushort)rows], "US").Words(0x0028_0011, [(ushort)columns], "US").Words(0x0028_0100, [(ushort)allocated], "US");
        file.Words(0x0028_0101, [(ushort)stored], "US").Words(0x0028_0102, [(ushort)(stored - 1)], "US").Words(0x0028_0103, [(ushort)(signed ? 1 : 0)], "US");
    }

    private static byte[] RleHeader(params int[] counts)
    {
        byte[] header = new byte[64];
        for (int i = 0; i < counts.Length; i++) BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(4 * i), counts[i]);
        return header;
    }

    private sealed class Writer
    {
        private readonly List<byte> _file = [.. new byte[128], .. "DICM"u8];
        private readonly bool _big, _explicit = true;

        public Writer(string syntax)
        {
            Element(0x0002_0010, "UI", Encoding.ASCII.GetBytes(syntax.Length % 2 == 0 ? syntax : syntax + "\0"));
            _big = syntax == ExplicitBig;
            _explicit = syntax != ImplicitLittle;
        }

        public byte[] ToArray() => [.. _file];

        public Writer Text(uint tag, string vr, string text) => Element(tag, vr, Encoding.ASCII.GetBytes(text.Length % 2 == 0 ? text : text + " "));

        public Writer Words(uint tag, ushort[] words, string vr = "OW") => Element(tag, vr, [.. words.SelectMany(w => _big ? new[] { (byte)(w >> 8), (byte)w } : [(byte)w, (byte)(w >> 8)])]);

        public Writer Bytes(uint tag, byte[] bytes) => Element(tag, "OB", bytes.Length % 2 == 0 ? bytes : [.. bytes, 0]);

        /// <summary>A sequence of undefined length with one item of undefined length that holds an element.</summary>
        public void Sequence(uint tag)
        {
            Head(tag, "SQ", uint.MaxValue);
            Head(0xFFFE_E000, "", uint.MaxValue);
            Text(0x0008_0100, "SH", "X1");
            Head(0xFFFE_E00D, "", 0);
            Head(0xFFFE_E0DD, "", 0);
        }

        public Writer Fragments(uint tag, params byte[][] items)
        {
            Head(tag, "OB", uint.MaxValue);
            foreach (byte[] item in items)
            {
                Head(0xFFFE_E000, "", (uint)item.Length);
                _file.AddRange(item);
            }

            Head(0xFFFE_E0DD, "", 0);
            return this;
        }

        private Writer Element(uint tag, string vr, byte[] value)
        {
            Head(tag, vr, (uint)value.Length);
            _file.AddRange(value);
            return this;
        }

        private void Head(uint tag, string vr, uint length)
        {
            Number(tag >> 16, 2);
            Number(tag & 0xFFFF, 2);
            if (!_explicit || vr.Length == 0)
            {
                Number(length, 4);
                return;
            }

            _file.AddRange(Encoding.ASCII.GetBytes(vr));
            bool longForm = vr is "OB" or "OW" or "SQ";
            if (longForm) Number(0, 2);
            Number(length, longForm ? 4 : 2);
        }

        private void Number(uint value, int bytes)
        {
            for (int i = 0; i < bytes; i++) _file.Add((byte)(value >> (8 * (_big ? bytes - 1 - i : i))));
        }
    }
}
