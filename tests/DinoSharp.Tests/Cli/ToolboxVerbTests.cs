using System.Text.Json;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using DinoSharp.Retrieval;
using Parquet;
using Parquet.Schema;
using Xunit;

namespace DinoSharp.Tests.Cli;

/// <summary>The verbs cluster, discover, similar, change, segment and index, from end to end with a tiny model.</summary>
public sealed class ToolboxVerbTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private Task<Dino.Outcome> Run(string verb, params string[] more) => Dino.RunAsync([verb, .. more, "--model", tiny.Path, "--size", "96", "--json"]);

    private LabelMap Disk(string name, int width = 160, int height = 96)
    {
        double radius = Math.Min(width, height) * 0.3;
        var map = new LabelMap(width, height, [.. Enumerable.Range(0, width * height).Select(i => Math.Pow((i % width) - (width * 0.3), 2) + Math.Pow((i / width) - (height * 0.5), 2) < radius * radius ? (byte)1 : (byte)0)]);
        Directory.CreateDirectory(Path.GetDirectoryName(tiny.File(name))!);
        map.Save(tiny.File(name));
        return map;
    }

    private static JsonElement Success(Dino.Outcome outcome)
    {
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        return outcome.Json();
    }

    [Fact]
    public async Task ClustersAreCommonToAllPictures()
    {
        string a = tiny.Draw("cluster/a.png"), b = tiny.Draw("cluster/b.png"), masks = tiny.File("cluster.masks");
        JsonElement json = Success(await Run("cluster", a, b, "--k", "3", "--masks", masks, "--out", tiny.File("cluster.png")));
        Assert.Equal(2, json.GetProperty("images").GetArrayLength());
        foreach (JsonElement image in json.GetProperty("images").EnumerateArray())
        {
            Assert.Equal(1, image.GetProperty("shares").EnumerateArray().Sum(s => s.GetDouble()), 6);
            LabelMap map = LabelMap.Read(image.GetProperty("mask").GetString()!);
            Assert.Equal((160, 96), (map.Width, map.Height));
            Assert.All(map.Ids, id => Assert.InRange(id, 1, 3));
        }

        // Equal pictures get equal clusters.
        Assert.Equal(LabelMap.Read(Path.Combine(masks, "a.png")).Values.ToArray(), LabelMap.Read(Path.Combine(masks, "b.png")).Values.ToArray());
        Assert.Equal(2, (await Run("cluster", a, "--k", "0")).Code);
    }

    [Fact]
    public async Task DiscoverGivesABoxInsideThePicture()
    {
        JsonElement json = Success(await Run("discover", tiny.Draw("discover.png"), "--out", tiny.File("discover.sheet.png")));
        double[] box = [.. json.GetProperty("images")[0].GetProperty("box").EnumerateArray().Select(n => n.GetDouble())];
        Assert.True(box[0] >= 0 && box[1] >= 0 && box[2] > 0 && box[3] > 0 && box[0] + box[2] <= 160 && box[1] + box[3] <= 96);
        Assert.InRange(json.GetProperty("images")[0].GetProperty("share").GetDouble(), 0.001, 0.999);
    }

    [Fact]
    public async Task SimilarFindsThePlaceItselfFirstAndGoesOnBehindBrokenFiles()
    {
        string query = tiny.Draw("similar/a.png", seed: 1);
        tiny.Draw("similar/b.png", seed: 2);
        JsonElement json = Success(await Run("similar", query, "--at", "75,50", tiny.File("similar"), "--out", tiny.File("similar.png")));
        Assert.Equal(query, json.GetProperty("results")[0].GetProperty("path").GetString());
        Assert.Equal(1, json.GetProperty("results")[0].GetProperty("score").GetDouble(), 4);
        File.WriteAllText(tiny.File("similar/broken.png"), "nothing");
        Dino.Outcome outcome = await Run("similar", query, "--at", "75,50", tiny.File("similar"), "--out", tiny.File("similar.png"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains("broken.png", outcome.Error);
        Assert.Equal(2, outcome.Json().GetProperty("results").GetArrayLength());
        Assert.Contains("outside", (await Run("similar", query, "--at", "999,5", tiny.File("similar"))).Error);
        Assert.Contains("the box 150,50,20,20 is outside", (await Run("similar", query, "--box", "150,50,20,20", tiny.File("similar"))).Error);
        Assert.Equal(2, (await Run("similar", query, "--box", "1,2,3", tiny.File("similar"))).Code);
        Assert.Contains("--at X,Y", (await Run("similar", query, tiny.File("similar"))).Error); // neither place nor box
    }

    [Fact]
    public async Task SimilarTakesBoxesAndSeveralPlaces()
    {
        string query = tiny.Draw("regions/a.png", seed: 1), other = tiny.Draw("regions/b.png", seed: 2);
        string[] words = ["similar", query, "--at", "75,50", "--box", "96,32,40,40", other, query, "--model", tiny.Path, "--size", "96", "--json", "--out", tiny.File("regions.png")];
        JsonElement[] results = [.. Success(await Dino.RunAsync(words)).GetProperty("results").EnumerateArray()];
        foreach (JsonElement result in results)
        {
            JsonElement[] places = [.. result.GetProperty("places").EnumerateArray()];
            Assert.Equal(2, places.Length);
            Assert.Equal(places.Average(p => p.GetProperty("score").GetDouble()), result.GetProperty("score").GetDouble(), 5);
        }

        // The first place is found in its own picture.
        JsonElement own = results.Single(r => r.GetProperty("path").GetString() == query).GetProperty("places")[0];
        Assert.Equal(1, own.GetProperty("score").GetDouble(), 4);

        // What a box has in common, by hand: patches are 16 pixels, those with their middles at 104, 120 and 40, 56 lie in it.
        using DinoModel model = DinoModel.Load(tiny.Path);
        using ImageFeatures features = model.Extract(query, new ExtractOptions { ImageSizePixels = 96 });
        PatchMap map = features.PatchMap();
        double[] mean = new double[map.Dim];
        foreach ((int row, int column) in ((int, int)[])[(2, 6), (2, 7), (3, 6), (3, 7)])
        {
            double length = Math.Sqrt(map[row, column].ToArray().Sum(v => (double)v * v));
            for (int d = 0; d < mean.Length; d++) mean[d] += map[row, column][d] / length;
        }

        double norm = Math.Sqrt(mean.Sum(v => v * v));
        float[] found = map.MeanDirection(new Box(96, 32, 40, 40 - 8));
        Assert.All(mean.Zip(found), pair => Assert.Equal(pair.First / norm, pair.Second, 5));
        float[] single = map.MeanDirection(new Box(73, 49, 2, 2)); // holds no middle of a patch
        Assert.Equal(1, map.SimilarityTo(single)[3, 4], 5);
    }

    [Fact]
    public async Task ChangeFindsAThresholdOnLabelsAndScoresIt()
    {
        byte[] pixels = TinyModel.Picture().Bytes.ToArray(), changed = [.. pixels];
        var truth = new byte[160 * 96];
        for (int y = 32; y < 64; y++)
        {
            for (int x = 96; x < 144; x++)
            {
                truth[(y * 160) + x] = 255;
                (changed[((y * 160) + x) * 3], changed[(((y * 160) + x) * 3) + 1]) = ((byte)(x * 37 % 256), (byte)(y * 53 % 256));
            }
        }

        foreach (string folder in new[] { "A", "B", "label" }) Directory.CreateDirectory(tiny.File(folder));
        ImageBuffer.FromSamples<byte>(160, 96, 3, pixels).Save(tiny.File("A/t.png"));
        ImageBuffer.FromSamples<byte>(160, 96, 3, changed).Save(tiny.File("B/t.png"));
        new LabelMap(160, 96, truth).Save(tiny.File("label/t.png"));
        JsonElement json = Success(await Run("change", tiny.File("A"), tiny.File("B"), "--labels", tiny.File("label"), "--masks", tiny.File("change.masks"), "--out", tiny.File("change.png")));
        Assert.InRange(json.GetProperty("scores").GetProperty("f1").GetDouble(), 0.5, 1);
        Assert.InRange(LabelMap.Read(tiny.File("change.masks/t.png")).Values.ToArray().Average(v => (double)v), 0.02, 0.4);
        double threshold = json.GetProperty("calibrated").GetDouble();
        JsonElement again = Success(await Run("change", tiny.File("A/t.png"), tiny.File("B/t.png"), "--labels", tiny.File("label/t.png"), "--threshold", threshold.ToString(System.Globalization.CultureInfo.InvariantCulture), "--out", tiny.File("change.png")));
        Assert.Equal(json.GetProperty("scores").GetProperty("iou").GetDouble(), again.GetProperty("scores").GetProperty("iou").GetDouble(), 3);

        // A picture and itself: nothing has changed.
        JsonElement same = Success(await Run("change", tiny.File("A/t.png"), tiny.File("A/t.png"), "--threshold", "0.01", "--out", tiny.File("change.png")));
        Assert.Equal(0, same.GetProperty("pairs")[0].GetProperty("changed").GetDouble());
        Assert.Contains("same area", (await Run("change", tiny.File("A/t.png"), tiny.Draw("other.png", 100, 96))).Error);
    }

    [Fact]
    public async Task SegmentLearnsFromPaintedExamples()
    {
        tiny.Draw("painted/images/x.png", 320, 192);
        Disk("painted/masks/x.png", 320, 192);
        string target = tiny.Draw("target.png", 320, 192);
        JsonElement json = Success(await Dino.RunAsync("segment", "--examples", tiny.File("painted"), target, "--masks", tiny.File("segments"), "--model", tiny.Path, "--size", "192", "--out", tiny.File("segment.png"), "--json"));
        Assert.Equal([0, 1], json.GetProperty("classes").EnumerateArray().Select(c => c.GetInt32()));
        LabelMap map = LabelMap.Read(json.GetProperty("images")[0].GetProperty("mask").GetString()!);
        Assert.InRange(map.Values.ToArray().Zip(Disk("truth.png", 320, 192).Values.ToArray()).Average(p => p.First == p.Second ? 1.0 : 0), 0.9, 1);
        Assert.Contains("images/ and masks/", (await Run("segment", "--examples", target, target)).Error);
    }

    [Fact]
    public async Task AnIndexIsBuiltSearchedAndBroughtUpToDate()
    {
        string index = tiny.File("pictures.index"), a = tiny.Draw("indexed/a.png", seed: 0), b = tiny.Draw("indexed/b.png", seed: 3);
        File.Copy(a, tiny.File("indexed/twin.png"), overwrite: true);
        string[] build = ["index", "build", tiny.File("indexed"), "--out", index, "--model", tiny.Path, "--json"];
        JsonElement first = Success(await Dino.RunAsync(build));
        Assert.Equal(3, first.GetProperty("count").GetInt32());
        Assert.Equal(3, Success(await Dino.RunAsync(build)).GetProperty("unchanged").GetInt32());

        JsonElement hits = Success(await Dino.RunAsync("index", "search", index, b, "--count", "2", "--json", "--out", tiny.File("hits.html")));
        Assert.Equal(b, hits[0].GetProperty("path").GetString());
        Assert.Equal(1, hits[0].GetProperty("score").GetDouble(), 4);
        Assert.Contains("data:image/jpeg;base64,", File.ReadAllText(tiny.File("hits.html")));

        JsonElement groups = Success(await Dino.RunAsync("index", "dedup", index, "--similarity", "0.999999", "--json")).GetProperty("groups");
        Assert.Contains(groups.EnumerateArray(), g => g.GetProperty("paths").EnumerateArray().Select(p => Path.GetFileName(p.GetString())).Intersect(["a.png", "twin.png"]).Count() == 2);
        Assert.Equal(3, Success(await Dino.RunAsync("index", "outliers", index, "--neighbors", "1", "--json")).GetArrayLength());
        string table = tiny.File("pictures.parquet");
        Assert.Equal(3, Success(await Dino.RunAsync("index", "export", index, "--out", table, "--json")).GetProperty("count").GetInt32());
        await CheckTable(table, index);
        Assert.Contains("expected a name that ends in", (await Dino.RunAsync("index", "export", index, "--out", tiny.File("pictures.csv"))).Error);

        foreach (string[] question in new string[][] { ["search", index, b], ["dedup", index], ["outliers", index] })
        {
            Assert.Equal(0, (await Dino.RunAsync(["index", .. question, "--model", tiny.Path, "--max-memory", "8GB"])).Code);
            Assert.Contains("the limit is 20 MB", (await Dino.RunAsync(["index", .. question, "--max-memory", "20MB"])).Error);
            Assert.Contains("--size 512: ", (await Dino.RunAsync(["index", .. question, "--size", "512"])).Error);
            Assert.Contains("whose weights are others", (await Dino.RunAsync(["index", .. question, "--model", "dino-tiny"])).Error);
        }

        File.Delete(tiny.File("indexed/twin.png"));
        JsonElement added = Success(await Dino.RunAsync("index", "add", tiny.Draw("more.png", seed: 4), "--out", index, "--model", tiny.Path, "--json"));
        Assert.Equal((4, 1, 0), (added.GetProperty("count").GetInt32(), added.GetProperty("embedded").GetInt32(), added.GetProperty("removed").GetInt32()));
        JsonElement rebuilt = Success(await Dino.RunAsync("index", "build", tiny.File("indexed"), "--out", index, "--model", tiny.Path, "--json"));
        Assert.Equal((3, 1), (rebuilt.GetProperty("count").GetInt32(), rebuilt.GetProperty("removed").GetInt32())); // more.png lies elsewhere and stays
        Assert.Contains("is no index", (await Dino.RunAsync("index", "search", tiny.File("indexed"), b)).Error);
    }

    // The table holds what the index does.
    private static async Task CheckTable(string path, string folder)
    {
        using ImageIndex index = ImageIndex.Open(folder);
        await using ParquetReader reader = await ParquetReader.CreateAsync(path);
        Assert.Equal(["path", "hash", "size", "modified", "embedding"], reader.Schema.Fields.Select(field => field.Name));
        Assert.Equal(index.Settings.Fingerprint, reader.CustomMetadata["fingerprint"]);
        using ParquetRowGroupReader rows = reader.OpenRowGroupReader(0);
        DataField[] fields = [.. reader.Schema.DataFields];
        Assert.Equal(index.Items.Select(item => item.Path), await Strings(0));
        Assert.Equal(index.Items.Select(item => item.Hash), await Strings(1));
        long[] sizes = new long[index.Items.Count];
        await rows.ReadAsync<long>(fields[2], sizes.AsMemory());
        Assert.Equal(index.Items.Select(item => new FileInfo(item.FullPath).Length), sizes);

        async Task<string[]> Strings(int column)
        {
            string?[] values = new string?[index.Items.Count];
            await rows.ReadAsync(fields[column], values.AsMemory());
            return values!;
        }
    }

    [Fact]
    public async Task EachPictureOfAnIndexMayBeSeenAtItsOwnSize()
    {
        string index = tiny.File("native.index"), wide = tiny.Draw("native/a.png"), small = tiny.Draw("native/b.png", 64, 96);
        Success(await Dino.RunAsync("index", "build", tiny.File("native"), "--out", index, "--model", tiny.Path, "--size", "native", "--json"));
        using (DinoModel model = DinoModel.Load(tiny.Path))
        using (ImageIndex built = ImageIndex.Open(index))
        using (ImageFeatures features = model.Extract(small, new ExtractOptions { ImageSizePixels = null }))
        {
            Assert.True(built.Settings.NativeSize);
            float[] vector = built.ReadVectors().Single(entry => entry.Item.Path == small).Vector;
            float[] token = features.ClassToken(-1);
            double length = Math.Sqrt(token.Sum(v => (double)v * v));
            Assert.All(token.Zip(vector), pair => Assert.Equal(pair.First / length, pair.Second, 5));
        }

        JsonElement hits = Success(await Dino.RunAsync("index", "search", index, wide, "--size", "native", "--json"));
        Assert.Equal((wide, 1.0), (hits[0].GetProperty("path").GetString(), Math.Round(hits[0].GetProperty("score").GetDouble(), 4)));
        Assert.Contains("at the size of each picture", (await Dino.RunAsync("index", "search", index, wide, "--size", "224")).Error);
        Assert.Contains("the size of each picture", (await Dino.RunAsync("index", "add", wide, "--out", index, "--model", tiny.Path)).Error);
    }

    [Fact]
    public async Task NothingThatIsReadIsReplaced()
    {
        string a = tiny.Draw("read/a.png"), b = tiny.Draw("read/b.png", seed: 1), folder = tiny.File("read");
        tiny.Draw("mine/images/x.png");
        Disk("mine/masks/x.png");
        byte[] before = await File.ReadAllBytesAsync(a, TestContext.Current.CancellationToken);
        foreach (string[] line in new string[][]
        {
            ["match", a, b, "--out", a],
            ["discover", folder, "--out", a],
            ["similar", b, "--at", "5,5", folder, "--out", a],
            ["cluster", folder, "--masks", folder],
            ["cluster", folder, "--out", a],
            ["segment", "--examples", tiny.File("mine"), folder, "--masks", folder],
            ["segment", "--examples", tiny.File("mine"), tiny.Draw("new/x.png"), "--masks", tiny.File("mine/masks")],
            ["change", a, b, "--masks", folder],
            ["change", a, b, "--out", a],
        })
            Assert.Contains("one of the inputs", (await Run(line[0], line[1..])).Error);
        foreach (string[] line in new string[][] { ["match", a, b], ["discover", a], ["similar", b, "--at", "5,5", a], ["cluster", a], ["segment", "--examples", tiny.File("mine"), a, "--masks", tiny.File("read.masks")], ["change", a, b] })
            Assert.Contains("expected a name that ends in", (await Run(line[0], [.. line[1..], "--out", tiny.File("x.txt")])).Error);
        Assert.Equal(before, await File.ReadAllBytesAsync(a, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task BlackAndWhiteMasksAreTwoClasses()
    {
        string picture = tiny.Draw("bw/images/x.png", 320, 192);
        LabelMap disk = Disk("bw/masks/x.png", 320, 192);
        ImageBuffer.FromSamples<byte>(320, 192, 1, Array.ConvertAll(disk.Values.ToArray(), v => (byte)(v * 255))).Save(tiny.File("bw/masks/x.png"));
        string[] line = ["segment", "--examples", tiny.File("bw"), picture, "--masks", tiny.File("bw.masks"), "--model", tiny.Path, "--size", "192", "--out", tiny.File("bw.png"), "--json"];
        Assert.Equal([0, 255], Success(await Dino.RunAsync(line)).GetProperty("classes").EnumerateArray().Select(c => c.GetInt32()));
        Assert.Contains("only the class 0", (await Dino.RunAsync([.. line, "--unlabelled", "255"])).Error);
        Assert.Equal([0, 255], Success(await Dino.RunAsync([.. line, "--unlabelled", "none"])).GetProperty("classes").EnumerateArray().Select(c => c.GetInt32()));
        Assert.Equal(2, (await Dino.RunAsync([.. line, "--unlabelled", "-1"])).Code);
        new LabelMap(192, 192, new byte[192 * 192]).Save(tiny.File("bw/masks/x.png"));
        Assert.Contains("x.png: a mask of 192x192", (await Dino.RunAsync(line)).Error);
    }

    [Fact]
    public void APaletteWithATransparentColourKeepsItsIds()
    {
        // One entry transparent, as some painting programs write the background.
        byte[] plain = LabelMapBytes();
        byte[] chunk = [0, 0, 0, 1, (byte)'t', (byte)'R', (byte)'N', (byte)'S', 0];
        uint crc = DinoSharp.Images.Decoding.PngChunks.Crc(chunk.AsSpan(4));
        byte[] whole = [.. chunk, (byte)(crc >> 24), (byte)(crc >> 16), (byte)(crc >> 8), (byte)crc];
        int at = plain.AsSpan().IndexOf("IDAT"u8) - 4;
        File.WriteAllBytes(tiny.File("trns.png"), [.. plain[..at], .. whole, .. plain[at..]]);
        Assert.True(ImageFile.ReadInfo(tiny.File("trns.png")).HasAlpha);
        Assert.Equal([0, 1, 2, 3], DinoSharp.Cli.Pictures.MaskExamples.Read(tiny.File("trns.png")).Ids);

        byte[] LabelMapBytes()
        {
            new LabelMap(2, 2, [0, 1, 2, 3]).Save(tiny.File("ids.png"));
            return File.ReadAllBytes(tiny.File("ids.png"));
        }
    }

    [Fact]
    public async Task ChangeLooksPastOtherFilesOfTheName()
    {
        string before = tiny.Draw("tiles.a/tile.png"), after = tiny.Draw("tiles.b/tile.png");
        File.WriteAllText(tiny.File("tiles.b/tile.aux"), "sidecar");
        JsonElement json = Success(await Run("change", tiny.File("tiles.a"), tiny.File("tiles.b"), "--masks", tiny.File("tiles.masks"), "--out", tiny.File("tiles.png")));
        Assert.Equal(after, json.GetProperty("pairs")[0].GetProperty("after").GetString());
        Assert.Equal(0, json.GetProperty("pairs")[0].GetProperty("changed").GetDouble()); // equal pictures
        Assert.Equal(2, (await Run("change", before, after, "--tolerance", "-1")).Code);
    }

    [Fact]
    public async Task AnIndexOutlivesTheMovingOfItsWeightsAndRemembersItsArithmetic()
    {
        string index = tiny.File("moved.index"), picture = tiny.Draw("moved/a.png"), weights = tiny.File("copy.safetensors"), other = tiny.File("elsewhere.safetensors");
        File.Copy(tiny.Path, weights);
        Success(await Dino.RunAsync("index", "build", tiny.File("moved"), "--out", index, "--model", weights, "--compute", "bfloat16", "--json"));
        Assert.Contains("bfloat16", File.ReadAllText(Path.Combine(index, "index.json")), StringComparison.OrdinalIgnoreCase);
        File.SetLastWriteTimeUtc(weights, DateTime.UtcNow.AddDays(-3));
        JsonElement hits = Success(await Dino.RunAsync("index", "search", index, picture, "--json"));
        Assert.Equal(1, hits[0].GetProperty("score").GetDouble(), 4);
        File.Move(weights, other);
        Assert.Equal(1, Success(await Dino.RunAsync("index", "search", index, picture, "--model", other, "--json"))[0].GetProperty("score").GetDouble(), 4);
        Assert.Contains("BFloat16", (await Dino.RunAsync("index", "add", picture, "--out", index, "--model", other)).Error); // not with float32
        Success(await Dino.RunAsync("index", "add", picture, "--out", index, "--model", other, "--compute", "auto", "--json")); // auto takes what the index was made with
        Assert.Equal(2, (await Dino.RunAsync("index", "dedup", index, "--similarity", "1.5")).Code);
        Assert.Contains("whose weights are others", (await Dino.RunAsync("index", "search", index, picture, "--model", "random:dino-tiny")).Error);
    }

    [Fact]
    public async Task AnIndexOfNothingIsRefused()
    {
        Directory.CreateDirectory(tiny.File("nothing"));
        Assert.Contains("there is no picture in", (await Dino.RunAsync("index", "build", tiny.File("nothing"), "--out", tiny.File("nothing.index"), "--model", tiny.Path)).Error);
        Assert.False(Directory.Exists(tiny.File("nothing.index")));
        File.WriteAllText(tiny.File("nothing/shard.tar"), "");
        Assert.Contains("there is no picture in", (await Run("discover", tiny.File("nothing"))).Error);
    }

    [Fact]
    public void APageOfMoreThanItHoldsSaysSo()
    {
        string page = tiny.File("many.html");
        (string, string)[] row = [.. Enumerable.Range(0, 700).Select(i => (tiny.File("none.png"), $"picture {i}"))];
        Assert.Equal(400, DinoSharp.Cli.Indexing.ThumbnailPage.Write(page, "many", [row, row]));
        string html = File.ReadAllText(page);
        Assert.Contains("400 more pictures are not shown", html);
        Assert.Equal(1000, html.Split("<figure>").Length - 1);
    }

    [Fact]
    public async Task AnImpossibleSizeIsToldOnceAndAStripIsOneRow()
    {
        string strip = tiny.Draw("strip.png", 3000, 7);
        tiny.Draw("sizes/a.png");
        tiny.Draw("sizes/b.png");
        Dino.Outcome outcome = await Dino.RunAsync("discover", tiny.File("sizes"), "--model", tiny.Path, "--size", "100", "--out", tiny.File("sizes.png"));
        Assert.Equal("error: a size of 100 pixels is no multiple of the patch size 16; the nearest are 96 and 112", outcome.Error.Trim());
        using DinoModel model = DinoModel.Load(tiny.Path);
        ExtractionPlan plan = model.Plan(3000, 7, new ExtractOptions());
        Assert.Equal((2992, 16), (plan.InputWidth, plan.InputHeight));
        Assert.Contains("strip.png: 3000×7 is smaller than one patch", (await Dino.RunAsync("match", strip, strip, "--model", tiny.Path, "--size", "native", "--out", tiny.File("m.png"))).Error);
    }

    [Fact]
    public void AWideOverlapGivesWayToTheCeiling()
    {
        using DinoModel model = DinoModel.Load(tiny.Path);
        var options = new ExtractOptions { ImageSizePixels = 2048, TileOverlapPixels = 512 };
        long whole = model.Plan(2048, 2048, options).PeakBytes, smallest = model.Plan(2048, 2048, options with { TileOverlapPixels = null, TileSizePixels = 256 }).PeakBytes;
        ExtractionPlan plan = model.Plan(2048, 2048, options with { MaxMemoryBytes = smallest + ((whole - smallest) / 8) });
        Assert.InRange(plan.OverlapPixels, 16, plan.TileWidth / 2);
    }

    [Fact]
    public async Task ChangeGoesOnBehindABrokenPair()
    {
        foreach (string name in (string[])["a", "b", "c"])
        {
            tiny.Draw($"pairs.a/{name}.png");
            tiny.Draw($"pairs.b/{name}.png", seed: 1);
        }

        File.WriteAllText(tiny.File("pairs.b/a.png"), "nothing");
        tiny.Draw("pairs.b/b.png", 96, 96);
        Dino.Outcome outcome = await Run("change", tiny.File("pairs.a"), tiny.File("pairs.b"), "--masks", tiny.File("pairs.masks"), "--out", tiny.File("pairs.png"));
        Assert.Equal(1, outcome.Code);
        Assert.Equal(2, outcome.Json().GetProperty("skipped").GetArrayLength());
        Assert.EndsWith("c.png", Assert.Single(outcome.Json().GetProperty("pairs").EnumerateArray()).GetProperty("before").GetString());
        Assert.Contains("same area", outcome.Error);
    }

    [Fact]
    public async Task WhatTheVerbsHoldThemselvesCountsToo()
    {
        string picture = tiny.Draw("ceiling.png", 512, 512);
        long patches = 64 * 64, pairs = DinoSharp.Features.Discovery.TokenCut.WorkBytes((int)patches);
        Assert.Equal(5 * patches * patches, pairs);
        string[] line = ["discover", picture, "--model", tiny.Path, "--size", "1024", "--out", tiny.File("ceiling.sheet.png"), "--json"];
        long estimate = Success(await Dino.RunAsync(line)).GetProperty("memory").GetProperty("estimatedBytes").GetInt64();
        Assert.InRange(estimate, pairs + (16 << 20), long.MaxValue);

        // The patches of 1536x1536 pixels fit in tiles, all pairs of 8192 of them (320 MB) do not. In a process of its own, which starts with some 250 MB: this one holds what other tests left.
        OtherProgram.Outcome outcome = await OtherProgram.RunAsync(tiny.File(""), "dotnet",
            Path.Combine(AppContext.BaseDirectory, "dino.dll"), "discover", picture, "--model", tiny.Path, "--size", "1536", "--max-memory", "450MB", "--out", tiny.File("ceiling.sheet.png"));
        Assert.Equal(1, outcome.Code);
        Assert.Contains("working on the patches", outcome.Error, StringComparison.Ordinal);
    }
}
