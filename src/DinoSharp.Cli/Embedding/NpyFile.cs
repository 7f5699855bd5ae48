using System.Runtime.InteropServices;
using System.Text;
using DinoSharp.Weights;

namespace DinoSharp.Cli.Embedding;

/// <summary>NumPy's .npy format, version 1.0: float32, little-endian, C order.</summary>
internal static class NpyFile
{
    /// <summary>The bytes before the numbers.</summary>
    public static byte[] Header(params IEnumerable<long> shape)
    {
        long[] axes = [.. shape];
        string text = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({string.Join(", ", axes)}{(axes.Length == 1 ? "," : "")}), }}";
        text = text.PadRight(((text.Length + 11 + 63) / 64 * 64) - 11) + "\n"; // the numbers begin at a multiple of 64
        return [0x93, .. "NUMPY"u8, 1, 0, (byte)text.Length, (byte)(text.Length >> 8), .. Encoding.ASCII.GetBytes(text)];
    }

    /// <summary>Writes a whole array.</summary>
    public static void Write(string path, ReadOnlySpan<float> numbers, params ReadOnlySpan<long> shape)
    {
        byte[] header = Header([.. shape]), content = MemoryMarshal.AsBytes(numbers).ToArray();
        SafetensorsWriter.WriteBeside(path, header.Length + content.Length, stream =>
        {
            stream.Write(header);
            stream.Write(content);
        });
    }
}
