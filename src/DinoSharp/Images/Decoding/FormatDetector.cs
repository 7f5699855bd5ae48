using System.Buffers.Binary;
using System.Text;

namespace DinoSharp.Images.Decoding;

/// <summary>Finds the format from the first bytes. A file whose extension lies is read as what it is.</summary>
internal static class FormatDetector
{
    public static ImageFormat Detect(ReadOnlySpan<byte> file, string name)
    {
        if (file.IsEmpty) throw new ImageException(name, "the file is empty");
        if (file.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8, 0xFF])) return ImageFormat.Jpeg;
        if (file.StartsWith((ReadOnlySpan<byte>)[0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])) return ImageFormat.Png;
        if (file.StartsWith("GIF87a"u8) || file.StartsWith("GIF89a"u8)) return ImageFormat.Gif;
        if (file.StartsWith("RIFF"u8) && file.Length >= 12 && file[8..12].SequenceEqual("WEBP"u8)) return ImageFormat.WebP;
        if (file.Length > 132 && file[128..132].SequenceEqual("DICM"u8)) return ImageFormat.Dicom; // first: its free preamble may look like a TIFF
        if (IsTiff(file)) return ImageFormat.Tiff;
        if (file.StartsWith("BM"u8) && BmpDecoder.HasHeader(file)) return ImageFormat.Bmp;
        if (PnmDecoder.HasHeader(file)) return ImageFormat.Pnm;
        if (IsIsoMedia(file, out string brand))
        {
            if (brand is "avif" or "avis" or "mif1" or "msf1") return ImageFormat.Avif;
            if (brand is "heic" or "heix" or "hevc" or "heim" or "heis") throw Unsupported(name, "HEIC (HEVC)");
        }

        if (file.StartsWith((ReadOnlySpan<byte>)[0, 0, 0, 12, (byte)'j', (byte)'P', (byte)' ', (byte)' ']) || file.StartsWith((ReadOnlySpan<byte>)[0xFF, 0x4F, 0xFF, 0x51]))
            throw Unsupported(name, "JPEG 2000");
        if (file.StartsWith((ReadOnlySpan<byte>)[0xFF, 0x0A]) || file.StartsWith((ReadOnlySpan<byte>)[0, 0, 0, 12, (byte)'J', (byte)'X', (byte)'L', (byte)' ']))
            throw Unsupported(name, "JPEG XL");
        if (file.StartsWith("8BPS"u8)) throw Unsupported(name, "Photoshop (PSD)");
        if (file.StartsWith("%PDF"u8)) throw Unsupported(name, "PDF");
        if (file.StartsWith("SIMPLE  ="u8)) throw Unsupported(name, "FITS");
        if (TgaDecoder.HasHeader(file)) return ImageFormat.Tga; // has no signature at its start, so it comes last
        throw new ImageException(name, $"this is not an image of a known format; it starts with {Describe(file)}. Known: JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP, TGA, PNM, DICOM");
    }

    private static bool IsTiff(ReadOnlySpan<byte> file)
    {
        if (file.Length < 8) return false;
        bool little = file[0] == 'I' && file[1] == 'I', big = file[0] == 'M' && file[1] == 'M';
        int magic = little ? BinaryPrimitives.ReadUInt16LittleEndian(file[2..]) : big ? BinaryPrimitives.ReadUInt16BigEndian(file[2..]) : 0;
        return magic is 42 or 43; // 43: BigTIFF
    }

    private static bool IsIsoMedia(ReadOnlySpan<byte> file, out string brand)
    {
        bool found = file.Length >= 12 && file[4..8].SequenceEqual("ftyp"u8);
        brand = found ? Encoding.ASCII.GetString(file[8..12]) : "";
        return found;
    }

    private static ImageException Unsupported(string name, string format) =>
        new(name, $"{format} is not supported; convert it to PNG, TIFF or JPEG first");

    private static string Describe(ReadOnlySpan<byte> file)
    {
        ReadOnlySpan<byte> head = file[..Math.Min(16, file.Length)];
        bool text = true;
        foreach (byte b in head) text &= b is >= 32 and < 127 or 9 or 10 or 13;
        return text ? $"the text \"{Encoding.ASCII.GetString(head).ReplaceLineEndings(" ")}\"" : $"the bytes {Convert.ToHexString(head)}";
    }
}
