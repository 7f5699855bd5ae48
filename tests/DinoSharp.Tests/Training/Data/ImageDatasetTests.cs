using System.Formats.Tar;
using System.IO.Compression;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Data.Synthetic;
using Xunit;

namespace DinoSharp.Tests.Training.Data;

public sealed class ImageDatasetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void AFolderIsListedSortedAtAnyDepthWithItsClasses()
    {
        Picture("data/cat/2.png", 2);
        Picture("data/cat/deep/er/1.PNG", 1);
        Picture("data/ant/9.png", 9);
        Picture("data/.hidden/8.png", 8);
        Write("data/cat/notes.txt", "no image");
        FileDataset data = ImageFolder.Open(At("data"));
        Assert.Equal(["ant", "cat"], data.Classes);
        Assert.Equal([9, 2, 1], Tones(data));
        Assert.Equal([0, 1, 1], Enumerable.Range(0, 3).Select(i => data.LabelOf(i)!.Value));
        Picture("data/beside.png", 3);
        Assert.Empty(ImageFolder.Open(At("data")).Classes);
        Assert.Equal(4, ImageFolder.Open(At("data"), labelled: false).Count);
        Assert.Contains("beside.png", Assert.Throws<DinoSharpException>(() => ImageFolder.Open(At("data"), labelled: true)).Message);
    }

    [Fact]
    public void LinksAreFollowedButNotForEver()
    {
        Picture("real/a.png", 1);
        Directory.CreateDirectory(At("data"));
        Directory.CreateSymbolicLink(At("data/link"), At("real"));
        Directory.CreateSymbolicLink(At("real/back"), At("data"));
        Assert.Equal([1], Tones(ImageFolder.Open(At("data"))));
    }

    [Fact]
    public void FoldersThatAreNoneAreNamed()
    {
        Assert.Contains(At("none"), Assert.Throws<DinoSharpException>(() => ImageFolder.Open(At("none"))).Message);
        Directory.CreateDirectory(At("empty"));
        Assert.Contains(".jpg", Assert.Throws<DinoSharpException>(() => ImageFolder.Open(At("empty"))).Message);
        Assert.Contains("is a file", Assert.Throws<DinoSharpException>(() => ImageFolder.Open(Write("a.txt", ""))).Message);
    }

    [Theory]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void TarShardsAreReadInPlaceWithTheirClasses(TarEntryFormat format)
    {
        string longName = new string('n', 90) + "/" + new string('m', format == TarEntryFormat.Ustar ? 40 : 120);
        Tar("s-00.tar", format, ("000.png", Png(10)), ("000.cls", "dog"u8.ToArray()), ("sub/001.png", Png(11)), ("sub/001.json", "{\"label\": \"cat\"}"u8.ToArray()), ("readme.txt", "x"u8.ToArray()));
        Tar("s-01.tar", format, (longName + ".png", Png(12)), (longName + ".cls", "dog\n"u8.ToArray()));
        foreach (string path in (string[])[At(""), At("s-{00..01}.tar"), At("s-*.tar")])
        {
            TarDataset data = TarShards.Open(path);
            Assert.Equal([10, 11, 12], Tones(data));
            Assert.Equal(["cat", "dog"], data.Classes);
            Assert.Equal([1, 0, 1], Enumerable.Range(0, 3).Select(i => data.LabelOf(i)!.Value));
            Assert.Equal(At("s-00.tar") + "/sub/001.png", data.PathOf(1));
        }

        Assert.Equal(1, TarShards.Open(At("s-01.tar")).Count);
    }

    [Fact]
    public void TarsThatCannotBeUsedAreNamed()
    {
        Assert.Contains("no tar files", Assert.Throws<DinoSharpException>(() => TarShards.Open(At("nothing-*.tar"))).Message);
        Write("noise.tar", new string('x', 2000));
        Assert.Contains("noise.tar", Assert.Throws<DinoSharpException>(() => TarShards.Open(At("noise.tar"))).Message);
        Tar("text.tar", TarEntryFormat.Pax, ("a.txt", [1, 2, 3]));
        Assert.Contains("no images", Assert.Throws<DinoSharpException>(() => TarShards.Open(At("text.tar"))).Message);
        using (var gzip = new GZipStream(File.Create(At("zip.tar")), CompressionLevel.Fastest)) gzip.Write(new byte[2000]);
        Assert.Contains("gunzip", Assert.Throws<DinoSharpException>(() => TarShards.Open(At("zip.tar"))).Message);
        Tar("cut.tar", TarEntryFormat.Pax, ("a.png", Png(1)));
        TarDataset data = TarShards.Open(At("cut.tar"));
        using (FileStream file = File.OpenWrite(At("cut.tar"))) file.SetLength(1500);
        Assert.Contains("truncated", Assert.Throws<ImageException>(() => data.Read(0)).Message);
    }

    [Fact]
    public void LabelsThatAreMissingOrBrokenStopNobodyWhoNeedsNone()
    {
        Tar("l-00.tar", TarEntryFormat.Pax, ("a.png", Png(1)), ("a.cls", "dog"u8.ToArray()), ("b.png", Png(2)), ("c.png", Png(3)), ("c.json", "{\"label\": "u8.ToArray()), ("d.png", Png(4)), ("d.cls", " "u8.ToArray()));
        Tar("l-01.tar", TarEntryFormat.Pax, ("notes.txt", "no image"u8.ToArray()));
        Tar("l-02.tar", TarEntryFormat.Pax, ("e.png", Png(5)), ("e.json", "{\"label\": \"cat\"}"u8.ToArray()));
        TarDataset shards = TarShards.Open(At("l-*.tar"));
        Assert.Equal([1, 2, 3, 4, 5], Tones(shards));
        Assert.Equal(["cat", "dog"], shards.Classes);
        Assert.Equal([1, null, null, null, 0], Enumerable.Range(0, 5).Select(shards.LabelOf));

        FileDataset list = Manifest.Open(Write("list.csv", "path,label\na.png,3\nb.png,\n"));
        Assert.Equal([3, null], Enumerable.Range(0, 2).Select(list.LabelOf));
        FileDataset keys = Manifest.Open(Write("keys.csv", "path,label\na.png,20000001\nb.png,7\n")); // no numbers of classes counted from 0
        Assert.Equal(["20000001", "7"], keys.Classes);
        Assert.Contains("has a label -2", Assert.Throws<DinoSharpException>(() => new FileDataset("x", ["a"], [-2], ["one"])).Message);
    }

    [Fact]
    public void ManifestsNameFilesAndClasses()
    {
        Picture("pictures/a, b.png", 1);
        Picture("pictures/c.png", 2);
        string csv = Write("list.csv", "id,image,label\n7,\"pictures/a, b.png\",red\n\n8,pictures/c.png,blue\n");
        string tsv = Write("list.tsv", "path\npictures/c.png\n");
        string jsonl = Write("list.jsonl", "{\"file\": \"pictures/c.png\", \"class\": 3}\n\n{\"file\": \"" + At("pictures/a, b.png").Replace("\\", "\\\\") + "\", \"class\": 0}\n");
        FileDataset table = Manifest.Open(csv), lines = Manifest.Open(jsonl);
        Assert.Equal([1, 2], Tones(table));
        Assert.Equal(["blue", "red"], table.Classes);
        Assert.Equal(1, table.LabelOf(0));
        Assert.Equal([2], Tones(Manifest.Open(tsv)));
        Assert.Empty(Manifest.Open(tsv).Classes);
        Assert.Equal([2, 1], Tones(lines));
        Assert.Equal(4, lines.Classes.Count);
        Assert.Equal(3, lines.LabelOf(0));
    }

    [Theory]
    [InlineData("x.csv", "name,size\na,1\n", "image")]
    [InlineData("x.csv", "path,label\na.png\n", "x.csv")]
    [InlineData("x.csv", "path,label\na.png,1\n,2\n", "line 3")]
    [InlineData("x.csv", "", "empty")]
    [InlineData("x.jsonl", "{\"path\": \"a\"}\n{oops\n", "line 2")]
    [InlineData("x.jsonl", "[1]\n", "line 1")]
    [InlineData("x.yaml", "a", ".jsonl")]
    public void WrongManifestsSayWhere(string name, string text, string expected)
    {
        string path = Write(name, text);
        Assert.Contains(expected, Assert.Throws<DinoSharpException>(() => Manifest.Open(path)).Message);
    }

    [Fact]
    public void AMissingOrBrokenImageIsAnErrorWhenItIsRead()
    {
        FileDataset data = Manifest.Open(Write("list.csv", "path\ngone.png\nbroken.png\n"));
        Write("broken.png", "no picture");
        Assert.Contains("gone.png", Assert.Throws<ImageException>(() => data.Read(0)).Message);
        Assert.Contains("broken.png", Assert.Throws<ImageException>(() => data.Read(1)).Message);
    }

    [Fact]
    public void MixturesKeepTheirSharesInEveryStretch()
    {
        var mixed = new MixedDataset([(new SyntheticDataset(count: 50), 3), (new SyntheticDataset(new SyntheticOptions { Seed = 1 }, 1000), 1), (new SyntheticDataset(new SyntheticOptions { Seed = 2 }, 7), 0.00001)]);
        Assert.Equal(1057, mixed.Count);
        Assert.Contains("seed=1", mixed.PathOf(50));
        Assert.Contains("seed=2", mixed.PathOf(1056));
        var stream = new SampleStream(mixed, SamplerKind.Infinite, true, 3, 0, 1);
        int[] order = [.. stream.From(0).Take(3 * 4096)];
        for (int stretch = 0; stretch < 3; stretch++)
        {
            int[] part = order[(stretch * 4096)..((stretch + 1) * 4096)];
            Assert.InRange(part.Count(i => i < 50), 3070, 3073);
            Assert.InRange(part.Count(i => i is >= 50 and < 1050), 1022, 1025);
            Assert.Equal(1, part.Count(i => i >= 1050));
        }

        Assert.Equal(50, order.Where(i => i < 50).Take(50).Distinct().Count()); // each source by permutations of its own
        Assert.Equal(1000, order.Where(i => i is >= 50 and < 1050).Take(1000).Distinct().Count());
        foreach (int from in (int[])[1, 4095, 4096, 9000]) Assert.Equal(order[from..], stream.From(from).Take(order.Length - from));
        Assert.Equal(50..1050, mixed.SourceOf(700));
        Assert.Throws<DinoSharpException>(() => new MixedDataset([(new SyntheticDataset(), 0)]));
    }

    [Fact]
    public void ThePretrainingPoolIsReadFromItsShards()
    {
        TarDataset pool = TarShards.Open(Repository.Shared("data/pretrain"));
        Assert.Equal(12000, pool.Count);
        for (int i = 0; i < 12000; i += 1500) Assert.Equal(128, Math.Min(pool.Read(i).Width, pool.Read(i).Height));
    }

    [Fact]
    public void FolderOfAwkwardFilesGivesPicturesOrErrorsThatNameThem()
    {
        FileDataset odd = ImageFolder.Open(Repository.Shared("data/odd"), labelled: false, new ImageReadOptions { MaxPixels = 20_000_000 });
        int good = 0;
        for (int i = 0; i < odd.Count; i++)
        {
            try
            {
                good += odd.Read(i).Width > 0 ? 1 : 0;
            }
            catch (ImageException error)
            {
                Assert.Contains(Path.GetFileName(odd.PathOf(i)), error.Message);
            }
        }

        Assert.True(good > odd.Count / 2);
    }

    private static IEnumerable<int> Tones(ImageDataset data) => Enumerable.Range(0, data.Count).Select(i => (int)data.Read(i).Bytes[0]);

    private string At(string name) => Path.Combine(_folder.Path, name.Replace('/', Path.DirectorySeparatorChar)).TrimEnd(Path.DirectorySeparatorChar);

    private string Write(string name, string text)
    {
        File.WriteAllText(At(name), text);
        return At(name);
    }

    private void Picture(string name, byte tone)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(At(name))!);
        File.WriteAllBytes(At(name), Png(tone));
    }

    private byte[] Png(byte tone)
    {
        string path = At($"tone{tone}.png.tmp.png");
        ImageBuffer.FromSamples<byte>(30, 20, 3, [.. Enumerable.Repeat(tone, 1800)]).Save(path);
        byte[] bytes = File.ReadAllBytes(path);
        File.Delete(path);
        return bytes;
    }

    private void Tar(string name, TarEntryFormat format, params (string Name, byte[] Content)[] files)
    {
        using var writer = new TarWriter(File.Create(At(name)), format);
        foreach ((string file, byte[] content) in files)
        {
            TarEntry entry = format switch
            {
                TarEntryFormat.Ustar => new UstarTarEntry(TarEntryType.RegularFile, file),
                TarEntryFormat.Gnu => new GnuTarEntry(TarEntryType.RegularFile, file),
                _ => new PaxTarEntry(TarEntryType.RegularFile, file),
            };
            entry.DataStream = new MemoryStream(content);
            writer.WriteEntry(entry);
        }
    }
}
