using System.CommandLine;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval discover</c>: finding objects without labels.</summary>
internal sealed class EvalDiscoverVerb : EvaluationVerb
{
    private const int MostPictures = 12, Columns = 4;

    private readonly BoxInputs _boxes;
    private readonly Option<double[]> _thresholds = new("--thresholds") { Description = "Similarities above which patches are joined; the best is reported [default: 0 to 0.4 in steps of 0.05, as published]", HelpName = "COS", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [.. DiscoveryProtocol.PublishedThresholds] };
    private readonly Option<PictureSize> _size = PictureSize.Option();
    private readonly Option<int> _layer = SharedOptions.Layer();

    public EvalDiscoverVerb()
        : base(
            "discover",
            "Find the object of each picture without labels and count the right boxes (CorLoc)",
            null,
            "dino eval discover --voc VOC2007 --split trainval --size native --benchmark VOC07 --model dinov3-vit7b16",
            "dino eval discover --coco instances_val.json --images val2017 --size 480 --model dinov3-vits16 --json")
    {
        _boxes = new BoxInputs(this);
        foreach (Option option in (Option[])[_thresholds, _size, _layer]) Add(option);
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => _boxes.IsCoco(arguments) == expected.Benchmark.StartsWith("COCO", StringComparison.Ordinal);

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        BoxAnnotations images = _boxes.Read(arguments);
        PictureSize size = arguments.GetValue(_size)!;
        using DinoModel dino = Load(model, arguments, cancel);
        LayerSelection layers = [arguments.GetValue(_layer)];
        int layer = layers.Resolve(dino.Backbone.Config.LayerCount)[0];
        double[] thresholds = arguments.GetValue(_thresholds)!;
        var found = new List<(BoxedImage Image, IReadOnlyList<Box> Boxes)>();
        EvaluationResult result = await output.WithProgressAsync("discovering", images.Images.Count, progress => Task.Run(
            () => DiscoveryProtocol.Run(Extract, images, model, thresholds, progress, cancel, (image, boxes) => found.Add((image, boxes))), CancellationToken.None));
        return new Evaluation(
            result with { Data = _boxes.Data(arguments), Settings = result.Settings.Append(new("size", size.ToString())).ToDictionary() },
            [["metric", "%"], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            [],
            Draw);

        // Twelve pictures, evenly over the data: the true boxes in green, what was found at the reported threshold in red.
        ImageBuffer Draw()
        {
            int best = Array.FindIndex(thresholds, t => t.ToString(CultureInfo.InvariantCulture) == result.Settings["threshold"]);
            int step = Math.Max(1, found.Count / MostPictures);
            return PictureSheet.Compose([.. found.Where((_, i) => i % step == 0).Take(MostPictures).Select(f => new PictureSheet.Panel(Boxes(f.Image, f.Boxes[best]))).Chunk(Columns)]);
        }

        static ImageBuffer Boxes(BoxedImage image, Box found)
        {
            ImageBuffer picture = ImageFile.Read(image.Source).ToRgb8(), small = ExampleSheet.Small(picture);
            double scale = (double)small.Width / picture.Width;
            var canvas = new Canvas(small.Width, small.Height);
            canvas.Draw(small, 0, 0);
            foreach ((Box box, bool isTrue) in image.Objects.Select(o => (o.Box, true)).Append((found, false)))
            {
                (double left, double top, double right, double bottom) = (box.X * scale, box.Y * scale, (box.X + box.Width) * scale, (box.Y + box.Height) * scale);
                (double, double)[] corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
                for (int c = 0; c < 4; c++) canvas.Line(corners[c], corners[(c + 1) % 4], isTrue ? 2 : 4, isTrue ? NeighborSheet.Right : NeighborSheet.Wrong);
            }

            return canvas.ToPicture();
        }

        PatchMap Extract(ImageSource file)
        {
            using ImageFeatures features = dino.Extract(file, new ExtractOptions { ImageSizePixels = size.Pixels, Layers = layers }, cancel);
            return features.PatchMap(layer);
        }
    }
}
