using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace DinoSharp.Cli.Embedding;

/// <summary>
/// The embeddings of a run so far, in a file beside the result. Each batch is appended as one record with a checksum, so a run that is stopped, killed or out
/// of disk keeps every finished batch, and the next run of the same command goes on behind it.
/// </summary>
/// <remarks>
/// A line of JSON with the settings, then records: u32 length of the payload, u32 CRC-32C of it, payload. Payload: for each picture u32 length of the name, the
/// name in UTF-8, float32 × dimensions. All little-endian. A record that is cut off or damaged ends the file; it and what follows are dropped.
/// </remarks>
internal sealed class EmbeddingJournal : IDisposable
{
    private readonly FileStream _file;
    private readonly int _dim;
    private readonly long _start;
    private readonly HashSet<string> _names = [];

    private EmbeddingJournal(string path, FileStream file, int dim, long start) => (Path, _file, _dim, _start) = (path, file, dim, start);

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Number of embeddings in the file.</summary>
    public int Count => _names.Count;

    /// <summary>Opens the file or begins it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="settings">One line of text that decides the numbers; a file begun with other settings is refused.</param>
    /// <param name="dim">Numbers of an embedding.</param>
    /// <exception cref="DinoSharpException">It was begun with other settings, is no such file, or is in use by another run.</exception>
    public static EmbeddingJournal Open(string path, string settings, int dim)
    {
        FileStream file;
        try
        {
            // Without a buffer: a write that fails must not be tried again when the file is cut back or closed.
            file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DinoSharpException($"{path} cannot be written: {e.Message}", e);
        }
        catch (IOException e)
        {
            throw new DinoSharpException($"{path} cannot be opened; is another run writing it? {e.Message}", e);
        }

        try
        {
            byte[] header = Encoding.UTF8.GetBytes(settings + "\n");
            var journal = new EmbeddingJournal(path, file, dim, header.Length);
            if (file.Length == 0) journal.Append(header);
            else journal.CheckHeader(header, settings);
            journal.DropUnfinished();
            return journal;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Whether a picture is in the file.</summary>
    public bool Contains(string name) => _names.Contains(name);

    /// <summary>Appends the embeddings of a batch and hands them to the operating system, so that they survive the end of the process.</summary>
    /// <exception cref="IOException">The disk is full or fails. Nothing of the batch stays in the file.</exception>
    public void Append(IReadOnlyCollection<(string Name, float[] Vector)> batch)
    {
        if (batch.Count == 0) return;
        using var record = new MemoryStream();
        record.Write(new byte[8]);
        foreach ((string name, float[] vector) in batch)
        {
            byte[] text = Encoding.UTF8.GetBytes(name);
            record.Write(Number(text.Length));
            record.Write(text);
            record.Write(MemoryMarshal.AsBytes<float>(vector));
        }

        byte[] bytes = record.ToArray();
        BinaryPrimitives.WriteInt32LittleEndian(bytes, bytes.Length - 8);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), Checksum(bytes.AsSpan(8)));
        Append(bytes);
        foreach ((string name, _) in batch) _names.Add(name);
    }

    /// <summary>Reads the embeddings from the beginning, in the order in which they were added, one record in memory at a time.</summary>
    public IEnumerable<(string Name, float[] Vector)> Read()
    {
        for (long position = _start; ReadRecord(position) is { } payload; position += 8 + payload.Length)
        {
            foreach ((string Name, float[] Vector) item in Parse(payload)) yield return item;
        }
    }

    /// <summary>Closes the file and removes it: its content has reached its destination.</summary>
    public void Delete()
    {
        _file.Dispose();
        File.Delete(Path);
    }

    public void Dispose() => _file.Dispose();

    private static byte[] Number(int value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        return bytes;
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes)) crc = BitOperations.Crc32C(crc, word);
        foreach (byte rest in bytes[(bytes.Length & ~7)..]) crc = BitOperations.Crc32C(crc, rest);
        return ~crc;
    }

    private void Append(byte[] bytes)
    {
        long end = _file.Length;
        try
        {
            _file.Position = end;
            _file.Write(bytes);
        }
        catch (Exception e) when (e is IOException or ArgumentOutOfRangeException)
        {
            _file.SetLength(end);
            if (e is IOException) throw;
            throw new IOException("the file system or a limit of the shell allows no larger file", e); // how .NET reports EFBIG
        }
    }

    private void CheckHeader(byte[] header, string settings)
    {
        byte[] found = new byte[Math.Min(_file.Length, 65536)];
        _file.ReadExactly(found);
        if (found.AsSpan().StartsWith(header)) return;
        int end = found.AsSpan().IndexOf((byte)'\n');
        string begun = end > 0 ? Encoding.UTF8.GetString(found, 0, end) : "";
        if (!begun.StartsWith('{')) throw new DinoSharpException($"{Path} is in the way: it is not the beginning of a run of 'dino embed'. Move it or delete it");
        throw new DinoSharpException($"{Path} was begun with other settings:{Environment.NewLine}  then {begun}{Environment.NewLine}  now  {settings}{Environment.NewLine}Run again with those, or delete the file to start over");
    }

    private void DropUnfinished()
    {
        long position = _start;
        while (ReadRecord(position) is { } payload)
        {
            foreach ((string name, _) in Parse(payload)) _names.Add(name);
            position += 8 + payload.Length;
        }

        _file.SetLength(position);
    }

    private byte[]? ReadRecord(long position)
    {
        if (position + 8 > _file.Length) return null;
        Span<byte> head = stackalloc byte[8];
        _file.Position = position;
        _file.ReadExactly(head);
        int length = BinaryPrimitives.ReadInt32LittleEndian(head);
        if (length <= 0 || position + 8 + length > _file.Length) return null;
        byte[] payload = new byte[length];
        _file.ReadExactly(payload);
        return Checksum(payload) == BinaryPrimitives.ReadUInt32LittleEndian(head[4..]) ? payload : null;
    }

    private IEnumerable<(string Name, float[] Vector)> Parse(byte[] payload)
    {
        for (int at = 0; at < payload.Length;)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(payload.AsSpan(at));
            string name = Encoding.UTF8.GetString(payload, at + 4, length);
            at += 4 + length;
            yield return (name, MemoryMarshal.Cast<byte, float>(payload.AsSpan(at, _dim * 4)).ToArray());
            at += _dim * 4;
        }
    }
}
