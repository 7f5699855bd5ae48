using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using DinoSharp.Heads;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>Annotations lie on the pixels as they are stored; what does not fit is told before anything is computed, and what is damaged costs no training.</summary>
public sealed class PictureGridTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    // Stored 4:3 or 3:4, to be turned by a quarter.
    private static string Turned => Repository.Shared("data/odd/exif_orientation_6.jpg");

    [Fact]
    public void APictureIsReadAsItIsStoredIfThatIsAskedFor()
    {
        ImageBuffer upright = ImageFile.Read(Turned), stored = ImageFile.Read(ImageSource.Stored(Turned));
        Assert.Equal((upright.Width, upright.Height), (stored.Height, stored.Width));
        ImageInfo info = ImageFile.ReadInfo(ImageSource.Stored(Turned));
        Assert.Equal((stored.Width, stored.Height, 6), (info.Width, info.Height, info.Orientation));
    }

    [Fact]
    public void FeaturesOfTheStoredPictureAreOthersThanThoseOfTheUprightOne()
    {
        using DinoModel model = DinoModel.Load(tiny.Path);
        var input = new HeadInput { Layers = [2], Preprocessing = new Preprocessing { Size = SizePolicy.ShorterSide(48), PatchSizePixels = 16 }, MultiplePixels = 16 };
        var stored = new FeatureStore(model, input, FeatureKind.Dense, tiny.File("grid-cache")) { AsStored = true };
        var upright = new FeatureStore(model, input, FeatureKind.Dense, tiny.File("grid-cache"));
        StoredImage a = stored.Prepare([Turned]).Images[0]!, b = upright.Prepare([Turned]).Images[0]!;
        Assert.Equal((1, 1), (stored.Computed, upright.Computed)); // not each other's
        Assert.NotEqual(a.Hash, b.Hash);
        Assert.Equal((a.Grid.Rows, a.Grid.Columns), (b.Grid.Columns, b.Grid.Rows));
        string straight = tiny.Draw("straight.png");
        Assert.Equal(upright.Prepare([straight]).Images[0]!.Hash, stored.Prepare([straight]).Images[0]!.Hash); // where nothing is turned they are shared
        Assert.Equal((1, 2), (stored.Computed, upright.Computed));
    }

    [Fact]
    public void LabelMapsOfTurnedPicturesLieOnTheStoredPixels()
    {
        ImageInfo stored = ImageFile.ReadInfo(ImageSource.Stored(Turned));
        SegmentationImages fits = Maps("fits", stored.Width, stored.Height), turned = Maps("turned", stored.Height, stored.Width);
        using DinoModel model = DinoModel.Load(tiny.Path);
        var options = new DenseProbeOptions { Steps = 1, BatchSize = 1, Views = 1, SizePixels = 48 };
        Assert.Single(SegmentationProtocol.Run(model, fits, fits, options).Items);
        string message = Assert.Throws<DinoSharpException>(() => SegmentationProtocol.Run(model, fits, turned, options, onPicture: (_, _, _) => Assert.Fail("nothing is computed"))).Message;
        Assert.Contains("EXIF orientation 6", message);
        Assert.Contains("1 of 1 pictures cannot be used", message);
    }

    [Fact]
    public void BoxesOfAnotherSizeAreRefusedBeforeAnythingIsDetected()
    {
        ImageInfo stored = ImageFile.ReadInfo(ImageSource.Stored(Turned));
        BoxAnnotations Boxes(int width, int height, bool upright = false) =>
            new("made up", [new BoxedImage(Turned, width, height, [new(0, 1, new Box(1, 1, 9, 9))]) { Upright = upright }], new Dictionary<int, string> { [1] = "cat" });
        Boxes(stored.Width, stored.Height).RequirePictures();
        Boxes(stored.Height, stored.Width, upright: true).RequirePictures(); // YOLO
        Assert.Contains("EXIF orientation 6", Assert.Throws<DinoSharpException>(() => Boxes(stored.Height, stored.Width).RequirePictures()).Message);
        File.WriteAllText(tiny.File("broken.jpg"), "no picture");
        BoxAnnotations broken = Boxes(1, 1) with { Images = [new BoxedImage(tiny.File("broken.jpg"), null, null, [])] };
        Assert.Contains("broken.jpg", Assert.Throws<DinoSharpException>(() => DetectionProtocol.Run(_ => throw new InvalidOperationException("nothing is detected"), broken, "")).Message);
    }

    [Fact]
    public void ADamagedPictureToScoreIsLeftOutAndNamed()
    {
        foreach (string name in (string[])["0", "1"]) Pair("damaged", "val", name);
        Pair("damaged", "train", "0");
        File.WriteAllText(tiny.File("damaged/classes.csv"), "id,name\n0,left\n1,right\n");
        string file = tiny.File("damaged/images/val/1.png");
        byte[] bytes = File.ReadAllBytes(file);
        File.WriteAllBytes(file, bytes[..(bytes.Length / 2)]); // the header is whole
        using DinoModel model = DinoModel.Load(tiny.Path);
        EvaluationResult result = SegmentationProtocol.Run(
            model, SegmentationImages.Open(tiny.File("damaged"), train: true), SegmentationImages.Open(tiny.File("damaged"), train: false), new DenseProbeOptions { Steps = 1, BatchSize = 1, Views = 1, SizePixels = 48 });
        Assert.Equal(tiny.File("damaged/images/val/0.png"), Assert.Single(result.Items));
        Assert.Equal(file, Assert.Single(result.Skipped).Name);
    }

    [Fact]
    public void SmallDepthPicturesHaveSmallViews()
    {
        foreach (string part in (string[])["train", "val"]) Depth("small", part, 96, 64);
        using DinoModel model = DinoModel.Load(tiny.Path);
        var options = new DenseProbeOptions { Steps = 2, BatchSize = 1, Views = 1 };
        EvaluationResult result = DepthProtocol.Run(model, DepthImages.Open(tiny.File("small"), train: true), DepthImages.Open(tiny.File("small"), train: false), options: options);
        Assert.True(result.Metrics["rmse"] > 0);
        foreach (string part in (string[])["train", "val"]) Depth("speck", part, 96, 12);
        Assert.Contains("less than a patch of 16x16", Assert.Throws<DinoSharpException>(() => DepthProtocol.Run(model, DepthImages.Open(tiny.File("speck"), train: true), DepthImages.Open(tiny.File("speck"), train: false), options: options)).Message);
    }

    private SegmentationImages Maps(string name, int width, int height)
    {
        Directory.CreateDirectory(tiny.File($"{name}/images/val"));
        Directory.CreateDirectory(tiny.File($"{name}/labels/val"));
        File.Copy(Turned, tiny.File($"{name}/images/val/a.jpg"), overwrite: true);
        new LabelMap(width, height, [.. Enumerable.Range(0, width * height).Select(i => (byte)(i % width * 2 / width))]).Save(tiny.File($"{name}/labels/val/a.png"));
        File.WriteAllText(tiny.File($"{name}/classes.csv"), "id,name\n0,left\n1,right\n");
        return SegmentationImages.Open(tiny.File(name), train: false);
    }

    private void Pair(string name, string part, string picture)
    {
        tiny.Draw($"{name}/images/{part}/{picture}.png", 96, 64);
        Directory.CreateDirectory(tiny.File($"{name}/labels/{part}"));
        new LabelMap(96, 64, [.. Enumerable.Range(0, 96 * 64).Select(i => (byte)(i % 96 / 48))]).Save(tiny.File($"{name}/labels/{part}/{picture}.png"));
    }

    private void Depth(string name, string part, int width, int height)
    {
        tiny.Draw($"{name}/{part}/rgb/a.png", width, height);
        Directory.CreateDirectory(tiny.File($"{name}/{part}/depth"));
        ushort[] depth = new ushort[width * height];
        Array.Fill(depth, (ushort)2000);
        ImageBuffer.FromSamples<ushort>(width, height, 1, depth).Save(tiny.File($"{name}/{part}/depth/a.png"));
    }
}
