using System.Buffers.Binary;
using System.Text;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Images;

/// <summary>The formats read in managed code (BMP, Targa, PNM, lossless JPEG), from files written here byte by byte.</summary>
public class ManagedFormatTests
{
    // 3 × 2: red green blue / white gray black
    private static readonly byte[] Pixels = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 128, 128, 128, 0, 0, 0];

    private static readonly byte[] Palette = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0, 128, 128, 128, 0, 0, 0, 0, 0]; // BGRx

    [Theory]
    [InlineData(24, 0, 0)]
    [InlineData(32, 0, 0)]
    [InlineData(8, 0, 0)]
    [InlineData(4, 0, 0)]
    [InlineData(8, 1, 0)]
    [InlineData(4, 2, 0)]
    [InlineData(24, 0, 1)]
    public void Windows_bitmaps(int bits, int compression, int topDown)
    {
        ImageBuffer image = ImageFile.Read(MakeBmp(bits, compression, topDown == 1));
        Assert.Equal(ImageFormat.Bmp, image.Info.Format);
        Assert.Equal((3, 2, 3), (image.Width, image.Height, image.Channels));
        Assert.Equal(Pixels, image.Bytes.ToArray());
    }

    [Fact]
    public void Bmp_with_bit_masks()
    {
        // 16 bits as 5-6-5: red, green, blue / white, half, black
        byte[] data = new byte[16];
        ushort[] upper = [0xF800, 0x07E0, 0x001F], lower = [0xFFFF, 0x8410, 0];
        for (int i = 0; i < 3; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(2 * i), lower[i]);
            BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(8 + 2 * i), upper[i]);
        }

        byte[] masks = new byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(masks, 0xF800);
        BinaryPrimitives.WriteUInt32LittleEndian(masks.AsSpan(4), 0x07E0);
        BinaryPrimitives.WriteUInt32LittleEndian(masks.AsSpan(8), 0x001F);
        byte[] read = ImageFile.Read(BmpFile(16, 3, 2, masks, data)).Bytes.ToArray();
        Assert.Equal([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 132, 130, 132, 0, 0, 0], read);
    }

    [Fact]
    public void Bmp_errors()
    {
        byte[] whole = MakeBmp(24, 0, false);
        Assert.Contains("truncated", Assert.Throws<ImageException>(() => ImageFile.Read(whole.AsMemory(0, whole.Length - 5))).Message);
        Assert.NotNull(ImageFile.Read(whole.AsMemory(0, whole.Length - 5), new() { AllowDamaged = true }).Info.Damage);
        byte[] huge = [.. whole];
        BinaryPrimitives.WriteInt32LittleEndian(huge.AsSpan(18), int.MaxValue);
        BinaryPrimitives.WriteInt32LittleEndian(huge.AsSpan(22), int.MaxValue);
        Assert.Contains("limit", Assert.Throws<ImageException>(() => ImageFile.Read(huge)).Message);
        huge[28] = 17;
        Assert.Contains("17 bits", Assert.Throws<ImageException>(() => ImageFile.Read(huge)).Message);
        byte[] runs = MakeBmp(8, 1, false);
        Assert.Throws<ImageException>(() => ImageFile.Read(runs.AsMemory(0, runs.Length - 8)));
    }

    [Theory]
    [InlineData(2, 24, 0x20)]
    [InlineData(2, 24, 0)]
    [InlineData(2, 24, 0x30)]
    [InlineData(10, 24, 0x20)]
    [InlineData(1, 8, 0x20)]
    public void Targa(int type, int bits, int descriptor)
    {
        var file = new List<byte> { 0, (byte)(type == 1 ? 1 : 0), (byte)type, 0, 0, (byte)(type == 1 ? 6 : 0), 0, (byte)(type == 1 ? 24 : 0), 0, 0, 0, 0, 3, 0, 2, 0, (byte)bits, (byte)descriptor };
        if (type == 1)
        {
            for (int i = 0; i < 6; i++) file.AddRange(Bgr(i));
        }

        for (int i = 0; i < 6; i++)
        {
            int x = i % 3, y = i / 3, pixel = ((descriptor & 0x20) != 0 ? y : 1 - y) * 3 + ((descriptor & 0x10) != 0 ? 2 - x : x);
            if (type == 10) file.Add(i % 2 == 0 ? (byte)0x80 : (byte)0); // a run and a literal of one pixel in turn
            if (type == 1) file.Add((byte)pixel);
            else file.AddRange(Bgr(pixel));
        }

        ImageBuffer image = ImageFile.Read(file.ToArray());
        Assert.Equal(ImageFormat.Tga, image.Info.Format);
        Assert.Equal(Pixels, image.Bytes.ToArray());
        Assert.Throws<ImageException>(() => ImageFile.Read(file.ToArray().AsMemory(0, file.Count - 1)));

        static byte[] Bgr(int i) => [Pixels[3 * i + 2], Pixels[3 * i + 1], Pixels[3 * i]];
    }

    [Theory]
    [InlineData("P1 3 2\n101 0 1 0", new byte[] { 0, 255, 0, 255, 0, 255 })]
    [InlineData("P2\n# comment\n3 2 255\n1 2 3 4 5 255\n", new byte[] { 1, 2, 3, 4, 5, 255 })]
    [InlineData("P2 3 2 15 0 1 2 3 4 15", new byte[] { 0, 17, 34, 51, 68, 255 })]
    [InlineData("P3 1 2 255 1 2 3 4 5 6", new byte[] { 1, 2, 3, 4, 5, 6 })]
    [InlineData("P5 3 2 255\nabcdef", new byte[] { 97, 98, 99, 100, 101, 102 })]
    [InlineData("P6 2 1 255\nabcdef", new byte[] { 97, 98, 99, 100, 101, 102 })]
    [InlineData("P4 3 2\n@`", new byte[] { 255, 0, 255, 255, 0, 0 })]
    public void Portable_maps(string file, byte[] expected)
    {
        Assert.Equal(expected, ImageFile.Read(Encoding.ASCII.GetBytes(file)).Bytes.ToArray());
        Assert.Throws<ImageException>(() => ImageFile.Read(Encoding.ASCII.GetBytes(file[..^(file.EndsWith('\n') ? 5 : file.StartsWith("P2 3 2 15") ? 3 : 1)])));
    }

    [Fact]
    public void Portable_maps_of_more_bits()
    {
        ImageBuffer gray = ImageFile.Read((byte[])[.. "P5 2 1 65535\n"u8, 1, 2, 255, 254]);
        Assert.Equal([0x0102, 0xFFFE], gray.Samples<ushort>().ToArray());
        ImageBuffer floats = ImageFile.Read((byte[])[.. "Pf 1 2 -1.0\n"u8, .. BitConverter.GetBytes(0.5f), .. BitConverter.GetBytes(float.NaN)]);
        Assert.True(float.IsNaN(floats.Samples<float>()[0])); // rows run from the bottom
        Assert.Equal(0.5f, floats.Samples<float>()[1]);
        Assert.Throws<ImageException>(() => ImageFile.Read(Encoding.ASCII.GetBytes("P5 2 one 255\nxxxxxxxx")));
        Assert.Throws<ImageException>(() => ImageFile.Read(Encoding.ASCII.GetBytes("P5 99999999 99999999 255\nxxxxxxxx")));
    }

    [Fact]
    public void Lossless_jpeg()
    {
        ushort[] samples = [.. Enumerable.Range(0, 24 * 16).Select(i => (ushort)(2000 + 37 * (i % 24) - 11 * (i / 24) * (i % 5)))];
        ImageBuffer image = ImageFile.Read(LosslessJpeg.Encode(samples, 24, 16));
        Assert.Equal((24, 16, SampleType.UInt16), (image.Width, image.Height, image.SampleType));
        Assert.Equal(samples, image.Samples<ushort>().ToArray());
    }

    private static byte[] MakeBmp(int bits, int compression, bool topDown)
    {
        // Runs and literals; rows from the bottom.
        if (compression == 1) return BmpFile(8, 1, 2, Palette, [1, 3, 1, 4, 1, 5, 0, 0, 0, 3, 0, 1, 2, 0, 0, 1]);
        if (compression == 2) return BmpFile(4, 2, 2, Palette, [2, 0x34, 1, 0x50, 0, 0, 0, 3, 0x01, 0x20, 0, 1]);
        var data = new List<byte>();
        for (int line = 0; line < 2; line++)
        {
            int first = (topDown ? line : 1 - line) * 3;
            if (bits == 4) data.AddRange([(byte)(first << 4 | (first + 1)), (byte)((first + 2) << 4)]);
            for (int i = first; bits != 4 && i < first + 3; i++)
                data.AddRange(bits == 8 ? [(byte)i] : bits == 32 ? [Pixels[3 * i + 2], Pixels[3 * i + 1], Pixels[3 * i], 7] : [Pixels[3 * i + 2], Pixels[3 * i + 1], Pixels[3 * i]]);
            while (data.Count % 4 != 0) data.Add(0);
        }

        return BmpFile(bits, 0, topDown ? -2 : 2, bits <= 8 ? Palette : [], [.. data]);
    }

    private static byte[] BmpFile(int bits, int compression, int height, byte[] extra, byte[] data)
    {
        byte[] header = new byte[54];
        header[0] = (byte)'B';
        header[1] = (byte)'M';
        Write(2, 54 + extra.Length + data.Length);
        Write(10, 54 + extra.Length);
        Write(14, 40);
        Write(18, 3);
        Write(22, height);
        header[26] = 1;
        header[28] = (byte)bits;
        Write(30, compression);
        Write(46, bits <= 8 ? 6 : 0);
        return [.. header, .. extra, .. data];

        void Write(int at, int value) => BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(at), value);
    }
}
