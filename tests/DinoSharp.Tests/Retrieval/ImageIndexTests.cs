using CsCheck;
using DinoSharp.Images;
using DinoSharp.Retrieval;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Retrieval;

public sealed class ImageIndexTests : IDisposable
{
    private static readonly IndexSettings Settings = new("test", "1", "ClassToken", null);

    private readonly TemporaryFolder _folder = new();
    private int _computed;

    private string Index => _folder.File("index");

    public void Dispose() => _folder.Dispose();

    // A file whose "picture" is a list of numbers, and an "embedding" that reads it.
    private string Picture(string name, params float[] vector)
    {
        string path = _folder.File(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, string.Join(' ', vector));
        return path;
    }

    private IEnumerable<IReadOnlyList<(float[]?, ImageException?)>> Embed(IEnumerable<IReadOnlyList<ImageSource>> batches)
    {
        foreach (IReadOnlyList<ImageSource> batch in batches)
        {
            _computed += batch.Count;
            yield return [.. batch.Select(source =>
            {
                string text = System.Text.Encoding.UTF8.GetString(source.Read().Span);
                return text.StartsWith('!') ? ((float[]?)null, new ImageException(source.Name, "broken")) : (text.Split(' ').Select(float.Parse).ToArray(), null);
            })];
        }
    }

    private IndexUpdate Update(params IEnumerable<string> files)
    {
        using IndexWriter writer = IndexWriter.Open(Index, Settings);
        return writer.Update(files, 3, Embed, [_folder.Path], null, default);
    }

    [Fact]
    public void WhatIsAddedIsFound()
    {
        string a = Picture("a", 1, 0), b = Picture("b", 0, 2), c = Picture("c", 3, 3);
        Update(a, b, c);
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal([a, b, c], index.Items.Select(i => i.Path));
        IReadOnlyList<SearchHit> hits = index.Search([5, 1], 2);
        Assert.Equal([a, c], hits.Select(h => h.Item.Path));
        Assert.Equal(5 / Math.Sqrt(26), hits[0].Score, 5);
        Assert.Contains("2", Assert.Throws<DinoSharpException>(() => index.Search([1, 2, 3])).Message);
    }

    [Fact]
    public void OnlyNewContentIsComputed()
    {
        string a = Picture("a", 1, 0), b = Picture("b", 0, 1);
        Update(a, b);
        Assert.Equal(2, _computed);
        IndexUpdate again = Update(a, b);
        Assert.Equal((0, 0, 2), (again.Embedded, again.Reused, again.Unchanged));
        File.SetLastWriteTimeUtc(a, DateTime.UtcNow.AddDays(-1)); // touched, same content
        File.Move(b, _folder.File("moved"));
        IndexUpdate moved = Update(a, _folder.File("moved"), Picture("c", 1, 1));
        Assert.Equal((1, 2, 0, 1), (moved.Embedded, moved.Reused, moved.Unchanged, moved.Removed));
        Assert.Equal(3, _computed);
        File.WriteAllText(a, "-1 -1"); // changed
        Update(a);
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal(3, index.Items.Count);
        Assert.Equal(a, index.Search([-1, -1], 1)[0].Item.Path);
        Assert.Equal(_folder.File("moved"), index.Search([0, 1], 1)[0].Item.Path);
    }

    [Fact]
    public void BrokenPicturesAreListedAndTheRestGoesOn()
    {
        string broken = _folder.File("broken");
        File.WriteAllText(broken, "!");
        IndexUpdate update = Update(Picture("a", 1, 0), broken, _folder.File("missing"), Picture("b", 0, 1));
        Assert.Equal((2, 2), (update.Embedded, update.Skipped.Count));
        Assert.Contains(update.Skipped, s => s.Name == broken);
    }

    [Fact]
    public void APictureThatBreaksLeavesTheIndex()
    {
        string a = Picture("a", 1, 0), b = Picture("b", 0, 1), twin = Picture("twin", 1, 0);
        Update(a, b, twin);
        File.WriteAllText(a, "!");
        IndexUpdate update = Update(a, b, twin);
        Assert.Equal((0, 2, 1), (update.Embedded, update.Unchanged, update.Removed));
        Assert.Equal(a, update.Skipped.Single().Name);
        using (ImageIndex index = ImageIndex.Open(Index)) Assert.Equal([twin, b], index.Items.Select(i => i.Path));
        Picture("a", 2, 2);
        Assert.Equal(1, Update(a).Embedded);
        using ImageIndex mended = ImageIndex.Open(Index);
        Assert.Equal([twin, b, a], mended.Items.Select(i => i.Path));
    }

    [Fact]
    public void WhatIsGoneBelowTheRootLeavesToo()
    {
        string a = Picture("a", 1, 0), b = Picture("b", 0, 1);
        Update(a, b);
        File.Delete(a);
        using (IndexWriter writer = IndexWriter.Open(Index, Settings)) Assert.Equal(1, writer.Update([b], 3, Embed, [Path.GetPathRoot(a)!], null, default).Removed);
    }

    [Fact]
    public void EqualFilesDoNotWaitForOthers()
    {
        string a = Picture("a", 1, 0);
        int seen = 0, first = 0;
        IEnumerable<IReadOnlyList<(float[]?, ImageException?)>> Ahead(IEnumerable<IReadOnlyList<ImageSource>> batches)
        {
            foreach (IReadOnlyList<(float[]?, ImageException?)> results in Embed(batches))
            {
                if (first == 0) first = seen;
                yield return results;
            }
        }

        using (IndexWriter writer = IndexWriter.Open(Index, Settings)) writer.Update(Enumerable.Repeat(a, 20000), 3, Ahead, null, new Count(n => seen = (int)n), default);
        Assert.InRange(first, 1, 5000);
        Assert.Equal(1, _computed);
    }

    private sealed class Count(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }

    [Fact]
    public void AnInterruptedUpdateKeepsWhatIsDone()
    {
        string[] files = [.. Enumerable.Range(0, 10).Select(i => Picture($"{i}", i, 1))];
        using var stop = new CancellationTokenSource();
        using (IndexWriter writer = IndexWriter.Open(Index, Settings))
        {
            Assert.Throws<OperationCanceledException>(() => writer.Update(files, 2, batches => Embed(batches).Select((r, i) =>
            {
                if (i == 2) stop.Cancel();
                return r;
            }), [_folder.Path], null, stop.Token));
        }

        int before = _computed;
        using (ImageIndex partial = ImageIndex.Open(Index)) Assert.Equal(before, partial.Items.Count);
        IndexUpdate rest = Update(files);
        Assert.Equal((10 - before, before), (rest.Embedded, rest.Unchanged));
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal(files.Order(), index.Items.Select(i => i.Path).Order());
    }

    [Fact]
    public void ManySmallUpdatesAreMergedWithoutLosingAnything()
    {
        var expected = new Dictionary<string, int>();
        var random = new Random(0);
        for (int round = 0; round < 40; round++)
        {
            int number = random.Next(12);
            string path = Picture($"{number}", number, round);
            expected[path] = round;
            if (random.Next(4) == 0 && expected.Count > 1)
            {
                string gone = expected.Keys.First(p => p != path);
                File.Delete(gone);
                expected.Remove(gone);
            }

            Update(path);
            using ImageIndex index = ImageIndex.Open(Index);
            Assert.Equal(expected.Keys.Order(), index.Items.Select(i => i.Path).Order());
            foreach ((string file, int value) in expected)
                Assert.Equal(1, index.Search([int.Parse(Path.GetFileName(file)), value], 12).First(h => h.Item.Path == file).Score, 5);
        }

        Assert.InRange(Directory.GetFiles(Index, "part-*").Length, 1, 12);
    }

    [Fact]
    public void DuplicatesFormGroupsAlsoThroughOthers()
    {
        // 0°, 10°, 20° in a chain; 90° alone; 180° twice.
        float[][] vectors = [.. new[] { 0, 10, 20, 90, 180, 180.5 }.Select(d => new[] { (float)Math.Cos(d * Math.PI / 180), (float)Math.Sin(d * Math.PI / 180) })];
        string[] files = [.. vectors.Select((v, i) => Picture($"{i}", v))];
        foreach (string file in files) Update(file); // one part each
        using ImageIndex index = ImageIndex.Open(Index);
        IReadOnlyList<DuplicateGroup> groups = index.FindDuplicates(0.98f); // cos 10° is 0.985
        Assert.Equal([[files[0], files[1], files[2]], [files[4], files[5]]], groups.Select(g => g.Items.Select(i => i.Path).Order().ToArray()));
        Assert.Equal(Math.Cos(10 * Math.PI / 180), groups[0].LowestSimilarity, 4);
        Assert.Equal(files[3], index.RankOutliers(1)[0].Item.Path);
        Assert.Equal(1 - Math.Cos(70 * Math.PI / 180), index.RankOutliers(1)[0].Score, 4);
    }

    [Fact]
    public void EqualPicturesReachASimilarityOfOne()
    {
        var random = new Random(1);
        float[][] vectors = [.. Enumerable.Range(0, 60).Select(_ => Enumerable.Range(0, 384).Select(_ => random.NextSingle() - 0.5f).ToArray())];
        string[] files = [.. vectors.SelectMany((v, i) => new[] { Picture($"{i}a", v), Picture($"{i}b", [.. v.Select(x => x * 3)]) })]; // equal but for their length
        Update(files);
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal(60, index.FindDuplicates(1).Count);
        Assert.All(index.FindDuplicates(1), group => Assert.InRange(group.LowestSimilarity, 0.999f, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => index.FindDuplicates(1.1f));
        Assert.Throws<ArgumentOutOfRangeException>(() => index.FindDuplicates(float.NaN));
        Assert.True(index.CompareBytes(100) > index.CompareBytes());
    }

    [Fact]
    public void SearchEqualsBruteForce() => Gen.Select(Gen.Int[1, 40], Gen.Int[1, 5], Gen.Int[0, 100]).Sample((count, perPart, seed) =>
    {
        using var folder = new TemporaryFolder();
        var random = new Random(seed);
        float[] Vector() => [.. Enumerable.Range(0, 4).Select(_ => (float)(random.NextDouble() - 0.5))];
        var vectors = new Dictionary<string, float[]>();
        foreach (int[] chunk in Enumerable.Range(0, count).Chunk(perPart * 8))
        {
            using IndexWriter writer = IndexWriter.Open(folder.File("i"), Settings);
            foreach (int i in chunk)
            {
                vectors[folder.File($"{i}")] = Vector();
                File.WriteAllText(folder.File($"{i}"), string.Join(' ', vectors[folder.File($"{i}")]));
            }

            writer.Update(chunk.Select(i => folder.File($"{i}")), 7, Embed, null, null, default);
        }

        float[] query = Vector();
        double Cosine(float[] v) => v.Zip(query).Sum(p => p.First * p.Second) / Math.Sqrt(v.Sum(x => x * x) * query.Sum(x => x * x));
        using ImageIndex index = ImageIndex.Open(folder.File("i"));
        Assert.Equal(vectors.OrderByDescending(v => Cosine(v.Value)).Take(5).Select(v => v.Key), index.Search(query, 5).Select(h => h.Item.Path));

        // The same whether many or few similarities are looked at together.
        string[] Groups() => [.. index.FindDuplicates(0.9f).Select(g => string.Join(' ', g.Items.Select(i => i.Path).Order())).Order()];
        (string[] groups, IReadOnlyList<SearchHit> outliers) = (Groups(), index.RankOutliers(3));
        index.MostSimilarities = 3 * Math.Min(count, perPart);
        Assert.Equal(groups, Groups());
        Assert.Equal(outliers.Select(h => h.Score), index.RankOutliers(3).Select(h => h.Score), (x, y) => Math.Abs(x - y) < 1e-5);
    }, iter: 20, threads: 1);

    [Fact]
    public void OtherSettingsFoldersAndWritersAreRefused()
    {
        Update(Picture("a", 1, 0));
        Assert.Contains("other-model", Assert.Throws<DinoSharpException>(() => IndexWriter.Open(Index, Settings with { Model = "other-model", Fingerprint = "2" })).Message);
        using (IndexWriter.Open(Index, Settings)) Assert.Contains("another program", Assert.Throws<DinoSharpException>(() => IndexWriter.Open(Index, Settings)).Message);
        Assert.Contains("not empty", Assert.Throws<DinoSharpException>(() => IndexWriter.Open(_folder.Path, Settings)).Message);
        Assert.Contains("index build", Assert.Throws<DinoSharpException>(() => ImageIndex.Open(_folder.Path)).Message);
    }

    [Fact]
    public void DamageIsNamed()
    {
        Update(Picture("a", 1, 0));
        string part = Directory.GetFiles(Index, "part-*")[0];
        byte[] whole = File.ReadAllBytes(part);
        File.WriteAllBytes(part, whole[..^3]);
        Assert.Contains(part, Assert.Throws<TensorFileException>(() => ImageIndex.Open(Index)).Message);
        File.Delete(part);
        Assert.Throws<TensorFileException>(() => ImageIndex.Open(Index));
        File.WriteAllText(Path.Combine(Index, "index.json"), "{");
        Assert.Contains("index.json", Assert.Throws<DinoSharpException>(() => ImageIndex.Open(Index)).Message);
    }

    [Theory]
    [InlineData("null", "it holds null")]
    [InlineData("[]", "cannot be read")]
    [InlineData("""{"format":1,"settings":null,"segments":[]}""", "settings")]
    [InlineData("""{"format":1,"settings":{"model":null,"fingerprint":"1","pooling":"ClassToken","imageSizePixels":null},"segments":[]}""", "model")]
    [InlineData("""{"format":1,"settings":{"model":"m","fingerprint":"1","pooling":"Clas","imageSizePixels":null},"segments":[]}""", "settings.pooling is 'Clas'; expected one of ClassToken")]
    [InlineData("""{"format":1,"settings":{"model":"m","fingerprint":"1","pooling":"ClassToken","imageSizePixels":null,"compute":"7"},"segments":[]}""", "settings.compute is '7'")]
    [InlineData("""{"format":1,"settings":{"model":"m","fingerprint":"1","pooling":"ClassToken","imageSizePixels":null},"segments":null}""", "segments")]
    [InlineData("""{"format":1,"settings":{"model":"m","fingerprint":"1","pooling":"ClassToken","imageSizePixels":null},"segments":[null]}""", "part that is null")]
    [InlineData("""{"format":2,"colour":"blue"}""", "has format 2; this version reads format 1")]
    public void DamageOfTheListIsNamed(string json, string expected)
    {
        Directory.CreateDirectory(Index);
        File.WriteAllText(Path.Combine(Index, "index.json"), json);
        string message = Assert.Throws<DinoSharpException>(() => ImageIndex.Open(Index)).Message;
        Assert.Contains("index.json", message);
        Assert.Contains(expected, message);
    }

    [Theory]
    [InlineData("""{"Items":null,"Removed":[]}""")]
    [InlineData("""{"Items":[null],"Removed":[]}""")]
    [InlineData("""{"Items":[{"Path":null,"Hash":"a","Size":1,"Modified":"2026-01-01T00:00:00Z"}],"Removed":[]}""")]
    [InlineData("""{"Items":[{"Path":"a\u0000","Hash":"a","Size":1,"Modified":"2026-01-01T00:00:00Z"}],"Removed":[]}""")]
    [InlineData("""{"Items":[{"Path":"a","Hash":"a","Size":1,"Modified":"2026-01-01T00:00:00Z"}],"Removed":[null]}""")]
    [InlineData("""{"Items":[{"Path":"a","Hash":"a","Size":1,"Modified":"2026-01-01T00:00:00Z"}]}""")]
    public void DamageOfAPartIsNamed(string listing)
    {
        Update(Picture("a", 1, 0));
        string part = Directory.GetFiles(Index, "part-*")[0];
        using (var scope = NewDisposeScope()) SafetensorsWriter.Write(part, [KeyValuePair.Create("vectors", ones(1, 2)), KeyValuePair.Create("items", tensor(System.Text.Encoding.UTF8.GetBytes(listing)))]);
        Assert.Contains("list of pictures cannot be read", Assert.Throws<TensorFileException>(() => ImageIndex.Open(Index)).Message);
    }

    [Fact]
    public void APartThatWasWrittenOnAnotherSystemOpens()
    {
        Update(Picture("a", 1, 0));
        string part = Directory.GetFiles(Index, "part-*")[0];
        string listing = """{"Items":[{"Path":"photos/a.jpg","Hash":"a","Size":1,"Modified":"2026-01-01T00:00:00Z"}],"Removed":[]}""";
        using (var scope = NewDisposeScope())
        {
            SafetensorsWriter.Write(part, [KeyValuePair.Create("vectors", ones(1, 2)), KeyValuePair.Create("items", tensor(System.Text.Encoding.UTF8.GetBytes(listing)))], [KeyValuePair.Create("base", "not a rooted folder")]);
        }

        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal("photos/a.jpg", index.Items.Single().Path);
    }

    [Fact]
    public void NothingLeaks()
    {
        Update(Picture("a", 1, 0), Picture("b", 0, 1));
        LiveTensors.AssertUnchangedBy(() =>
        {
            using ImageIndex index = ImageIndex.Open(Index);
            index.Search([1, 1], 3);
            index.FindDuplicates();
            index.RankOutliers();
        });
    }

    [Fact]
    public void AChangedFileIsFoundFromAnotherFolder()
    {
        string path = Picture("photos/a", 1, 0), other = _folder.File("elsewhere"), before = Environment.CurrentDirectory;
        Directory.CreateDirectory(other);
        try
        {
            Environment.CurrentDirectory = _folder.Path;
            Update(Path.Combine("photos", "a"));
            Picture("photos/a", 0, 12); // changed
            Environment.CurrentDirectory = other;
            Update(path);
        }
        finally
        {
            Environment.CurrentDirectory = before;
        }

        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal(path, Assert.Single(index.Items).FullPath);
        Assert.Equal(path, index.Items[0].Path);
    }

    [Fact]
    public void TheSameContentIsComputedOnce()
    {
        string[] files = [.. Enumerable.Range(0, 8).Select(i => Picture($"{i}", i % 2, 1)), Picture("last", 5, 5)];
        IndexUpdate update = Update(files);
        Assert.Equal((3, 6), (update.Embedded, update.Reused));
        Assert.Equal(3, _computed);
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal(files.Order(), index.Items.Select(i => i.Path).Order());
        string[] broken = [.. new[] { "x", "y" }.Select(name => _folder.File(name))];
        foreach (string file in broken) File.WriteAllText(file, "!");
        Assert.Equal(broken, Update(broken).Skipped.Select(s => s.Name));
    }

    [Fact]
    public void AMovedFolderKeepsItsVectorsThoughTheUpdateIsStopped()
    {
        Directory.CreateDirectory(_folder.File("old"));
        string[] names = [.. Enumerable.Range(0, 12).Select(i => $"{i}")];
        foreach (string name in names) Picture($"old/{name}", int.Parse(name), 1);
        Update(names.Select(name => _folder.File($"old/{name}")));
        Directory.Move(_folder.File("old"), _folder.File("new"));
        using var stop = new CancellationTokenSource();
        string[] moved = [.. names.Select(name => _folder.File($"new/{name}"))];
        using (IndexWriter writer = IndexWriter.Open(Index, Settings))
            Assert.Throws<OperationCanceledException>(() => writer.Update(moved.Select((file, i) => i < 4 ? file : throw new OperationCanceledException()), 3, Embed, [_folder.File("new")], null, stop.Token));
        using (IndexWriter writer = IndexWriter.Open(Index, Settings))
            Assert.Equal((0, 8, 4, 12), Counts(writer.Update(moved, 3, Embed, [_folder.File("new")], null, default)));
        Assert.Equal(12, _computed);
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal(moved.Order(), index.Items.Select(i => i.Path).Order());

        static (int, int, int, int) Counts(IndexUpdate u) => (u.Embedded, u.Reused, u.Unchanged, u.Removed);
    }

    [Fact]
    public void WhatIsGoneElsewhereStays()
    {
        string a = Picture("disk/a", 1, 0), b = Picture("here/b", 0, 1), c = Picture("here/c", 1, 1);
        Update(a, b, c);
        File.Delete(a);
        File.Delete(b);
        using (IndexWriter writer = IndexWriter.Open(Index, Settings)) Assert.Equal(0, writer.Update([c], 3, Embed, null, null, default).Removed);
        using (IndexWriter writer = IndexWriter.Open(Index, Settings)) Assert.Equal(1, writer.Update([c], 3, Embed, [_folder.File("here")], null, default).Removed);
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Equal([a, c], index.Items.Select(i => i.Path));
    }

    [Fact]
    public void AListThatWasHalfWrittenDoesNotBlockANewIndex()
    {
        Directory.CreateDirectory(Index);
        string half = Path.Combine(Index, "index.json.0123.tmp");
        File.WriteAllText(half, "{");
        Update(Picture("a", 1, 0));
        Assert.False(File.Exists(half));
        using ImageIndex index = ImageIndex.Open(Index);
        Assert.Single(index.Items);
    }

    [Fact]
    public void WeightsUnderAnotherNameAreTheSameWeights()
    {
        Update(Picture("a", 1, 0));
        using (IndexWriter.Open(Index, Settings with { Model = "moved.safetensors" })) { }
        Assert.Contains("BFloat16", Assert.Throws<DinoSharpException>(() => IndexWriter.Open(Index, Settings with { Compute = "BFloat16" })).Message);
    }
}
