using DinoSharp.Heads;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Five heads on one backbone: one pass and the heads, not five passes.</summary>
internal static class HeadBenchmark
{
    private const int Side = 448;

    public static void Run(Report report)
    {
        using DinoModel model = DinoModel.Load("random:vits16");
        ImageBuffer picture = Drawn(640, 480);
        int last = model.Backbone.Config.LayerCount - 1, width = model.Backbone.Config.EmbedDim;
        HeadInput input = new() { Layers = [last], Preprocessing = new Preprocessing { Size = SizePolicy.Square(Side) } };
        HeadInput four = input with { Layers = HeadLayers.FourEvenIntervals(last + 1).Resolve(last + 1) };
        int[] widths = [width, width, width, width];
        using var classifier = new ImageClassifier(model.Backbone, input, Filled(new Layers.Linear(2 * width, 1000, true)), ClassNames.ImageNet);
        using var segmentor = new Segmentor(model.Backbone, input, Filled(new LinearSegmentationHead([width], 150)), ClassNames.Ade20K);
        using var segmentorOfFour = new Segmentor(model.Backbone, four, Filled(new LinearSegmentationHead(widths, 19)), ClassNames.Cityscapes);
        using var depth = new DepthEstimator(model.Backbone, input, Filled(new LinearDepthHead([width])), DepthBins.Nyu);
        using var dpt = new DepthEstimator(model.Backbone, four, Filled(new DptHead(new DptConfig { InputChannels = widths, LevelChannels = [48, 96, 192, 384], Channels = 64 })), DepthBins.SynthMix);
        Head[] heads = [classifier, segmentor, segmentorOfFour, depth, dpt];
        var together = new MultiTaskModel(heads);

        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor prepared = Head.Prepare(picture, input.Preprocessing);
        int[] layers = [.. heads.SelectMany(h => h.Input.Layers).Distinct().Order()];
        HeadFeatures features = HeadFeatures.Compute(model.Backbone, prepared.Tensor.unsqueeze(0), input, layers);

        Subject[] subjects =
        [
            new("the backbone alone", () => Pass(model, input, four, picture)),
            new("the five heads alone, from features that are there", () => Answer(heads, features, prepared.Geometry)),
            new("five heads together (MultiTaskModel)", () => together.Predict(picture)),
            new("five heads one after the other, each with its own pass", () => Separately(heads, picture)),
        ];
        IReadOnlyList<Timing> times = Measure.Interleaved(4, subjects);
        report.Section("Five heads, one backbone", $"ViT-S/16 at {Side} x {Side} pixels with random weights: a classifier (1000 classes), linear segmentors (150 classes on one layer, 19 on four), linear depth and DPT depth. "
            + $"Together they took {together.Predict(picture).BackbonePasses} pass of the backbone. Times from a decoded picture of 640 x 480 to answers of that size. {Measure.Words} "
            + $"Together they take {Report.Number(times[2].Median / (times[0].Median + times[1].Median))} times the sum of one pass and the heads alone.");
        report.Table(["", "median ms", "best ms", "repetitions", "of the backbone's median"], subjects.Select((s, i) =>
            new[] { s.Name, Report.Number(times[i].Median), Report.Number(times[i].Best), $"{times[i].Count}", Report.Number(times[i].Median / times[0].Median) }));
    }

    private static void Pass(DinoModel model, HeadInput input, HeadInput four, ImageBuffer picture)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using ImageTensor prepared = input.Preprocessing.Apply(picture);
        HeadFeatures.Compute(model.Backbone, prepared.Tensor.unsqueeze(0), input, four.Layers);
    }

    private static void Answer(Head[] heads, HeadFeatures features, ImageGeometry geometry)
    {
        using var scope = NewDisposeScope();
        foreach (Head head in heads) head.AnswerFrom(features.Select(head.Input.Layers), geometry);
    }

    private static void Separately(Head[] heads, ImageBuffer picture)
    {
        foreach (Head head in heads) head.AnswerAlone(picture, default);
    }

    private static T Filled<T>(T module)
        where T : nn.Module
    {
        using var random = new Generator(1);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        foreach ((_, TorchSharp.Modules.Parameter parameter) in module.named_parameters()) parameter.normal_(0, 0.05, random);
        return module;
    }

    private static ImageBuffer Drawn(int width, int height)
    {
        byte[] pixels = new byte[width * height * 3];
        for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)((i / 3 % width * 7) ^ (i / 3 / width * 3) ^ (i % 3 * 40));
        return ImageBuffer.FromSamples<byte>(width, height, 3, pixels);
    }
}
