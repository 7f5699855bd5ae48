using System.Formats.Tar;
using System.IO.Compression;
using DinoSharp.Cli.Embedding;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Cli.Embedding;

public sealed class InputImagesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public InputImagesTests()
    {
        foreach (string name in new[] { "b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/deep/d.tif", ".git/e.jpg" })
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_folder.File(name))!);
            File.WriteAllText(_folder.File(name), name);
        }
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFolderGivesItsPicturesByNameAndAFileIsTakenOnceWhateverItsName()
    {
        Assert.Equal(["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.tif"], Names(_folder.Path));
        Assert.Equal(["notes.txt", "b.jpg", "a.PNG"], Names(_folder.File("notes.txt"), _folder.File("b.jpg"), _folder.File("a.PNG"), _folder.File("sub/../b.jpg")));
    }

    [Theory]
    [InlineData("*.jpg", new[] { "b.jpg" })]
    [InlineData("?.jpg", new[] { "b.jpg" })]
    [InlineData("*/*.webp", new[] { "sub/c.webp" })]
    [InlineData("**/*.t*", new[] { "notes.txt", "sub/deep/d.tif" })]
    [InlineData("sub/**", new[] { "sub/c.webp", "sub/deep/d.tif" })]
    [InlineData("s*/d??p/[.tif", new string[0])] // brackets are plain characters
    public void Globs(string pattern, string[] expected) => Assert.Equal(expected, Names(_folder.File(pattern)));

    [Fact]
    public void WhatIsNotThereIsListedAndTheRestGoesOn()
    {
        InputImages inputs = InputImages.Find([_folder.File("no.jpg"), _folder.File("*.gif"), _folder.File("b.jpg")]);
        Assert.Equal(1, inputs.Count(default));
        Assert.Equal(["there is no such file or folder", "no file matches"], inputs.Skipped.Select(s => s.Reason));
    }

    [Fact]
    public void ACircleOfLinksEnds()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "links need a privilege on Windows");
        Directory.CreateSymbolicLink(_folder.File("sub", "up"), _folder.Path);
        File.CreateSymbolicLink(_folder.File("sub", "link.jpg"), _folder.File("b.jpg"));
        Assert.Equal(["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.tif", "sub/link.jpg"], Names(_folder.Path));
    }

    [Theory]
    [InlineData("shard.tar")]
    [InlineData("shard.tar.gz")]
    [InlineData("shard.TGZ")]
    public void ShardsAreReadMemberByMember(string name)
    {
        WriteShard(_folder.File(name));
        InputImages inputs = InputImages.Find([_folder.File(name)]);
        Assert.Equal(name == "shard.tar" ? 2 : null, inputs.Count(default));
        List<(string Name, int Bytes)> read = [.. inputs.Read().Select(item => (item.Name, item.Open().Read().Length))];
        Assert.Equal([($"{_folder.File(name)}/0.jpg", 5000), ($"{_folder.File(name)}/x/2.png", 7)], read);
        Assert.Empty(inputs.Skipped);
    }

    [Fact]
    public void ADamagedShardGivesWhatItCanAndIsListed()
    {
        WriteShard(_folder.File("shard.tar"));
        byte[] bytes = File.ReadAllBytes(_folder.File("shard.tar"));
        File.WriteAllBytes(_folder.File("cut.tar"), bytes[..(bytes.Length / 2)]);
        File.WriteAllText(_folder.File("text.tar"), new string('x', 2000));
        InputImages inputs = InputImages.Find([_folder.File("cut.tar"), _folder.File("text.tar")]);
        int readable = 0;
        foreach ((_, Func<ImageSource> open) in inputs.Read())
        {
            open();
            readable++;
        }

        Assert.InRange(readable, 0, 1);
        Assert.Contains(inputs.Skipped, s => s.Path.EndsWith("text.tar", StringComparison.Ordinal) && s.Reason.StartsWith("the rest of the shard", StringComparison.Ordinal));
    }

    private static void WriteShard(string path)
    {
        using FileStream file = File.Create(path);
        using Stream stream = path.EndsWith(".tar", StringComparison.Ordinal) ? file : new GZipStream(file, CompressionLevel.Fastest);
        using var writer = new TarWriter(stream);
        foreach ((string name, int length) in new[] { ("0.jpg", 5000), ("0.json", 20), ("x/2.png", 7), ("x/.hidden.png", 7) })
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(new byte[length]) });
        writer.WriteEntry(new PaxTarEntry(TarEntryType.Directory, "folder.jpg"));
    }

    private string[] Names(params string[] words) =>
        [.. InputImages.Find(words).Read().Select(item => Path.GetRelativePath(_folder.Path, item.Name).Replace('\\', '/'))];
}
