using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using DinoSharp.Training.Runs;
using Tensorboard;
using Xunit;

namespace DinoSharp.Tests.Training.Runs;

public sealed class EventLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ChecksumsAreThoseOfRfc3720()
    {
        Assert.Equal(0x8A9136AAu, EventLog.Crc32C(new byte[32]));
        Assert.Equal(0x62A8AB43u, EventLog.Crc32C(Enumerable.Repeat((byte)0xFF, 32).ToArray()));
        Assert.Equal(0x46DD794Eu, EventLog.Crc32C([.. Enumerable.Range(0, 32).Select(i => (byte)i)]));
        Assert.Equal(0x113FDB5Cu, EventLog.Crc32C([.. Enumerable.Range(0, 32).Select(i => (byte)(31 - i))]));
        Assert.Equal(0xE3069283u, EventLog.Crc32C("123456789"u8));
    }

    [Fact]
    public void TheFirstBytesAreThoseOfEveryEventFile()
    {
        using (new EventLog(_folder.Path, [], DateTimeOffset.UtcNow))
        {
        }

        // A record of 24 bytes (time and "brain.Event:2") and the masked checksum of that length.
        byte[] start = File.ReadAllBytes(_folder.File(EventLog.FileName))[..12];
        Assert.Equal([0x18, 0, 0, 0, 0, 0, 0, 0, 0xA3, 0x7F, 0x4B, 0x22], start);
    }

    [Fact]
    public void FiguresAreReadBack()
    {
        using (var log = new EventLog(_folder.Path, [Line("""{"step": 3, "total_loss": 1.5, "lr": 0.25, "phase": "first", "gram_loss": null, "time": 12.5}""")], DateTimeOffset.UnixEpoch))
        {
            log.Write(Line("""{"step": 7, "student": "small", "images_per_second": 4, "knn_top1": 0.5}"""));
        }

        Event[] events = Read(_folder.File(EventLog.FileName));
        Assert.Equal(["brain.Event:2", "", ""], events.Select(e => e.FileVersion));
        Assert.Equal((3, 12.5), (events[1].Step, events[1].WallTime));
        Assert.Equal([("losses/total_loss", 1.5f), ("schedules/lr", 0.25f)], events[1].Summary.Value.Select(v => (v.Tag, v.SimpleValue)));
        Assert.Equal([("small/machine/images_per_second", 4f), ("small/features/knn_top1", 0.5f)], events[2].Summary.Value.Select(v => (v.Tag, v.SimpleValue)));
    }

    /// <summary>An event file by the book: every length and every checksum is verified, bit by bit.</summary>
    internal static Event[] Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        var events = new List<Event>();
        for (int at = 0; at < file.Length;)
        {
            int length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(file.AsSpan(at)));
            Assert.Equal(Masked(file.AsSpan(at, 8)), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 8)));
            Assert.Equal(Masked(file.AsSpan(at + 12, length)), BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 12 + length)));
            events.Add(Event.Parser.ParseFrom(file, at + 12, length));
            at += 16 + length;
        }

        return [.. events];
    }

    private static uint Masked(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78);
        }

        crc = ~crc;
        return ((crc >> 15) | (crc << 17)) + 0xA282EAD8;
    }

    private static JsonObject Line(string text) => (JsonObject)JsonNode.Parse(Encoding.UTF8.GetBytes(text))!;
}
