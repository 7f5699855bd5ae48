namespace DinoSharp.Images;

/// <summary>Where an image comes from: a path, or bytes that are already in memory (a tar member, an upload). A path converts implicitly.</summary>
public sealed class ImageSource
{
    private readonly ReadOnlyMemory<byte>? _content;

    private ImageSource(string name, ReadOnlyMemory<byte>? content)
    {
        Name = name;
        _content = content;
    }

    /// <summary>The path, or the name the caller gave the bytes; used in every message.</summary>
    public string Name { get; }

    /// <summary>An image file on disk; opened when it is read.</summary>
    /// <param name="path">Path of the file.</param>
    public static implicit operator ImageSource(string path) => FromPath(path);

    /// <summary>An image file on disk; opened when it is read.</summary>
    /// <param name="path">Path of the file.</param>
    public static ImageSource FromPath(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new ImageSource(path, null);
    }

    /// <summary>An image file on disk, read as its pixels are stored whatever its EXIF orientation asks for. Boxes, label maps and depth maps lie on this grid, as the field's tools read them.</summary>
    /// <param name="path">Path of the file.</param>
    public static ImageSource Stored(string path) => new(path, null) { AsStored = true };

    /// <summary>The content of an image file.</summary>
    /// <param name="content">The file's bytes; not copied, so they must not change while the image is read.</param>
    /// <param name="name">A name for messages.</param>
    public static ImageSource FromBytes(ReadOnlyMemory<byte> content, string name = "image in memory") => new(name, content);

    /// <summary>Reads a stream to its end, from where it stands. The stream stays open.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="name">A name for messages; of a file stream, its path by default.</param>
    /// <exception cref="ImageException">The stream cannot be read or holds 2 GiB or more.</exception>
    public static ImageSource FromStream(Stream stream, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        name ??= stream is FileStream file ? file.Name : "image stream";
        return new ImageSource(name, Guard(name, () =>
        {
            long expected = stream.CanSeek ? stream.Length - stream.Position : 0;
            if (expected > Array.MaxLength) throw new ImageException(name, TooLong(expected));
            using var memory = new MemoryStream((int)Math.Max(0, expected));
            stream.CopyTo(memory);
            return memory.GetBuffer().AsMemory(0, (int)memory.Length);
        }));
    }

    /// <summary>Whether the EXIF orientation is left alone.</summary>
    internal bool AsStored { get; private init; }

    /// <summary>The same source with its content in memory.</summary>
    internal ImageSource With(ReadOnlyMemory<byte> content) => new(Name, content) { AsStored = AsStored };

    /// <summary>The whole file. Read afresh on each call for a path.</summary>
    internal ReadOnlyMemory<byte> Read()
    {
        return _content ?? Guard(Name, () =>
        {
            if (Directory.Exists(Name)) throw new ImageException(Name, "this is a folder, not an image file");
            using var file = new FileStream(Name, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 1);
            if (file.CanSeek && file.Length > Array.MaxLength) throw new ImageException(Name, TooLong(file.Length));
            if (!file.CanSeek || file.Length == 0) return FromStream(file, Name)._content!.Value; // pipes, and files whose length is not known ahead (/proc)
            byte[] bytes = GC.AllocateUninitializedArray<byte>((int)file.Length);
            int read = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return bytes.AsMemory(0, read);
        });
    }

    private static ReadOnlyMemory<byte> Guard(string name, Func<ReadOnlyMemory<byte>> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new ImageException(name, "there is no such file", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new ImageException(name, $"the file cannot be read: {error.Message}", error);
        }
    }

    private static string TooLong(long length) => $"the file has {length:N0} bytes; image files of 2 GiB and more are not read. Cut it into tiles first";
}
