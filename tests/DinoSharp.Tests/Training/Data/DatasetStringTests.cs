using System.Formats.Tar;
using System.Text;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Named;
using DinoSharp.Training.Data.Synthetic;
using Xunit;

namespace DinoSharp.Tests.Training.Data;

public sealed class DatasetStringTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void SyntheticTakesItsKeys()
    {
        var data = Assert.IsType<SyntheticDataset>(ImageDataset.Open("Synthetic:seed=7:size=64:count=12"));
        Assert.Equal((12, 64), (data.Count, data.Read(3).Width));
        Assert.Equal(new SyntheticWorld(new SyntheticOptions { Seed = 7, Width = 64, Height = 64 }).DrawPicture(3).Bytes, data.Read(3).Bytes);
        Assert.Equal(SyntheticDataset.DefaultCount, ImageDataset.Open("Synthetic:").Count);
        Assert.Equal(40, ImageDataset.Open("synthetic:count=5").Classes.Count);
    }

    [Fact]
    public void AFolderOfTarFilesMayHoldOtherFoldersWithoutPictures()
    {
        string shards = _folder.File("shards");
        Directory.CreateDirectory(Path.Combine(shards, "licenses"));
        File.WriteAllText(Path.Combine(shards, "licenses", "CC0.txt"), "text");
        using (var tar = new TarWriter(File.Create(Path.Combine(shards, "a.tar")), TarEntryFormat.Ustar)) Entry(tar, "1.png", Png(1));
        Assert.IsType<TarDataset>(ImageDataset.Open(shards));
        using (var tar = new TarWriter(File.Create(Path.Combine(shards, "b.tar")), TarEntryFormat.Ustar)) Entry(tar, "2.png", Png(2));
        File.WriteAllBytes(Path.Combine(shards, "licenses", "logo.png"), Png(2));
        Assert.Equal(2, Assert.IsType<TarDataset>(ImageDataset.Open(shards)).Count); // a stray picture is not the data set
    }

    [Fact]
    public void PhotosBesideATarOfSomethingElseAreTheDataSet()
    {
        Picture("photos/1.png", 1);
        Picture("photos/2.png", 2);
        using (var tar = new TarWriter(File.Create(At("photos/backup.tar")), TarEntryFormat.Ustar)) Entry(tar, "1.png", Png(1));
        File.WriteAllText(At("photos/broken.tar"), new string('x', 2000));
        Assert.Equal(2, Assert.IsType<FileDataset>(ImageDataset.Open(At("photos"))).Count);
        File.Delete(At("photos/broken.tar"));
        Assert.Equal(2, Assert.IsType<FileDataset>(ImageDataset.Open(At("photos"))).Count);
        Assert.IsType<TarDataset>(ImageDataset.Open($"Tar:root={At("photos")}"));
    }

    [Fact]
    public void SumsHaveWeights()
    {
        var mixed = Assert.IsType<MixedDataset>(ImageDataset.Open("0.75 * Synthetic:count=10 + 0.25*Synthetic:seed=1:count=30"));
        Assert.Equal([0.75, 0.25], mixed.Sources.Select(s => s.Share));
        Assert.Equal([0.25, 0.75], Assert.IsType<MixedDataset>(ImageDataset.Open("Synthetic:count=10 + Synthetic:seed=1:count=30")).Sources.Select(s => s.Share));
        Assert.Contains("weight", Assert.Throws<DinoSharpException>(() => ImageDataset.Open("0.5 * Synthetic: + Synthetic:seed=1")).Message);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("Synthetic:sede=3", "did you mean seed")]
    [InlineData("Synthetic:seed=x", "whole number")]
    [InlineData("Synthetic:size=99999", "4096")]
    [InlineData("Synthetic:seed=1:seed=2", "twice")]
    [InlineData("Synthetic:12", "key=value")]
    [InlineData("ImageNet:split=TRAIN", "root")]
    [InlineData("ImageNet:root=/x:split=TEST2", "TRAIN, VAL, TEST")]
    [InlineData("ImgeNet:split=TRAIN:root=/x", "did you mean ImageNet")]
    [InlineData("/no/such/folder", "/no/such/folder")]
    public void WhatCannotBeUnderstoodIsNamed(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<DinoSharpException>(() => ImageDataset.Open(text)).Message);

    [Fact]
    public void PathsAreRecognised()
    {
        Picture("set/a/1.png", 1);
        Picture("set/b:c/2.png", 2);
        Assert.Equal(2, ImageDataset.Open(At("set")).Classes.Count);
        Assert.Equal(2, ImageDataset.Open($"Folder:root={At("set")}").Count);
        Assert.Equal(1, ImageDataset.Open(At("set/b:c")).Count);
        Assert.Equal(1, ImageDataset.Open($"Folder:root={At("set/b:c")}").Count);
        File.WriteAllText(At("list.csv"), "path\nset/a/1.png\n");
        Assert.Equal(1, ImageDataset.Open(At("list.csv")).Count);
    }

    [Fact]
    public void ImageNetIsFoundByFolderAndByTable()
    {
        Picture("in/train/n02/n02_7.JPEG", 1);
        Picture("in/train/n02/n02_12.JPEG", 2);
        Picture("in/train/n01/n01_3.JPEG", 3);
        Picture("in/val/n01/ILSVRC2012_val_00000005.JPEG", 4);
        Picture("in/test/ILSVRC2012_test_00000009.JPEG", 5);
        File.WriteAllText(At("in/labels.txt"), "n01,tench\nn02,\"goldfish, Carassius\"\n");
        foreach (string split in (string[])["TRAIN", "VAL", "TEST"])
        {
            ImageNet.WriteTables(At("in"), split, At("in/extra"));
            var listed = (FileDataset)ImageDataset.Open($"ImageNet:split={split}:root={At("in")}");
            var tabled = (FileDataset)ImageDataset.Open($"ImageNet:split={split}:root={At("in")}:extra={At("in/extra")}");
            Assert.Equal(Enumerable.Range(0, listed.Count).Select(listed.PathOf), Enumerable.Range(0, tabled.Count).Select(tabled.PathOf));
            Assert.Equal(Enumerable.Range(0, listed.Count).Select(listed.LabelOf), Enumerable.Range(0, tabled.Count).Select(tabled.LabelOf));
            Assert.Equal(listed.Classes, tabled.Classes);
            Assert.True(tabled.Read(0).Width > 0);
        }

        Assert.Equal(["tench", "goldfish, Carassius"], ImageNet.Open(At("in"), "train").Classes);
        // Two classes of one name are told apart by their ids, also from tables, which hold the name alone.
        File.WriteAllText(At("in/labels.txt"), "n01,crane\nn02,crane\n");
        Assert.Equal(["crane (n01)", "crane (n02)"], ImageNet.Open(At("in"), "train").Classes);
        ImageNet.WriteTables(At("in"), "TRAIN", At("in/twice"));
        Assert.Equal(["crane (n01)", "crane (n02)"], ImageNet.Open(At("in"), "TRAIN", At("in/twice")).Classes);
        Assert.Contains("train/WNID", Assert.Throws<DinoSharpException>(() => ImageNet.Open(At("set"), "TRAIN")).Message);
    }

    [Fact]
    public void ATableOfNumpyIsReadByteByByte()
    {
        // Written by hand as NumPy does: version 1.0, packed little-endian fields, UCS-4 strings.
        string header = "{'descr': [('actual_index', '<u4'), ('class_index', '<u4'), ('class_id', '<U3'), ('class_name', '<U2')], 'fortran_order': False, 'shape': (2,), }";
        header = header.PadRight(64 * ((header.Length + 74) / 64) - 11) + "\n";
        byte[] rows = [7, 0, 0, 0, 1, 0, 0, 0, .. Encoding.UTF32.GetBytes("n02"), .. Encoding.UTF32.GetBytes("é\0"), 255, 255, 255, 255, 0, 1, 0, 0, .. Encoding.UTF32.GetBytes("n\0\0"), .. Encoding.UTF32.GetBytes("ok")];
        File.WriteAllBytes(At("t.npy"), [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, (byte)(header.Length >> 8), .. Encoding.ASCII.GetBytes(header), .. rows]);
        NpyTable table = NpyTable.Read(At("t.npy"));
        Assert.Equal(2, table.Rows);
        Assert.Equal((7u, 1u, "n02", "é"), (table.Number("actual_index", 0), table.Number("class_index", 0), table.Text("class_id", 0), table.Text("class_name", 0)));
        Assert.Equal((uint.MaxValue, 256u, "n", "ok"), (table.Number("actual_index", 1), table.Number("class_index", 1), table.Text("class_id", 1), table.Text("class_name", 1)));
        File.WriteAllBytes(At("short.npy"), File.ReadAllBytes(At("t.npy"))[..^1]);
        Assert.Contains("truncated", Assert.Throws<DinoSharpException>(() => NpyTable.Read(At("short.npy"))).Message);
        Assert.Contains("no column", Assert.Throws<DinoSharpException>(() => table.Text("wnid", 0)).Message);
        File.WriteAllText(At("no.npy"), "something else");
        Assert.Contains(".npy", Assert.Throws<DinoSharpException>(() => NpyTable.Read(At("no.npy"))).Message);
    }

    [Fact]
    public void ImageNet22kIsReadFromItsTars()
    {
        byte[] first = Png(1), second = Png(2);
        using (var tar = new TarWriter(File.Create(At("n01.tar")), TarEntryFormat.Ustar))
        {
            Entry(tar, "n01_1.JPEG", first);
            Entry(tar, "n01_2.JPEG", second);
        }

        using (var tar = new TarWriter(File.Create(At("n02.tar")), TarEntryFormat.Ustar)) Entry(tar, "n02_1.JPEG", Png(3));
        uint next = 512 + (uint)(first.Length + 511) / 512 * 512; // offsets are those of whole members, header included
        NpyTable.Write(At("entries.npy"),
        [
            ("class_index", [0u, 0u, 1u]), ("class_id", ["n01", "n01", "n02"]), ("start_offset", [0u, next, 0u]),
            ("end_offset", [next, next + 512 + (uint)(second.Length + 511) / 512 * 512, 512 + (uint)(Png(3).Length + 511) / 512 * 512]), ("filename", ["n01_1.JPEG", "n01_2.JPEG", "n02_1.JPEG"]),
        ]);
        foreach (string extra in (string[])["", $":extra={At("")}"])
        {
            ImageDataset data = ImageDataset.Open($"ImageNet22k:root={At("")}{extra}");
            Assert.Equal([1, 2, 3], Enumerable.Range(0, 3).Select(i => (int)data.Read(i).Bytes[0]));
            Assert.Equal([0, 0, 1], Enumerable.Range(0, 3).Select(i => data.LabelOf(i)!.Value));
            Assert.Equal(["n01", "n02"], data.Classes);
        }
    }

    [Fact]
    public void ListsOfTheFieldAreRead()
    {
        Picture("ade/images/training/b.jpg", 2);
        Picture("ade/images/training/a.jpg", 1);
        File.WriteAllText(At("ade/ADE20K_object150_train.txt"), "training/b.jpg\ntraining/a.jpg\n");
        var ade = (FileDataset)ImageDataset.Open($"ADE20K:split=TRAIN:root={At("ade")}");
        Assert.Equal((1, At("ade/annotations/training/a.png")), (ade.Read(0).Bytes[0], ade.TargetOf(0)));

        Picture("nyu/kitchen/rgb_1.png", 5);
        File.WriteAllText(At("nyu/nyu_test.txt"), "/kitchen/rgb_1.png /kitchen/depth_1.png 518.8579\n");
        var nyu = (FileDataset)ImageDataset.Open($"NYU:split=VAL:root={At("nyu")}");
        Assert.Equal((5, At("nyu/kitchen/depth_1.png")), (nyu.Read(0).Bytes[0], nyu.TargetOf(0)));

        Picture("coco/val2017/val2017/000000000009.jpg", 9);
        Directory.CreateDirectory(At("coco/annotations_trainval2017/annotations"));
        File.WriteAllText(At("coco/annotations_trainval2017/annotations/captions_val2017.json"), """{"images": [{"id": 9, "file_name": "000000000009.jpg"}], "annotations": [{"image_id": 9, "caption": "A cat. "}, {"image_id": 9, "caption": "Another."}]}""");
        var coco = (FileDataset)ImageDataset.Open($"CocoCaptions:split=VAL:root={At("coco")}");
        Assert.Equal((9, "A cat."), (coco.Read(0).Bytes[0], coco.TargetOf(0)));
        Assert.Contains("captions_train2014.json", Assert.Throws<DinoSharpException>(() => ImageDataset.Open($"CocoCaptions:split=TRAIN:root={At("coco")}")).Message);
    }

    private static void Entry(TarWriter tar, string name, byte[] content) => tar.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(content) });

    private string At(string name) => Path.Combine(_folder.Path, name).TrimEnd('/');

    private void Picture(string name, byte tone)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(At(name))!);
        File.WriteAllBytes(At(name), Png(tone));
    }

    private byte[] Png(byte tone)
    {
        string path = At("tone.png");
        ImageBuffer.FromSamples<byte>(30, 20, 3, [.. Enumerable.Repeat(tone, 1800)]).Save(path);
        byte[] bytes = File.ReadAllBytes(path);
        File.Delete(path);
        return bytes;
    }
}
