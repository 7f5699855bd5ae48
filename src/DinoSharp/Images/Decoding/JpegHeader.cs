using System.Buffers.Binary;

namespace DinoSharp.Images.Decoding;

/// <summary>The few facts of a JPEG header that decide how it is decoded.</summary>
/// <param name="StartOfFrame">0 baseline, 1 extended, 2 progressive, 3 lossless, …</param>
/// <param name="Precision">Bits of a sample.</param>
/// <param name="Height">Rows.</param>
/// <param name="Width">Columns.</param>
/// <param name="Components">Bands.</param>
internal sealed record JpegHeader(int StartOfFrame, int Precision, int Height, int Width, int Components)
{
    /// <summary>More than 8 bits, or lossless: kinds that the native decoder does not have and DICOM uses.</summary>
    public bool NeedsManagedDecoder => Precision != 8 || StartOfFrame == 3;

    /// <summary>Walks the markers up to the frame header; null if there is none (the decoder then says what is wrong).</summary>
    public static JpegHeader? Read(ReadOnlySpan<byte> file)
    {
        for (int at = 2; at + 4 <= file.Length;)
        {
            if (file[at] != 0xFF)
            {
                at++; // garbage between markers, which libjpeg skips, too
                continue;
            }

            byte marker = file[at + 1];
            if (marker == 0xFF)
            {
                at++; // fill byte
                continue;
            }

            if (marker is 0x01 or (>= 0xD0 and <= 0xD7))
            {
                at += 2;
                continue;
            }

            int length = BinaryPrimitives.ReadUInt16BigEndian(file[(at + 2)..]);
            if (length < 2 || at + 2 + length > file.Length) return null;
            ReadOnlySpan<byte> body = file.Slice(at + 4, length - 2);
            if (marker is >= 0xC0 and <= 0xCF and not (0xC4 or 0xC8 or 0xCC))
            {
                return body.Length < 6 ? null : new JpegHeader(
                    marker - 0xC0, body[0], BinaryPrimitives.ReadUInt16BigEndian(body[1..]), BinaryPrimitives.ReadUInt16BigEndian(body[3..]), body[5]);
            }

            if (marker is 0xD9 or 0xDA) return null;
            at += 2 + length;
        }

        return null;
    }
}
