using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace DinoSharp.Weights;

/// <summary>
/// Read access to a file of any size through short-lived memory maps. Only a window is mapped at a time, so mapped pages never add up to
/// the size of the file, and the length is checked again before each window: a map that reaches past the end of a file that was cut short
/// in the meantime would end the process. Safe for concurrent use.
/// </summary>
internal sealed class MappedFile : IDisposable
{
    /// <summary>Largest piece read at once while copying; a multiple of every element size.</summary>
    public const int WindowBytes = 32 << 20;

    private readonly SafeFileHandle _handle;
    private readonly MemoryMappedFile _map;

    private readonly DateTime _written;

    private MappedFile(string path, SafeFileHandle handle, MemoryMappedFile map, long length)
    {
        (Path, _handle, _map, Length, _written) = (path, handle, map, length, File.GetLastWriteTimeUtc(handle));
    }

    public string Path { get; }

    public long Length { get; }

    public static MappedFile Open(string path)
    {
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            long length = RandomAccess.GetLength(handle);
            if (length == 0) throw new TensorFileException(path, "the file is empty");
            return new MappedFile(
                path,
                handle,
                MemoryMappedFile.CreateFromFile(handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true),
                length);
        }
        catch (Exception error)
        {
            handle?.Dispose();
            if (error is FileNotFoundException or DirectoryNotFoundException) throw new TensorFileException(path, "there is no such file", error);
            if (error is IOException or UnauthorizedAccessException or NotSupportedException)
                throw new TensorFileException(path, $"cannot be opened: {error.Message}", error);
            throw;
        }
    }

    /// <summary>Maps a range that lies inside the file. Dispose the result before the file.</summary>
    public MappedRange Map(long offset, int length)
    {
        if (offset < 0 || length < 0 || offset > Length - length)
            throw new TensorFileException(Path, $"wanted bytes {offset} to {offset + length} of a file of {Length}: it is truncated or damaged");
        try
        {
            if (RandomAccess.GetLength(_handle) < Length)
                throw new TensorFileException(Path, $"was cut short while it was read: it had {Length} bytes and has {RandomAccess.GetLength(_handle)}");
            return new MappedRange(length == 0 ? null : _map.CreateViewAccessor(offset, length, MemoryMappedFileAccess.Read), length);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TensorFileException(Path, $"cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Copies a range that lies inside the file. Reading costs less than faulting in the pages of a map.</summary>
    public void ReadInto(long offset, Span<byte> target)
    {
        if (offset < 0 || offset > Length - target.Length)
            throw new TensorFileException(Path, $"wanted bytes {offset} to {offset + target.Length} of a file of {Length}: it is truncated or damaged");
        try
        {
            while (target.Length > 0)
            {
                int count = RandomAccess.Read(_handle, target, offset);
                if (count == 0) throw new TensorFileException(Path, $"was cut short while it was read: it had {Length} bytes and has {RandomAccess.GetLength(_handle)}");
                target = target[count..];
                offset += count;
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TensorFileException(Path, $"cannot be read: {error.Message}", error);
        }
    }

    /// <summary>For what is read long after opening. A file that was replaced or deleted stays what it was behind this handle; one that was written into does not.</summary>
    /// <exception cref="TensorFileException">It is not what was opened.</exception>
    public void RequireUnchanged()
    {
        if (RandomAccess.GetLength(_handle) == Length && File.GetLastWriteTimeUtc(_handle) == _written) return;
        throw new TensorFileException(Path, "was changed after it was opened, so that its weights no longer fit together; load the model again (and write new weights beside the file and rename them, not into it)");
    }

    /// <summary>Copies a small range into managed memory.</summary>
    public byte[] ReadBytes(long offset, int length)
    {
        using MappedRange range = Map(offset, length);
        return range.Bytes.ToArray();
    }

    public void Dispose()
    {
        _map.Dispose();
        _handle.Dispose();
    }
}

/// <summary>A mapped part of a <see cref="MappedFile"/>, valid until disposed.</summary>
internal sealed unsafe class MappedRange : IDisposable
{
    private readonly MemoryMappedViewAccessor? _view;
    private readonly byte* _start;
    private readonly int _length;

    internal MappedRange(MemoryMappedViewAccessor? view, int length)
    {
        (_view, _length) = (view, length);
        if (view is null) return;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
        _start += view.PointerOffset;
    }

    public ReadOnlySpan<byte> Bytes => new(_start, _length);

    public void Dispose()
    {
        if (_view is null) return;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
    }
}
