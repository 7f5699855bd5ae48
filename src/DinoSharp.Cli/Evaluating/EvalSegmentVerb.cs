using System.CommandLine;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval segment</c>: linear segmentation.</summary>
internal sealed class EvalSegmentVerb : EvaluationVerb
{
    private readonly Argument<string> _data = new("data") { Description = "Folder with images/{train,val}, labels/{train,val} and classes.csv; or ADE20K, Cityscapes or Pascal VOC" };
    private readonly DenseProbeInputs _probe;

    public EvalSegmentVerb()
        : base("segment", "Train a linear layer on patches and score the segmentation (mIoU)", ClassificationInputs.Baselines, "dino eval segment road_composite --model dinov3-vits16", "dino eval segment ADEChallengeData2016 --published --benchmark ADE20K --model dinov3-vitb16 --json")
    {
        Add(_data);
        _probe = new DenseProbeInputs(this, SegmentationProtocol.Published, sized: true);
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => SegmentationImages.IsOf(arguments.GetValue(_data)!, expected.Benchmark);

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        DenseProbeOptions options = _probe.Read(arguments);
        SegmentationImages train = SegmentationImages.Open(data, train: true), val = SegmentationImages.Open(data, train: false);
        IReadOnlyList<string> leaked = SharedPictures.Find(train.Images, val.Images);
        var examples = new ExampleSheet();
        using DinoModel dino = Load(model, arguments, cancel);
        EvaluationResult result = await output.WithProgressAsync("views, steps, pictures", DenseProbe.Length(train.Images.Count, options) + val.Images.Count, progress => Task.Run(
            () => SegmentationProtocol.Run(dino, train, val, options, progress, cancel, Keep), CancellationToken.None));
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["data"] = data } },
            [["metric", "%"], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            Skipped(result.Skipped, output),
            examples.Sheet,
            Leaked: leaked);

        void Keep(int index, ImageBuffer picture, SemanticSegmentation predicted) => examples.Keep(index, val.Images.Count, () =>
        {
            ImageBuffer rgb = picture.ToRgb8();
            return [rgb, new SemanticSegmentation(val.Read(index), predicted.Classes).Overlay(rgb), predicted.Overlay(rgb)];
        });
    }
}
