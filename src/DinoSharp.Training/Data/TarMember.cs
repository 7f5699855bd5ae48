using System.IO.Compression;
using DinoSharp.Images;
using Microsoft.Win32.SafeHandles;

namespace DinoSharp.Training.Data;

/// <summary>Where a file lies inside a tar file.</summary>
/// <param name="Tar">Path of the tar file.</param>
/// <param name="Name">Its name inside.</param>
/// <param name="Offset">First byte of its content.</param>
/// <param name="Length">Bytes of its content.</param>
internal readonly record struct TarMember(string Tar, string Name, long Offset, int Length)
{
    /// <summary>The content. A file that is itself gzip-compressed is decompressed (some of ImageNet-22k are).</summary>
    /// <exception cref="ImageException">The tar file is gone, shorter than it was when it was listed, or cannot be read.</exception>
    public byte[] ReadContent()
    {
        try
        {
            byte[] content = GC.AllocateUninitializedArray<byte>(Length);
            using SafeFileHandle file = File.OpenHandle(Tar);
            for (int done = 0; done < Length;)
            {
                int read = RandomAccess.Read(file, content.AsSpan(done), Offset + done);
                if (read == 0) throw new ImageException($"{Tar}/{Name}", $"the tar file ends {Length - done} bytes before the image does; it is truncated or was changed");
                done += read;
            }

            return content is [0x1f, 0x8b, ..] ? Decompress(content) : content;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new ImageException($"{Tar}/{Name}", error.Message, error);
        }
    }

    private static byte[] Decompress(byte[] content)
    {
        using var gzip = new GZipStream(new MemoryStream(content), CompressionMode.Decompress);
        using var result = new MemoryStream();
        gzip.CopyTo(result);
        return result.ToArray();
    }
}
