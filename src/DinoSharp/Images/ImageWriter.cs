using DinoSharp.Images.Decoding;
using NetVips;

namespace DinoSharp.Images;

/// <summary>Pictures → PNG or JPEG files.</summary>
internal static class ImageWriter
{
    public static void Save(ImageBuffer image, string path, int jpegQuality)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentOutOfRangeException.ThrowIfLessThan(jpegQuality, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(jpegQuality, 100);
        byte[] file = Path.GetExtension(path).ToUpperInvariant() switch
        {
            ".PNG" => EncodePng(image, path),
            ".JPG" or ".JPEG" => EncodeJpeg(image, path, jpegQuality),
            _ => throw new ImageException(path, $"pictures are written as .png, .jpg or .jpeg, not \"{Path.GetExtension(path)}\""),
        };
        WriteWhole(path, file);
    }

    /// <summary>Writes beside and renames: a reader sees the old file or the whole new one.</summary>
    public static void WriteWhole(string path, byte[] file)
    {
        string temporary = $"{path}.{Environment.ProcessId}-{Guid.NewGuid():N}.tmp";
        try
        {
            File.WriteAllBytes(temporary, file);
            File.Move(temporary, path, overwrite: true);
        }
        catch (DirectoryNotFoundException error)
        {
            throw new ImageException(path, $"there is no folder {Path.GetDirectoryName(Path.GetFullPath(path))}; create it first", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
            throw new ImageException(path, $"the picture cannot be written: {error.Message}", error);
        }
    }

    private static byte[] EncodePng(ImageBuffer image, string path)
    {
        if (image.SampleType == SampleType.Float32 || image.Channels > 4 || image.Info.Color == ColorModel.Cmyk)
            throw new ImageException(path, $"PNG holds 8 or 16-bit gray or RGB with or without alpha, not {Describe(image)}; use ToRgb8() first");
        return Encode(image, path, vips => vips.PngsaveBuffer(compression: 6));
    }

    public static byte[] EncodeJpeg(ImageBuffer image, string path, int quality)
    {
        if (image.SampleType != SampleType.UInt8 || image.Channels is not (1 or 3) || image.Width > 65535 || image.Height > 65535)
            throw new ImageException(path, $"JPEG holds 8-bit gray or RGB of up to 65,535 pixels a side, not {Describe(image)}; use ToRgb8() or PNG");
        return Encode(image, path, vips => vips.JpegsaveBuffer(q: quality));
    }

    private static unsafe byte[] Encode(ImageBuffer image, string path, Func<Image, byte[]> encode)
    {
        VipsDecoder.RequireLibrary(path);
        Enums.BandFormat format = image.SampleType == SampleType.UInt8 ? Enums.BandFormat.Uchar : Enums.BandFormat.Ushort;
        Enums.Interpretation interpretation = (image.Channels >= 3, image.SampleType == SampleType.UInt8) switch
        {
            (true, true) => Enums.Interpretation.Srgb,
            (true, false) => Enums.Interpretation.Rgb16,
            (false, true) => Enums.Interpretation.Bw,
            _ => Enums.Interpretation.Grey16,
        };
        fixed (byte* pixels = image.Bytes)
        {
            try
            {
                using Image raw = Image.NewFromMemory((IntPtr)pixels, (ulong)image.Info.ByteCount, image.Width, image.Height, image.Channels, format);
                using Image named = raw.Copy(interpretation: interpretation);
                return encode(named);
            }
            catch (VipsException error)
            {
                throw new ImageException(path, $"the picture cannot be encoded: {error.Message.Trim()}", error);
            }
        }
    }

    private static string Describe(ImageBuffer image) => $"{image.Width}×{image.Height} with {image.Channels} {image.SampleType} bands";

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The first error is the one to report.
        }
    }
}
