using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using ClassNames = DinoSharp.Heads.ClassNames;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval text</c>: classes named by words.</summary>
internal sealed class EvalTextVerb : EvaluationVerb
{
    private readonly Option<string> _text = new("--text") { Description = "Weights of dino.txt that belong to the model", HelpName = "FILE", Required = true };
    private readonly Option<string?> _images = new("--images") { Description = "Classify: a folder with a folder for each class", HelpName = "DIR" };
    private readonly Option<string?> _segment = new("--segment") { Description = "Segment: a data set as for 'dino eval segment', its validation part", HelpName = "DIR" };
    private readonly Option<string?> _names = new("--names") { Description = "Text file with the words for each class on a line, in the order of the classes [default: the names of the classes]", HelpName = "FILE" };
    private readonly Option<string?> _templates = new("--templates") { Description = "Text file with a sentence on each line, with {} where the name goes [default: eight of our own; the paper uses the 80 of CLIP]", HelpName = "FILE" };

    public EvalTextVerb()
        : base(
            "text",
            "Classify or segment by the names of the classes, with dino.txt and without training",
            null,
            "dino eval text --text dinov3-vitl16-dinotxt.pth --images imagenet/val --names imagenet-words.txt --templates clip-80.txt --benchmark ImageNet --model dinov3-vitl16",
            "dino eval text --text dinov3-vitl16-dinotxt.pth --segment ADEChallengeData2016 --benchmark ADE20K --model dinov3-vitl16 --json")
    {
        foreach (Option option in (Option[])[_text, _images, _segment, _names, _templates]) Add(option);
        Validators.Add(result =>
        {
            if (result.GetValue(_images) is null == result.GetValue(_segment) is null) result.AddError("give either --images to classify or --segment to segment");
        });
    }

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        ClassNames? names = arguments.GetValue(_names) is { } file ? ClassNames.Read(file) : null;
        PromptTemplates? templates = arguments.GetValue(_templates) is { } sentences ? PromptTemplates.Read(sentences) : null;
        string data = arguments.GetValue(_images) ?? arguments.GetValue(_segment)!;
        ImageDataset? labelled = arguments.GetValue(_images) is null ? null : ClassificationInputs.Open(data);
        SegmentationImages? mapped = labelled is null ? SegmentationImages.Open(data, train: false) : null;
        using DinoModel dino = Load(model, arguments, cancel);
        using DinoText text = DinoText.Load(dino, arguments.GetValue(_text)!, cancel);
        EvaluationResult result;
        IReadOnlyList<ImageException> skipped = [];
        if (labelled is not null)
            (result, skipped) = await output.WithProgressAsync("classifying", labelled.Count, progress => Task.Run(() => TextProtocol.Classify(text, labelled, model, names, templates, progress, cancel), CancellationToken.None));
        else result = await output.WithProgressAsync("segmenting", mapped!.Images.Count, progress => Task.Run(() => TextProtocol.Segment(text, mapped, model, names, templates, progress, cancel), CancellationToken.None));
        foreach (ImageException skip in skipped) output.Warn($"skipped {skip.Name}: {skip.Cause}");
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["data"] = data, ["text"] = arguments.GetValue(_text)! } },
            [["metric", "%"], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            [.. skipped.Select(s => new SkippedInput(s.Name, s.Cause))]);
    }
}
