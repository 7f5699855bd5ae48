using System.CommandLine;
using DinoSharp.Features;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval detect</c>: a detection head on annotated pictures.</summary>
internal sealed class EvalDetectVerb : EvaluationVerb
{
    private const int MostPictures = 8;

    private readonly Option<string> _head = new("--head") { Description = "The detection head: a file of weights", HelpName = "FILE", Required = true };
    private readonly BoxInputs _boxes;

    public EvalDetectVerb()
        : base(
            "detect",
            "Score a detection head on annotated pictures (COCO average precision)",
            null,
            "dino eval detect --head dinov3-vit7b16-coco-detr.pth --coco instances_val2017.json --images val2017 --benchmark COCO@1536 --model dinov3-vit7b16",
            "dino eval detect --head cells.safetensors --voc bccd --split val --model dinov3-vits16 --json")
    {
        Add(_head);
        _boxes = new BoxInputs(this);
    }

    // A run looks at each picture once, without test-time augmentation.
    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => _boxes.IsCoco(arguments) && expected.Benchmark != "COCO-TTA";

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        BoxAnnotations images = _boxes.Read(arguments);
        using DinoModel dino = Load(model, arguments, cancel);
        using Detector detector = Detector.Load(dino, arguments.GetValue(_head)!, cancel: cancel);
        var drawn = new List<IReadOnlyList<PictureSheet.Panel>>();
        EvaluationResult result = await output.WithProgressAsync("detecting", images.Images.Count, progress => Task.Run(
            () => DetectionProtocol.Run(picture => detector.Predict(picture, cancel), images, model, progress, cancel, Keep), CancellationToken.None));
        return new Evaluation(
            result with { Data = _boxes.Data(arguments), Settings = result.Settings.Append(new("head", arguments.GetValue(_head)!)).ToDictionary() },
            [["metric", "%"], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            Skipped(result.Skipped, output),
            drawn.Count == 0 ? null : () => PictureSheet.Compose(drawn));

        void Keep(int index, ImageBuffer picture, Detections detections)
        {
            if (drawn.Count < MostPictures) drawn.Add([new PictureSheet.Panel(detections.Draw(picture.ToRgb8()))]);
        }
    }
}
