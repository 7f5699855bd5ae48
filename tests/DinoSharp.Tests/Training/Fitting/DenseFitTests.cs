using DinoSharp.Backbones;
using DinoSharp.Evaluation;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Detection;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Features;
using DinoSharp.Training.Fitting;
using DinoSharp.Weights;
using Xunit;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Training.Fitting;

/// <summary>A small network of four layers, which the DPT decoder needs, and painted scenes.</summary>
public sealed class FourLayers : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public FourLayers()
    {
        using var scope = NewDisposeScope();
        using Backbone backbone = Backbone.Create(TinyModel.Config with { Depth = 4 });
        backbone.Initialize(new Generator(5));
        SafetensorsWriter.Write(Model, backbone.state_dict());
        Train = PaintedScenes.Draw(_folder, "train", 12, seed: 1);
        Val = PaintedScenes.Draw(_folder, "val", 5, seed: 2);
        System.IO.File.WriteAllText(File("classes.csv"), PaintedScenes.ClassTable);
    }

    public string Model => _folder.File("four.safetensors");

    public string Train { get; }

    public string Val { get; }

    public string File(params string[] names) => _folder.File(names);

    public void Dispose() => _folder.Dispose();
}

public sealed class DenseFitTests(FourLayers scenes) : IClassFixture<FourLayers>
{
    private DenseFitOptions Options(DenseDecoder decoder = DenseDecoder.Linear, int steps = 80) =>
        new() { Decoder = decoder, ImageSizePixels = 64, Steps = steps, BatchSize = 4, LearningRate = 5e-3, CacheFolder = scenes.File("cache") };

    private MapPairs Train(string maps) => MapPairs.Open(Path.Combine(scenes.Train, "images"), Path.Combine(scenes.Train, maps));

    private MapPairs Val(string maps) => MapPairs.Open(Path.Combine(scenes.Val, "images"), Path.Combine(scenes.Val, maps));

    [Theory]
    [InlineData(DenseDecoder.Linear, 0.6)]
    [InlineData(DenseDecoder.Dpt, 0.6)]
    public void ASegmentorLearnsAndIsUsedFromItsFile(DenseDecoder decoder, double least)
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        using SegmentationFitResult result = SegmentationFit.Run(model, Train("labels"), Val("labels"), ClassTable.Read(scenes.File("classes.csv")), Options(decoder));
        Assert.InRange(result.MeanIou.Value, least, 1);
        Assert.InRange(result.MeanIou.Value, result.MeanIou.Low, result.MeanIou.High);
        Assert.Equal((12, 5), result.Counts);
        string path = scenes.File($"segment-{decoder}.safetensors");
        result.Head.Save(path);
        using Head head = Head.Load(model, path);
        Assert.Equal(decoder == DenseDecoder.Linear ? HeadKind.LinearSegmentation : HeadKind.DptSegmentation, head.Kind);
        foreach (SegmentedExample example in result.Examples)
        {
            SemanticSegmentation answer = Assert.IsType<Segmentor>(head).Predict(example.Image);
            Assert.Equal((example.Truth.Width, example.Truth.Height), (answer.Labels.Width, answer.Labels.Height));
            Assert.All(answer.Labels.Ids, id => Assert.Contains(id, (byte[])[0, 3])); // masks hold the ids of the table
            int same = answer.Labels.Values.ToArray().Zip(example.Predicted.Values.ToArray()).Count(p => p.First == p.Second);
            Assert.InRange(same / (double)answer.Labels.Values.Length, 0.99, 1); // stored features are rounded to float16
        }

        // A second run computes nothing and gives the same bits.
        using SegmentationFitResult again = SegmentationFit.Run(model, Train("labels"), Val("labels"), ClassTable.Read(scenes.File("classes.csv")), Options(decoder));
        Assert.Equal((0, result.MeanIou), (again.Computed, again.MeanIou));
    }

    [Fact]
    public void MistakesInLabelsAreNamed()
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        File.WriteAllText(scenes.File("fewer.csv"), "id,name\n0,ground\n5,box\n");
        Assert.Contains("has the id 3", Error(() => SegmentationFit.Run(model, Train("labels"), Val("labels"), ClassTable.Read(scenes.File("fewer.csv")), Options())));
        Directory.CreateDirectory(scenes.File("partly"));
        File.Copy(Path.Combine(scenes.Train, "labels", "00.png"), scenes.File("partly", "00.png"), overwrite: true);
        Assert.Contains("11 of 12 pictures", Error(() => MapPairs.Open(Path.Combine(scenes.Train, "images"), scenes.File("partly"))));
        foreach (string other in Directory.EnumerateFiles(Path.Combine(scenes.Train, "labels"))) new LabelMap(10, 10, new byte[100]).Save(scenes.File("partly", Path.GetFileName(other)));
        Assert.Contains("is 10x10 pixels, its picture", Error(() => SegmentationFit.Run(model, MapPairs.Open(Path.Combine(scenes.Train, "images"), scenes.File("partly")), Val("labels"), ClassTable.Read(scenes.File("classes.csv")), Options())));
        File.WriteAllText(scenes.File("twice.csv"), "id,name\n0,ground\n0,box\n");
        Assert.Contains("a second time", Error(() => ClassTable.Read(scenes.File("twice.csv"))));
        File.WriteAllText(scenes.File("one.csv"), "id,name\n0,ground\n");
        Assert.Contains("two or more", Error(() => ClassTable.Read(scenes.File("one.csv"))));

        static string Error(Action action) => Assert.Throws<DinoSharpException>(action).Message;
    }

    [Theory]
    [InlineData(DenseDecoder.Linear)]
    [InlineData(DenseDecoder.Dpt)]
    public void ADepthEstimatorBeatsTheMedian(DenseDecoder decoder)
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        DenseFitOptions options = decoder == DenseDecoder.Linear ? Options() : Options(decoder, steps: 160) with { LearningRate = 7e-4 };
        using DepthFitResult result = DepthFit.Run(model, Train("depth"), Val("depth"), 0.001, options);
        Assert.InRange(result.AbsoluteRelative.Value, 0, 0.8 * result.ConstantAbsoluteRelative);
        string path = scenes.File($"depth-{decoder}.safetensors");
        result.Head.Save(path);
        using DepthEstimator head = DepthEstimator.Load(model, path);
        DepthMap map = head.Predict(result.Examples[0].Image);
        Assert.Equal(result.Head.Bins, head.Bins);
        Assert.Equal(result.Examples[0].Predicted.Meters.ToArray().Average(), map.Meters.ToArray().Average(), 1.0);
        Assert.Throws<DinoSharpException>(() => DepthFit.Run(model, Train("depth"), Val("depth"), 0, Options()));
    }

    [Fact]
    public void ADetectorFindsBoxes()
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        BoxAnnotations train = BoxAnnotations.ReadCoco(Path.Combine(scenes.Train, "boxes.json"), Path.Combine(scenes.Train, "images")), val = BoxAnnotations.ReadCoco(Path.Combine(scenes.Val, "boxes.json"), Path.Combine(scenes.Val, "images"));
        using DetectionFitResult result = DetectionFit.Run(model, train, val, Options(steps: 150));
        Assert.InRange(result.Scores.Ap50, 0.6, 1);
        Assert.InRange(result.Ap.Value, result.Ap.Low, result.Ap.High);
        string path = scenes.File("detect.safetensors");
        result.Head.Save(path);
        using Detector head = Detector.Load(model, path);
        foreach (DetectedExample example in result.Examples)
        {
            Detection best = head.Predict(example.Image).All[0];
            Assert.Equal(("box", 5), (best.Name, best.Label));
            Assert.Equal(example.Predicted.All[0].Score, best.Score, 0.05);
        }
    }

    [Fact]
    public void AMirroredPictureHasTheTargetsOfThePictureMirrored()
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        var store = new FeatureStore(model, Options().InputOf(model), FeatureKind.Dense, scenes.File("mirror-cache"));
        string path = Directory.EnumerateFiles(Path.Combine(scenes.Train, "images")).Order().First();
        string mirror = scenes.File("mirror.png");
        ImageBuffer picture = ImageFile.Read(path).ToRgb8();
        byte[] samples = new byte[picture.Width * picture.Height * 3];
        for (int p = 0; p < picture.Width * picture.Height; p++)
        {
            int from = ((p / picture.Width) * picture.Width) + picture.Width - 1 - (p % picture.Width);
            for (int c = 0; c < 3; c++) samples[(p * 3) + c] = picture.Samples<byte>()[(from * 3) + c];
        }

        ImageBuffer.FromSamples<byte>(picture.Width, picture.Height, 3, samples).Save(mirror);
        StoredImage seen = store.Prepare([path], mirrored: true).Images[0]!, plain = store.Prepare([path]).Images[0]!, drawn = store.Prepare([mirror]).Images[0]!;
        Assert.Equal(3, store.Computed);
        Assert.Empty(store.Prepare([path], mirrored: true).Errors);
        Assert.Equal(3, store.Computed);

        // Targets of the mirrored features are those of the mirrored picture: the same cells, columns exchanged.
        (int[] pixels, int rows, int columns) = DenseTraining.Cells(seen);
        (int[] straight, _, _) = DenseTraining.Cells(drawn);
        int width = picture.Width;
        Assert.Equal(rows * columns, pixels.Length);
        int[] expected = [.. straight.Select(p => p < 0 ? -1 : ((p / width) * width) + width - 1 - (p % width))];
        int agree = pixels.Zip(expected).Count(p => p.First < 0 == p.Second < 0 && (p.First < 0 || Math.Abs(p.First - p.Second) <= 1)); // at cell borders rounding may take the next pixel
        Assert.Equal(pixels.Length, agree);
        Assert.NotEqual(DenseTraining.Cells(plain).Pixels, pixels);

        using var scope = NewDisposeScope();
        AnnotatedObject box = new(0, 0, new Box(10, 20, 30, 25)), mirroredBox = new(0, 0, new Box(width - 40, 20, 30, 25));
        Assert.True(CenterTargets.Draw(seen, [box], 1).allclose(CenterTargets.Draw(drawn, [mirroredBox], 1), rtol: 1e-3, atol: 1e-3));

        // The features themselves are those of the mirrored picture, up to the rounding of its pixels.
        using StoredFeatures inMirror = store.Load(seen), asDrawn = store.Load(drawn), straightOn = store.Load(plain);
        Assert.InRange(Distance(inMirror, asDrawn), 0, 0.2 * Distance(straightOn, asDrawn));

        static double Distance(StoredFeatures one, StoredFeatures two) => (one.Layers[0].Patches - two.Layers[0].Patches).abs().mean().item<float>();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void MirroredPicturesAreLearntAndNotJudged(bool flip)
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        BoxAnnotations boxes = BoxAnnotations.ReadCoco(Path.Combine(scenes.Train, "boxes.json"), Path.Combine(scenes.Train, "images"));
        DenseFitOptions options = Options(steps: 2) with { Flip = flip, CacheFolder = scenes.File($"flip-{flip}") };
        using SegmentationFitResult segmentor = SegmentationFit.Run(model, Train("labels"), Val("labels"), ClassTable.Read(scenes.File("classes.csv")), options);
        Assert.Equal((12, 5, flip ? 29 : 17), (segmentor.Counts.Training, segmentor.Counts.Validation, segmentor.Computed));
        using DepthFitResult depth = DepthFit.Run(model, Train("depth"), Val("depth"), 0.001, options);
        Assert.Equal((12, 5, 0), (depth.Counts.Training, depth.Counts.Validation, depth.Computed));
        using DetectionFitResult detector = DetectionFit.Run(model, boxes, null, options);
        Assert.Equal(12, detector.Counts.Training + detector.Counts.Validation);
    }

    [Fact]
    public void AdviceIsGivenForDenseTasks()
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        var options = new AdvisorOptions { Sizes = [48, 64], MaxPictures = 10, Steps = 4, CacheFolder = scenes.File("advice") };
        BoxAnnotations boxes = BoxAnnotations.ReadCoco(Path.Combine(scenes.Train, "boxes.json"), Path.Combine(scenes.Train, "images"));
        Advice segment = DenseAdvisor.Segment(model, Train("labels"), ClassTable.Read(scenes.File("classes.csv")), options);
        Assert.Equal(20, segment.Computed); // each of ten pictures once at each size, whatever is tried
        AdvisorOptions oneSize = options with { Sizes = [64] };
        Advice depth = DenseAdvisor.Depth(model, Train("depth"), 0.001, oneSize with { TryDpt = true }), detect = DenseAdvisor.Detect(model, boxes, oneSize);
        Assert.Equal((0, 0), (depth.Computed, detect.Computed));
        foreach (Advice advice in (Advice[])[segment, depth, detect])
        {
            Assert.Equal(4, advice.Count);
            Assert.Equal(advice == segment ? 6 : advice == depth ? 4 : 3, advice.Tried.Count); // layers 3, 2 and all four, at each size; and once a DPT decoder
            Assert.Equal(advice == depth ? 1 : 0, advice.Tried.Count(l => l.Decoder == DenseDecoder.Dpt));
            Assert.Contains(advice.Default, advice.Tried);
            Assert.Contains(advice.Best, advice.Tried);
            Assert.Equal(64, advice.Default.ImageSizePixels);
            Assert.Equal(0, advice.Default.Gain.Value);
            Assert.All(advice.Tried, l => Assert.True(double.IsNaN(l.Score.Value) || Math.Abs(l.Score.Value - advice.Default.Score.Value - l.Gain.Value) < 1e-9));
            Assert.True(advice.BestGain.Low <= advice.BestGain.High);
        }

        Assert.Throws<DinoSharpException>(() => DenseAdvisor.Depth(model, Train("depth"), 0.001, options with { MaxPictures = 2 }));
    }

    [Fact]
    public void GroupsAreHeldOutAsAWhole()
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        string images = Path.Combine(scenes.Train, "images");
        // Twelve pictures of four shops; the last shop has half of them.
        File.WriteAllLines(scenes.File("shops.csv"), ["path,shop,group", .. Directory.EnumerateFiles(images).Order().Select((f, i) => $"{Path.GetFileName(f)},{(i < 6 ? i / 2 : 3)},{i % 2}")]);
        PictureGroups shops = PictureGroups.Read(scenes.File("shops.csv"), "shop");
        for (int seed = 0; seed < 5; seed++)
        {
            (MapPairs train, MapPairs held) = MapPairs.Open(images, Path.Combine(scenes.Train, "labels"), shops).Divide(0.2, seed);
            Assert.Equal(12, train.Count + held.Count);
            Assert.Empty(train.Groups!.Intersect(held.Groups!));
            (BoxAnnotations trainBoxes, BoxAnnotations heldBoxes) = BoxAnnotations.ReadCoco(Path.Combine(scenes.Train, "boxes.json"), images).WithGroups(shops).Divide(0.2, seed);
            Assert.Equal(train.Images.Order(), trainBoxes.Images.Select(i => i.Path).Order());
            Assert.Equal(held.Groups!.Order(), heldBoxes.Groups!.Order());
        }

        using DepthFitResult depth = DepthFit.Run(model, MapPairs.Open(images, Path.Combine(scenes.Train, "depth"), shops), null, 0.001, Options(steps: 2));
        Assert.Equal((12, 1), (depth.Counts.Training + depth.Counts.Validation, depth.Groups));
        Assert.Equal(depth.Rmse.Low, depth.Rmse.High); // one group alone says nothing about others
        MapPairs all = MapPairs.Open(images, Path.Combine(scenes.Train, "labels"), shops);
        Assert.Contains("3 groups have pictures in", Error(() => SegmentationFit.Run(model, all.Select([0, 2, 4, 6], " A"), all.Select([1, 3, 5], " B"), ClassTable.Read(scenes.File("classes.csv")), Options(steps: 1))));
        Assert.Contains("one group of 6 pictures, '3'", Error(() => all.Select([6, 7, 8, 9, 10, 11]).Divide()));
        Assert.Contains("'event' must hold the group", Error(() => PictureGroups.Read(scenes.File("shops.csv"), "event")));
        Assert.Contains("does not have the picture", Error(() => MapPairs.Open(Path.Combine(scenes.Val, "images"), Path.Combine(scenes.Val, "labels"), PictureGroups.Read(WriteTable("path,group\nelsewhere.png,1\n")))));
        Assert.Contains("in the groups '1' and '2'", Error(() => PictureGroups.Read(WriteTable("path,group\na.png,1\na.png,2\n"))));

        static string Error(Action action) => Assert.Throws<DinoSharpException>(action).Message;

        string WriteTable(string text)
        {
            File.WriteAllText(scenes.File("other.csv"), text);
            return scenes.File("other.csv");
        }
    }

    [Fact]
    public void NothingLeaks()
    {
        using DinoModel model = DinoModel.Load(scenes.Model);
        BoxAnnotations boxes = BoxAnnotations.ReadCoco(Path.Combine(scenes.Train, "boxes.json"), Path.Combine(scenes.Train, "images"));
        LiveTensors.AssertUnchangedBy(() =>
        {
            using SegmentationFitResult segmentor = SegmentationFit.Run(model, Train("labels"), Val("labels"), ClassTable.Read(scenes.File("classes.csv")), Options(steps: 3));
            using DepthFitResult depth = DepthFit.Run(model, Train("depth"), null, 0.001, Options(DenseDecoder.Dpt, steps: 2));
            using DetectionFitResult detector = DetectionFit.Run(model, boxes, null, Options(steps: 2));
        });
    }
}
