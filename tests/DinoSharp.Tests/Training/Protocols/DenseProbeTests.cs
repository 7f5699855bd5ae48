using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Protocols;

/// <summary>The linear dense protocols and the readers of their data.</summary>
public sealed class DenseProbeTests(TinyModel tiny) : IClassFixture<TinyModel>
{
    private const int Width = 160, Height = 96;

    // The bright disk of the tiny model's pictures is class 1, everything else class 0; a corner does not count.
    private SegmentationImages Disks(string name)
    {
        for (int i = 0; i < 4; i++)
        {
            string part = i < 3 ? "train" : "val";
            tiny.Draw($"{name}/images/{part}/{i}.png", Width, Height, seed: i);
            Directory.CreateDirectory(tiny.File($"{name}/labels/{part}"));
            double x = Width * (0.3 + (0.1 * (i % 5)));
            new LabelMap(Width, Height, [.. Enumerable.Range(0, Width * Height).Select(p => p < 40 ? (byte)7 : Math.Pow((p % Width) - x, 2) + Math.Pow((p / Width) - 48, 2) < 830 ? (byte)5 : (byte)3)])
                .Save(tiny.File($"{name}/labels/{part}/{i}.png"));
        }

        File.WriteAllText(tiny.File($"{name}/classes.csv"), "id,name,ignore\n3,ground,0\n5,disk,0\n7,nothing,1\n");
        return SegmentationImages.Open(tiny.File(name), train: true);
    }

    [Theory]
    [InlineData(3)] // stored features
    [InlineData(0)] // fresh views in every step
    public void SegmentationLearnsADisk(int views)
    {
        SegmentationImages train = Disks("disks" + views), val = SegmentationImages.Open(tiny.File("disks" + views), train: false);
        using DinoModel model = DinoModel.Load(tiny.Path);
        var options = new DenseProbeOptions { Steps = views > 0 ? 150 : 2, BatchSize = 3, Views = views, SizePixels = 96 };
        var reports = new List<long>();
        int pictures = 0;
        EvaluationResult result = SegmentationProtocol.Run(model, train, val, options, new Steps(reports), default, (_, picture, predicted) =>
        {
            pictures++;
            Assert.Equal((picture.Width, picture.Height), (predicted.Labels.Width, predicted.Labels.Height));
        });
        Assert.Equal(1, pictures);
        Assert.Equal(DenseProbe.Length(3, options) + 1, reports[^1]);
        if (views > 0) Assert.InRange(result.Metrics["miou"], 0.7, 1);
        Assert.Equal((result.Metrics["iou ground"] + result.Metrics["iou disk"]) / 2, result.Metrics["miou"], 12);
        Assert.Equal(result.Metrics["miou"], result.Score([0]), 12);
    }

    [Fact]
    public void DepthMovesFromTheMiddleOfTheBinsTowardsTheTruth()
    {
        // Bright disk near, ground far. The view is 416 x 544, so the pictures are larger.
        for (int i = 0; i < 3; i++)
        {
            string part = i < 2 ? "train" : "val";
            tiny.Draw($"depth/{part}/rgb/{i}.png", 560, 432, seed: i);
            double x = 560 * (0.3 + (0.1 * i));
            Directory.CreateDirectory(tiny.File($"depth/{part}/depth"));
            ImageBuffer.FromSamples<ushort>(560, 432, 1, [.. Enumerable.Range(0, 560 * 432).Select(p => p < 600 ? (ushort)0 : Math.Pow((p % 560) - x, 2) + Math.Pow((p / 560) - 216, 2) < 16800 ? (ushort)1000 : (ushort)3000)]).Save(tiny.File($"depth/{part}/depth/{i}.png"));
        }

        DepthImages train = DepthImages.Open(tiny.File("depth"), train: true), val = DepthImages.Open(tiny.File("depth"), train: false);
        Assert.Equal((0f, 3f), (val.Read(0).Meters[0], val.Read(0).Meters[700]));
        using DinoModel model = DinoModel.Load(tiny.Path);
        EvaluationResult result = DepthProtocol.Run(model, train, val, options: new DenseProbeOptions { Steps = 60, BatchSize = 2, Views = 1 });
        Assert.InRange(result.Metrics["rmse"], 0, 2); // an untrained head says 5 m everywhere, the middle of the bins: 2.4
        Assert.False(result.HigherIsBetter);
        Assert.Throws<DinoSharpException>(() => DepthImages.Open(tiny.File("depth"), train: true, metersPerUnit: 0));
    }

    [Fact]
    public void SegmentationLayoutsAreRecognised()
    {
        Assert.Contains("ADE20K", Assert.Throws<DinoSharpException>(() => SegmentationImages.Open(tiny.File("nowhere"), train: true)).Message);

        Label("ade/annotations/training/x.png", 0, 1, 150);
        tiny.Draw("ade/images/training/x.jpg", 3, 1);
        SegmentationImages ade = SegmentationImages.Open(tiny.File("ade"), train: true);
        Assert.Equal((150, "wall"), (ade.Classes.Count, ade.Classes[0]));
        Assert.Equal([255, 0, 149], ade.Read(0).Values.ToArray());
        Assert.Contains("images/validation", Assert.Throws<DinoSharpException>(() => SegmentationImages.Open(tiny.File("ade"), train: false)).Message.Replace('\\', '/'));

        Label("city/gtFine/val/ulm/ulm_000_gtFine_labelIds.png", 7, 33, 4);
        tiny.Draw("city/leftImg8bit/val/ulm/ulm_000_leftImg8bit.png", 3, 1);
        SegmentationImages city = SegmentationImages.Open(tiny.File("city"), train: false);
        Assert.Equal([0, 18, 255], city.Read(0).Values.ToArray());
        Assert.Equal(19, city.Classes.Count);

        Label("voc/SegmentationClass/a.png", 0, 20, 255);
        tiny.Draw("voc/JPEGImages/a.jpg", 3, 1);
        Assert.Contains("val.txt", Assert.Throws<DinoSharpException>(() => SegmentationImages.Open(tiny.File("voc"), train: false)).Message);
        Directory.CreateDirectory(tiny.File("voc/ImageSets/Segmentation"));
        File.WriteAllText(tiny.File("voc/ImageSets/Segmentation/val.txt"), "a\n");
        Assert.Equal([0, 20, 255], SegmentationImages.Open(tiny.File("voc"), train: false).Read(0).Values.ToArray());
        File.AppendAllText(tiny.File("voc/ImageSets/Segmentation/val.txt"), "b\n");
        Assert.Contains("b.jpg", Assert.Throws<DinoSharpException>(() => SegmentationImages.Open(tiny.File("voc"), train: false)).Message);

        Label("camvid/valannot/a.png", 0, 10, 11);
        tiny.Draw("camvid/val/a.png", 3, 1);
        SegmentationImages camvid = SegmentationImages.Open(tiny.File("camvid"), train: false);
        Assert.Equal([0, 10, 255], camvid.Read(0).Values.ToArray());
        Assert.Equal((11, "bicyclist"), (camvid.Classes.Count, camvid.Classes[10]));
        string missing = Assert.Throws<DinoSharpException>(() => SegmentationImages.Open(tiny.File("camvid"), train: true)).Message;
        Assert.Contains("there is no " + tiny.File("camvid/train"), missing);
        Assert.Contains("CamVid: {train,val}/NAME.png", missing);

        SegmentationImages disks = Disks("table");
        Assert.Equal(["ground", "disk"], disks.Classes);
        Assert.Equal([0, 1, 255], disks.Read(0).Values.ToArray().Distinct().Order().Select(v => (int)v));
        File.WriteAllText(tiny.File("table/classes.csv"), "number,name\n1,x\n");
        Assert.Contains("expected id and name", Assert.Throws<DinoSharpException>(() => SegmentationImages.Open(tiny.File("table"), train: true)).Message);
    }

    [Fact]
    public void NyuListsAreRead()
    {
        tiny.Draw("nyu/rgb/1.jpg", 64, 48);
        Directory.CreateDirectory(tiny.File("nyu/d"));
        ImageBuffer.FromSamples<ushort>(64, 48, 1, new ushort[64 * 48]).Save(tiny.File("nyu/d/1.png"));
        Assert.Contains("nyu_test.txt", Assert.Throws<DinoSharpException>(() => DepthImages.Open(tiny.File("nyu"), train: false)).Message);
        File.WriteAllText(tiny.File("nyu/nyu_test.txt"), "/rgb/1.jpg /d/1.png 518.8\n/rgb/2.jpg None 518.8\n");
        DepthImages nyu = DepthImages.Open(tiny.File("nyu"), train: false);
        Assert.Equal((1, DepthRegion.NyuEigen), (nyu.Images.Count, nyu.Region));
        File.WriteAllText(tiny.File("nyu/nyu_test.txt"), "rgb/3.jpg d/1.png\n");
        Assert.Contains("3.jpg", Assert.Throws<DinoSharpException>(() => DepthImages.Open(tiny.File("nyu"), train: false)).Message);
        tiny.Draw("nyu/d/2.png");
        File.WriteAllText(tiny.File("nyu/nyu_test.txt"), "rgb/1.jpg d/2.png\n");
        Assert.Contains("16 bit", Assert.Throws<ImageException>(() => DepthImages.Open(tiny.File("nyu"), train: false).Read(0)).Message);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("input/", "gt_depth/")]
    public void KittiListsAreRead(string pictures, string depths)
    {
        string root = tiny.File("kitti" + pictures.Length);
        tiny.Draw($"kitti{pictures.Length}/{pictures}day/image_02/1.png", 100, 50);
        Directory.CreateDirectory(Path.Combine(root, depths, "day"));
        ushort[] depth = new ushort[100 * 50];
        Array.Fill(depth, (ushort)2560);
        ImageBuffer.FromSamples<ushort>(100, 50, 1, depth).Save(Path.Combine(root, depths, "day/1.png"));
        File.WriteAllText(Path.Combine(root, "kitti_eigen_test.txt"), "day/image_02/1.png day/1.png 721.5\nday/image_02/2.png None 721.5\n");
        DepthImages kitti = DepthImages.Open(root, train: false);
        Assert.Equal((1, DepthRegion.KittiGarg, 10f), (kitti.Images.Count, kitti.Region, kitti.Read(0).Meters[0])); // 2560 / 256 m
        // Rows 20 to 48 and columns 3 to 95 of 50 x 100.
        bool[] mask = kitti.Region.Mask(kitti.Read(0).Meters, 100);
        Assert.Equal((20, 48, 3, 95), (Array.IndexOf(mask, true) / 100, Array.LastIndexOf(mask, true) / 100, Array.IndexOf(mask, true) % 100, Array.LastIndexOf(mask, true) % 100));
        Assert.Contains("kitti_eigen_train.txt", Assert.Throws<DinoSharpException>(() => DepthImages.Open(root, train: true)).Message);
    }

    private void Label(string name, params byte[] ids)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(tiny.File(name))!);
        new LabelMap(ids.Length, 1, ids).Save(tiny.File(name));
    }

    private sealed class Steps(List<long> reports) : IProgress<long>
    {
        public void Report(long value) => reports.Add(value);
    }

    [Fact]
    public async Task AHeadThatIsReadyIsScoredByTheSameRule()
    {
        SegmentationImages train = Disks("ready"), val = SegmentationImages.Open(tiny.File("ready"), train: false);
        using DinoModel model = DinoModel.Load(tiny.Path);
        using var random = new Generator(3);
        using var network = new LinearSegmentationHead([model.Backbone.Config.EmbedDim], 2);
        network.Initialize(random);
        HeadInput input = Segmentor.LinearInput(model.Backbone.Config.LayerCount) with { MultiplePixels = model.Preprocessing.PatchSizePixels, Windows = new HeadWindows(96, 64) };
        input = input with { Preprocessing = input.Preprocessing with { Size = SizePolicy.ShorterSideRounded(96) } };
        using var head = new Segmentor(model.Backbone, input, network, train.Classes);
        using var turned = new Segmentor(model.Backbone, input, network, new ClassNames(train.Classes.Reverse()));
        EvaluationResult one = SegmentationProtocol.Score(head, model.Name, val), other = SegmentationProtocol.Score(turned, model.Name, val);
        LabelMap predicted = head.Predict(val.Images[0]).Labels, truth = val.Read(0);
        double right = Enumerable.Range(0, truth.Values.Length).Count(p => truth.Values[p] != SegmentationImages.Ignored && truth.Values[p] == predicted.Values[p]) / (double)truth.Values.ToArray().Count(v => v != SegmentationImages.Ignored);
        Assert.Equal(right, one.Metrics["pixelAccuracy"], 9);
        Assert.Equal(1 - right, other.Metrics["pixelAccuracy"], 9); // two classes under each other's names
        Assert.Equal("10", SegmentationProtocol.Score(head, model.Name, val, SegmentationProtocol.TestTimeAugmentation).Settings["passes"]);
        head.Save(tiny.File("ready.safetensors"));
        Cli.Dino.Outcome outcome = await Cli.Dino.RunAsync("eval", "segment", tiny.File("ready"), "--head", tiny.File("ready.safetensors"), "--model", tiny.Path, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.Equal(one.Metrics["pixelAccuracy"], outcome.Json().GetProperty("metrics").GetProperty("pixelAccuracy").GetDouble(), 6);
        Assert.Contains("--steps is for training", (await Cli.Dino.RunAsync("eval", "segment", tiny.File("ready"), "--head", "x.pth", "--steps", "5")).Error, StringComparison.Ordinal);
        using var three = new LinearSegmentationHead([model.Backbone.Config.EmbedDim], 3);
        using var unlike = new Segmentor(model.Backbone, input, three, ClassNames.Numbered(3));
        Assert.Contains("they must be the same", Assert.Throws<DinoSharpException>(() => SegmentationProtocol.Score(unlike, model.Name, val)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RelativeDepthIsAlignedBeforeItIsScored()
    {
        tiny.Draw("align/val/rgb/0.png", 96, 64, seed: 1);
        using DinoModel model = DinoModel.Load(tiny.Path);
        using var random = new Generator(3);
        using var network = new LinearDepthHead([model.Backbone.Config.EmbedDim], 16);
        network.Initialize(random);
        using (no_grad()) network.parameters().First(p => p.dim() == 4).mul_(100); // depths that differ
        using var head = new DepthEstimator(model.Backbone, DepthEstimator.LinearInput(model.Backbone.Config.LayerCount) with { MultiplePixels = model.Preprocessing.PatchSizePixels }, network, DepthBins.Nyu);
        DepthMap predicted = head.Predict(tiny.File("align/val/rgb/0.png"), new DenseOptions { Flip = true });
        Directory.CreateDirectory(tiny.File("align/val/depth"));
        ImageBuffer.FromSamples<ushort>(96, 64, 1, [.. predicted.Meters.ToArray().Select(m => (ushort)Math.Round(((0.5 * m) + 1) * 1000))]).Save(tiny.File("align/val/depth/0.png"));
        DepthImages val = DepthImages.Open(tiny.File("align"), train: false);
        Assert.InRange(DepthProtocol.Score(head, model.Name, val, align: true).Metrics["rmse"], 0, 0.001);
        Assert.InRange(DepthProtocol.Score(head, model.Name, val).Metrics["rmse"], 0.05, 10);
        head.Save(tiny.File("align.safetensors"));
        Cli.Dino.Outcome outcome = await Cli.Dino.RunAsync("eval", "depth", tiny.File("align"), "--head", tiny.File("align.safetensors"), "--align", "--model", tiny.Path, "--json");
        Assert.Equal((0, ""), (outcome.Code, outcome.Error));
        Assert.InRange(outcome.Json().GetProperty("metrics").GetProperty("rmse").GetDouble(), 0, 0.001);
    }
}
