using System.CommandLine;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval segment</c>: linear segmentation, or a head that is ready.</summary>
internal sealed class EvalSegmentVerb : EvaluationVerb
{
    private readonly Option<string?> _head = new("--head") { Description = "Score this head on the validation part, made by 'dino fit' or a published one, instead of training a linear layer", HelpName = "FILE" };
    private readonly Option<bool> _augment = new("--tta") { Description = "With --head: average what it says at five sizes and in a mirror, as published; ten times the work" };
    private readonly Argument<string> _data = new("data") { Description = "Folder with images/{train,val}, labels/{train,val} and classes.csv; or ADE20K, Cityscapes, CamVid or Pascal VOC" };
    private readonly DenseProbeInputs _probe;

    public EvalSegmentVerb()
        : base("segment", "Train a linear layer on patches, or take a head, and score the segmentation (mIoU)", ClassificationInputs.Baselines, "dino eval segment road_composite --model dinov3-vits16", "dino eval segment ADEChallengeData2016 --published --benchmark ADE20K --model dinov3-vitb16 --json",
            "dino eval segment ADEChallengeData2016 --head dinov3-vit7b16-ade20k-m2f.pth --tta --benchmark ADE20K-Mask2Former-TTA --model dinov3-vit7b16")
    {
        Add(_data);
        Add(_head);
        Add(_augment);
        Validators.Add(result =>
        {
            if (result.GetValue(_augment) && result.GetValue(_head) is null) result.AddError("--tta is for a head of --head; the linear protocol looks once");
        });
        _probe = new DenseProbeInputs(this, SegmentationProtocol.Published, sized: true, _head);
    }

    // What is scored stands behind the name of the data where it is not the linear layer.
    protected override bool Measures(ParseResult arguments, ExpectedValue expected) =>
        SegmentationImages.IsOf(arguments.GetValue(_data)!, expected.Benchmark.Split('-')[0]) && expected.Benchmark.Split('-', 2).ElementAtOrDefault(1) == (arguments.GetValue(_head) is null ? null : arguments.GetValue(_augment) ? "Mask2Former-TTA" : "Mask2Former");

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        DenseProbeOptions options = _probe.Read(arguments);
        string? file = arguments.GetValue(_head);
        SegmentationImages val = SegmentationImages.Open(data, train: false);
        SegmentationImages? train = file is null ? SegmentationImages.Open(data, train: true) : null;
        IReadOnlyList<string>? leaked = train is null ? null : SharedPictures.Find(train.Images, val.Images);
        var examples = new ExampleSheet();
        using DinoModel dino = Load(model, arguments, cancel);
        using Segmentor? head = file is null ? null : Segmentor.Load(dino, file, cancel: cancel);
        EvaluationResult result = await output.WithProgressAsync(head is null ? "views, steps, pictures" : "pictures", (train is null ? 0 : DenseProbe.Length(train.Images.Count, options)) + val.Images.Count, progress => Task.Run(
            () => head is null
                ? SegmentationProtocol.Run(dino, train!, val, options, progress, cancel, Keep)
                : SegmentationProtocol.Score(head, dino.Name, val, arguments.GetValue(_augment) ? SegmentationProtocol.TestTimeAugmentation : null, progress, cancel, Keep),
            CancellationToken.None));
        if (file is not null) result = result with { Settings = result.Settings.Append(new("head", file)).ToDictionary() };
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
