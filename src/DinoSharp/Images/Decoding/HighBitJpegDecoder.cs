using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using JpegLibrary;

namespace DinoSharp.Images.Decoding;

/// <summary>JPEG with more than 8 bits (12-bit extended) or lossless, by a managed decoder: medical pictures use them, the native library has neither.</summary>
internal sealed class HighBitJpegDecoder(DecoderInput input) : Decoder(input)
{
    public override ImageInfo ReadInfo()
    {
        JpegHeader header = Header();
        return new ImageInfo
        {
            Name = Input.Name,
            Format = ImageFormat.Jpeg,
            Width = header.Width,
            Height = header.Height,
            Channels = header.Components,
            Color = header.Components switch { 1 => ColorModel.Gray, 3 => ColorModel.Rgb, _ => ColorModel.MultiBand },
            SampleType = header.Precision > 8 ? SampleType.UInt16 : SampleType.UInt8,
        };
    }

    /// <summary>Samples as they are coded: a 12-bit sample is 0 … 4095 in a 16-bit number.</summary>
    public override ImageBuffer Decode()
    {
        JpegHeader header = Header();
        if (header.Components == 3 && header.StartOfFrame != 3) throw Fail($"JPEG with {header.Precision} bits and colour is not supported; convert it to 16-bit PNG or TIFF first");
        ImageInfo info = ReadInfo();
        byte[] pixels = Allocate(info);
        try
        {
            var decoder = new JpegDecoder();
            decoder.SetInput(Input.Content);
            decoder.Identify(loadQuantizationTables: true);
            decoder.SetOutputWriter(new SampleWriter(info, pixels, largest: (1 << header.Precision) - 1));
            decoder.Decode();
        }
        catch (Exception error) when (error is not OutOfMemoryException) // the decoder does not say which errors damaged data can cause
        {
            throw Fail($"the JPEG data are damaged or of a kind that is not supported: {error.Message}", error);
        }

        ValueRange? range = info.SampleType == SampleType.UInt16 ? new ValueRange(0, (1 << header.Precision) - 1) : null;
        return new ImageBuffer(info with { DisplayRange = range }, pixels);
    }

    private JpegHeader Header() => JpegHeader.Read(Input.Content.Span) ?? throw Fail("the JPEG file is truncated or damaged: it has no frame header");

    private sealed class SampleWriter(ImageInfo info, byte[] pixels, int largest) : JpegBlockOutputWriter
    {
        public override void WriteBlock(ref short blockRef, int componentIndex, int x, int y)
        {
            int rows = Math.Min(8, info.Height - y), columns = Math.Min(8, info.Width - x);
            for (int j = 0; j < rows; j++)
            {
                for (int i = 0; i < columns; i++)
                {
                    int value = Math.Clamp((int)Unsafe.Add(ref blockRef, j * 8 + i), 0, largest);
                    int at = ((y + j) * info.Width + x + i) * info.Channels + componentIndex;
                    if (info.SampleType == SampleType.UInt8) pixels[at] = (byte)value;
                    else MemoryMarshal.Cast<byte, ushort>(pixels.AsSpan())[at] = (ushort)value;
                }
            }
        }
    }
}
