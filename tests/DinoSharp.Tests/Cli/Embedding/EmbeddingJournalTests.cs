using CsCheck;
using DinoSharp.Cli.Embedding;
using Xunit;

namespace DinoSharp.Tests.Cli.Embedding;

public class EmbeddingJournalTests
{
    private const string Settings = """{"model":"a"}""";

    private static readonly (string, float[])[] First = [("a.jpg", [1, 2, 3]), ("name with späces ☕.jpg", [4, 5, 6])], Second = [("c.tar/d.png", [7, 8, float.MinValue])];

    [Fact]
    public void WhatWasAppendedIsReadAgainInOrder()
    {
        using var folder = new TemporaryFolder();
        using (EmbeddingJournal journal = EmbeddingJournal.Open(folder.File("j"), Settings, 3))
        {
            journal.Append(First);
            journal.Append([]);
            Assert.Equal(2, journal.Count);
        }

        using EmbeddingJournal again = EmbeddingJournal.Open(folder.File("j"), Settings, 3);
        again.Append(Second);
        Assert.True(again.Contains("a.jpg") && !again.Contains("b.jpg"));
        Assert.Equal([.. First, .. Second], again.Read());
        Assert.Equal([.. First, .. Second], again.Read());
        again.Delete();
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void CutAnywhereItKeepsTheWholeBatchesBefore()
    {
        using var folder = new TemporaryFolder();
        long firstEnd, end;
        using (EmbeddingJournal journal = EmbeddingJournal.Open(folder.File("j"), Settings, 3))
        {
            journal.Append(First);
            firstEnd = new FileInfo(folder.File("j")).Length;
            journal.Append(Second);
            end = new FileInfo(folder.File("j")).Length;
        }

        byte[] whole = File.ReadAllBytes(folder.File("j"));
        for (long length = Settings.Length + 1; length <= end; length++)
        {
            File.WriteAllBytes(folder.File("cut"), whole[..(int)length]);
            using EmbeddingJournal cut = EmbeddingJournal.Open(folder.File("cut"), Settings, 3);
            Assert.Equal(length == end ? 3 : length >= firstEnd ? 2 : 0, cut.Count);
            cut.Append(Second);
            Assert.Equal(Second, cut.Read().TakeLast(1));
        }
    }

    [Fact]
    public void ADamagedByteDropsItsBatchAndWhatFollows() => Gen.Int[0, 1_000_000].Select(Gen.Int[1, 255]).Sample((place, change) =>
    {
        using var folder = new TemporaryFolder();
        using (EmbeddingJournal journal = EmbeddingJournal.Open(folder.File("j"), Settings, 3))
        {
            journal.Append(First);
            journal.Append(Second);
        }

        byte[] bytes = File.ReadAllBytes(folder.File("j"));
        int start = Settings.Length + 1;
        bytes[start + (place % (bytes.Length - start))] ^= (byte)change;
        File.WriteAllBytes(folder.File("j"), bytes);
        using EmbeddingJournal damaged = EmbeddingJournal.Open(folder.File("j"), Settings, 3);
        Assert.Contains(damaged.Count, (int[])[0, 2]);
        Assert.Equal(First[..damaged.Count], damaged.Read());
    }, iter: 200, threads: 1);

    [Fact]
    public void OtherSettingsOrAnotherFileAreRefusedAndKept()
    {
        using var folder = new TemporaryFolder();
        EmbeddingJournal.Open(folder.File("j"), Settings, 3).Dispose();
        string message = Assert.Throws<DinoSharpException>(() => EmbeddingJournal.Open(folder.File("j"), """{"model":"b"}""", 3)).Message;
        Assert.Contains("other settings", message);
        Assert.Contains("\"a\"", message);

        File.WriteAllText(folder.File("notes.partial"), "my notes");
        Assert.Contains("in the way", Assert.Throws<DinoSharpException>(() => EmbeddingJournal.Open(folder.File("notes.partial"), Settings, 3)).Message);
        Assert.Equal("my notes", File.ReadAllText(folder.File("notes.partial")));
    }

    [Fact]
    public void AMissingFolderIsNotTakenForAnotherRun()
    {
        using var folder = new TemporaryFolder();
        string message = Assert.Throws<DinoSharpException>(() => EmbeddingJournal.Open(folder.File("absent", "j"), Settings, 3)).Message;
        Assert.StartsWith(folder.File("absent", "j") + " cannot be written", message);
        Assert.DoesNotContain("another run", message);
    }

    [Fact]
    public void TwoRunsCannotWriteOneFile()
    {
        using var folder = new TemporaryFolder();
        using EmbeddingJournal first = EmbeddingJournal.Open(folder.File("j"), Settings, 3);
        Assert.Contains("another run", Assert.Throws<DinoSharpException>(() => EmbeddingJournal.Open(folder.File("j"), Settings, 3)).Message);
    }
}
