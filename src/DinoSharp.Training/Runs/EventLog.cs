using System.Buffers.Binary;
using System.Numerics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Google.Protobuf;
using Tensorboard;

namespace DinoSharp.Training.Runs;

/// <summary>The figures of a run as TensorBoard reads them: TFRecord frames around event messages. It holds nothing that the figures do not, so it is made from them anew whenever a run goes on.</summary>
internal sealed class EventLog : IDisposable
{
    /// <summary>TensorBoard takes files whose name has "tfevents" in it.</summary>
    public const string FileName = "events.out.tfevents.dinosharp";

    private readonly string _folder;
    private readonly FileStream _stream;

    /// <summary>Replaces the file by one of the lines so far.</summary>
    /// <param name="folder">Folder of the run.</param>
    /// <param name="lines">Lines of the figures, by ascending step.</param>
    /// <param name="since">Time of lines that have none, from before it was noted.</param>
    public EventLog(string folder, IEnumerable<JsonObject> lines, DateTimeOffset since)
    {
        _folder = folder;
        string path = Path.Combine(folder, FileName);
        using var all = new MemoryStream();
        WriteRecord(all, new Event { WallTime = Seconds(since), FileVersion = "brain.Event:2" }.ToByteArray());
        foreach (JsonObject line in lines) WriteRecord(all, Message(line, since).ToByteArray());
        Weights.SafetensorsWriter.WriteBeside(path, all.Length, stream => all.WriteTo(stream));
        _stream = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read);
    }

    /// <summary>Adds a line of the figures.</summary>
    public void Write(JsonObject line)
    {
        WriteRecord(_stream, Message(line, DateTimeOffset.UtcNow).ToByteArray());
        _stream.Flush();
    }

    public void Dispose() => _stream.Dispose();

    /// <summary>Seconds since 1970.</summary>
    public static double Seconds(DateTimeOffset time) => time.ToUnixTimeMilliseconds() / 1000.0;

    /// <summary>Length, its checksum, the record, its checksum; all little-endian.</summary>
    public static void WriteRecord(Stream stream, ReadOnlySpan<byte> record)
    {
        Span<byte> head = stackalloc byte[12], tail = stackalloc byte[4];
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)record.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], MaskedChecksum(head[..8]));
        BinaryPrimitives.WriteUInt32LittleEndian(tail, MaskedChecksum(record));
        stream.Write(head);
        stream.Write(record);
        stream.Write(tail);
    }

    /// <summary>CRC-32C, turned and shifted, because a checksum of data that itself holds checksums is weak (TensorFlow's TFRecord format).</summary>
    public static uint MaskedChecksum(ReadOnlySpan<byte> data)
    {
        uint crc = Crc32C(data);
        return BitOperations.RotateRight(crc, 15) + 0xA282EAD8;
    }

    /// <summary>CRC-32C (Castagnoli) as in RFC 3720, appendix B.4.</summary>
    public static uint Crc32C(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        for (; data.Length >= 8; data = data[8..]) crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
        foreach (byte value in data) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    // Every number of the line under its group; a line of the monitor also carries its picture.
    private Event Message(JsonObject line, DateTimeOffset since)
    {
        long step = (long)line["step"]!;
        string? student = (string?)line["student"];
        var summary = new Summary();
        foreach ((string key, JsonNode? node) in line)
        {
            if (key is not ("step" or "time") && node?.GetValueKind() == JsonValueKind.Number) summary.Value.Add(new Summary.Types.Value { Tag = Tag(key, student), SimpleValue = (float)node });
        }

        if (line.ContainsKey(RunFigures.Locality) && RunFigures.PictureOf(_folder, step, student) is var picture && File.Exists(picture))
        {
            var image = new Summary.Types.Image { Colorspace = 3, EncodedImageString = ByteString.CopyFrom(File.ReadAllBytes(picture)) };
            (image.Width, image.Height) = (BinaryPrimitives.ReadInt32BigEndian(image.EncodedImageString.Span[16..]), BinaryPrimitives.ReadInt32BigEndian(image.EncodedImageString.Span[20..])); // of the PNG header
            summary.Value.Add(new Summary.Types.Value { Tag = Tag("dense", student), Image = image });
        }

        return new Event { WallTime = (double?)line["time"] ?? Seconds(since), Step = step, Summary = summary };
    }

    private static string Tag(string key, string? student)
    {
        string group = key switch
        {
            "lr" or "last_layer_lr" or "wd" or "mom" or "teacher_temp" => "schedules",
            "images_per_second" or "loader_wait_share" or "memory_bytes" => "machine",
            _ when key.EndsWith("_weight", StringComparison.Ordinal) => "schedules",
            _ when key.EndsWith("_loss", StringComparison.Ordinal) => "losses",
            _ when key.EndsWith("_norm", StringComparison.Ordinal) => "gradients",
            _ => "features",
        };
        return student is null ? $"{group}/{key}" : $"{student}/{group}/{key}";
    }
}
