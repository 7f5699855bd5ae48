using System.Buffers.Binary;

namespace DinoSharp.Images.Decoding;

/// <summary>DICOM run-length coding: one PackBits segment for each byte of each sample, most significant byte first.</summary>
internal static class DicomRunLength
{
    private const int HeaderSize = 64;

    /// <summary>Expands one frame into interleaved little-endian samples; returns how many of its bytes were found.</summary>
    public static int Expand(ReadOnlySpan<byte> coded, int bytesPerSample, int samples, Span<byte> frame)
    {
        int planes = bytesPerSample * samples, pixels = frame.Length / planes, found = 0;
        if (coded.Length < HeaderSize || BinaryPrimitives.ReadUInt32LittleEndian(coded) != planes) return 0;
        for (int plane = 0; plane < planes; plane++)
        {
            uint start = BinaryPrimitives.ReadUInt32LittleEndian(coded[(4 + 4 * plane)..]);
            if (start < HeaderSize || start > coded.Length) continue;
            int sample = plane / bytesPerSample, significance = bytesPerSample - 1 - plane % bytesPerSample;
            found += ExpandSegment(coded[(int)start..], pixels, frame[(sample * bytesPerSample + significance)..], planes);
        }

        return found;
    }

    private static int ExpandSegment(ReadOnlySpan<byte> coded, int pixels, Span<byte> to, int stride)
    {
        int at = 0, pixel = 0;
        while (pixel < pixels && at < coded.Length)
        {
            int code = (sbyte)coded[at++];
            if (code >= 0)
            {
                for (int i = 0; i <= code && at < coded.Length && pixel < pixels; i++) to[pixel++ * stride] = coded[at++];
            }
            else if (code != -128 && at < coded.Length)
            {
                byte value = coded[at++];
                for (int i = 0; i <= -code && pixel < pixels; i++) to[pixel++ * stride] = value;
            }
        }

        return pixel;
    }
}
