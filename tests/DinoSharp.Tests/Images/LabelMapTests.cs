using CsCheck;
using DinoSharp.Images;
using Xunit;

namespace DinoSharp.Tests.Images;

public sealed class LabelMapTests
{
    [Fact]
    public void IdsSurviveTheFile()
    {
        using var folder = new TemporaryFolder();
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 40], Gen.Int[0, 1000]).Sample((width, height, seed) =>
        {
            byte[] values = new byte[width * height];
            new Random(seed).NextBytes(values);
            string path = folder.File($"{width}-{height}-{seed}.png");
            new LabelMap(width, height, values).Save(path);
            LabelMap read = LabelMap.Read(path);
            return (read.Width, read.Height) == (width, height) && read.Values.SequenceEqual(values);
        }, iter: 30);
    }

    [Fact]
    public void TheColoursAreThoseOfPascalVoc()
    {
        Assert.Equal(((byte)0, (byte)0, (byte)0), LabelMap.Color(0));
        Assert.Equal(((byte)128, (byte)0, (byte)0), LabelMap.Color(1));
        Assert.Equal(((byte)224, (byte)224, (byte)192), LabelMap.Color(255));
        using var folder = new TemporaryFolder();
        new LabelMap(2, 1, [2, 3]).Save(folder.File("a.png"));
        Assert.Equal([0, 128, 0, 128, 128, 0], ImageFile.Read(folder.File("a.png")).ToRgb8().Samples<byte>().ToArray());
    }

    [Fact]
    public void APaletteFileGivesEntriesAndNotColours()
    {
        LabelMap mask = LabelMap.Read(Repository.Shared("data/video/cups/masks/00000.png"));
        Assert.Equal((640, 360), (mask.Width, mask.Height));
        Assert.Equal([0, 1, 2, 3, 4], mask.Ids);
    }

    [Fact]
    public void GrayFilesGiveTheirValues()
    {
        LabelMap labels = LabelMap.Read(Directory.EnumerateFiles(Repository.Shared("data/segmentation/road_composite/labels/val"), "*.png").Order().First());
        Assert.All(labels.Ids, id => Assert.InRange(id, 0, 11));
    }

    [Fact]
    public void OtherPicturesAreRefused()
    {
        using var folder = new TemporaryFolder();
        ImageBuffer.FromSamples<byte>(1, 1, 3, [1, 2, 3]).Save(folder.File("colour.png"));
        Assert.Contains("coloured", Assert.Throws<ImageException>(() => LabelMap.Read(folder.File("colour.png"))).Message);
        ImageBuffer.FromSamples<ushort>(1, 1, 1, [300]).Save(folder.File("deep.png"));
        Assert.Contains("300", Assert.Throws<ImageException>(() => LabelMap.Read(folder.File("deep.png"))).Message);
        Assert.Throws<ImageException>(() => LabelMap.Read(folder.File("missing.png")));
        Assert.Throws<ImageException>(() => new LabelMap(1, 1, [1]).Save(folder.File("a.jpg")));
        Assert.Empty(Directory.GetFiles(folder.Path, "*.tmp"));
    }

    [Fact]
    public void ADamagedPaletteFileIsAnError()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("a.png");
        new LabelMap(64, 64, [.. Enumerable.Range(0, 4096).Select(i => (byte)(i * i))]).Save(path);
        byte[] whole = File.ReadAllBytes(path);
        foreach (int length in new[] { 20, 40, 900, whole.Length - 20 })
        {
            File.WriteAllBytes(path, whole[..length]);
            Assert.Throws<ImageException>(() => LabelMap.Read(path));
        }
    }

    [Fact]
    public void ResizingTakesThePixelUnderTheMiddle()
    {
        var map = new LabelMap(4, 1, [1, 2, 3, 4]);
        Assert.Equal([2, 4], map.ResizeNearestExact(2, 1).Values.ToArray());
        Assert.Equal([1, 1, 2, 2, 3, 3, 4, 4], map.ResizeNearestExact(8, 1).Values.ToArray());
    }
}
