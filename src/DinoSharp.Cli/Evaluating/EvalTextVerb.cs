using System.CommandLine;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using ClassNames = DinoSharp.Heads.ClassNames;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval text</c>: classes named by words, and captions.</summary>
internal sealed class EvalTextVerb : EvaluationVerb
{
    private readonly Option<string> _text = new("--text") { Description = "Weights of dino.txt that belong to the model", HelpName = "FILE", Required = true };
    private readonly Option<string?> _images = new("--images") { Description = "Classify: a folder with a folder for each class, or a dataset such as ImageNet:split=VAL:root=DIR. With --captions: the folder of the pictures", HelpName = "DIR" };
    private readonly Option<string?> _segment = new("--segment") { Description = "Segment: a data set as for 'dino eval segment', its validation part", HelpName = "DIR" };
    private readonly Option<string?> _captions = new("--captions") { Description = "Find captions and pictures by each other: captions_*.json of COCO, or dataset_*.json of Karpathy's splits; the first five of a picture count", HelpName = "FILE" };
    private readonly Option<string> _split = new("--split") { Description = "Part of Karpathy's splits", DefaultValueFactory = _ => "test" };
    private readonly Option<string?> _names = new("--names") { Description = "Text file with the words for each class on a line, in the order of the classes [default: the names of the classes]", HelpName = "FILE" };
    private readonly Option<int?> _size = SharedOptions.Size("Side at which pictures are classified; the paper's ImageNet figure: 512 [default: 224, cut from a shorter side of 256]");
    private readonly Option<string?> _templates = new("--templates") { Description = "Text file with a sentence on each line, with {} where the name or caption goes [default: eight of our own for names, the captions as they are; the paper uses the 80 of CLIP for names]", HelpName = "FILE" };

    public EvalTextVerb()
        : base(
            "text",
            "Classify, segment or find pictures by words, with dino.txt and without training",
            null,
            "dino eval text --text dinov3-vitl16-dinotxt.pth --images imagenet/val --names imagenet-words.txt --templates clip-80.txt --benchmark ImageNet --model dinov3-vitl16",
            "dino eval text --text dinov3-vitl16-dinotxt.pth --segment ADEChallengeData2016 --benchmark ADE20K --model dinov3-vitl16 --json",
            "dino eval text --text dinov3-vitl16-dinotxt.pth --captions annotations/captions_val2017.json --images val2017 --benchmark COCO --model dinov3-vitl16")
    {
        foreach (Option option in (Option[])[_text, _images, _segment, _captions, _split, _names, _templates, _size]) Add(option);
        Validators.Add(result =>
        {
            bool images = result.GetValue(_images) is not null, captions = result.GetValue(_captions) is not null;
            if (captions && !images) result.AddError("--captions needs --images DIR, the folder of the pictures");
            if ((captions || images) == result.GetValue(_segment) is not null) result.AddError("give --images DIR to classify, --segment DIR to segment, or --captions FILE with --images DIR to find captions and pictures");
            if (captions && result.GetValue(_names) is not null) result.AddError("--names are the words of classes; captions have none");
        });
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => expected.Metric switch
    {
        "miou" => arguments.GetValue(_segment) is { } root && SegmentationImages.IsOf(root, expected.Benchmark),
        "top1" => arguments.GetValue(_images) is not null && arguments.GetValue(_captions) is null,
        _ => arguments.GetValue(_captions) is not null,
    };

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        ClassNames? names = arguments.GetValue(_names) is { } file ? ClassNames.Read(file) : null;
        PromptTemplates? templates = arguments.GetValue(_templates) is { } sentences ? PromptTemplates.Read(sentences) : null;
        (string? images, string? segment, string? captions) = (arguments.GetValue(_images), arguments.GetValue(_segment), arguments.GetValue(_captions));
        CaptionedImages? captioned = captions is null ? null : CaptionedImages.Open(captions, images!, arguments.GetValue(_split)!);
        ImageDataset? labelled = captions is null && images is not null ? ClassificationInputs.Open(images) : null;
        SegmentationImages? mapped = segment is null ? null : SegmentationImages.Open(segment, train: false);
        using DinoModel dino = Load(model, arguments, cancel);
        using DinoText text = DinoText.Load(dino, arguments.GetValue(_text)!, new DinoTextOptions { ImageSizePixels = arguments.GetValue(_size) }, cancel);
        var examples = new ExampleSheet();
        Evaluation evaluation = labelled is not null ? await ClassifyAsync(labelled) : captioned is not null ? await RetrieveAsync(captioned) : await SegmentAsync(mapped!);
        var data = new Dictionary<string, string> { ["data"] = captions ?? segment ?? images!, ["text"] = arguments.GetValue(_text)! };
        return evaluation with { Result = evaluation.Result with { Data = data }, Rows = [["metric", "%"], .. evaluation.Result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])] };

        async Task<Evaluation> ClassifyAsync(ImageDataset set)
        {
            (EvaluationResult result, IReadOnlyList<ImageException> skipped) = await output.WithProgressAsync(
                "classifying", set.Count, progress => Task.Run(() => TextProtocol.Classify(text, set, model, names, templates, progress, cancel), CancellationToken.None));
            return new Evaluation(result, [], Skipped(skipped, output), () => result.Confusion!.ToPicture(result.Classes));
        }

        async Task<Evaluation> SegmentAsync(SegmentationImages set)
        {
            EvaluationResult result = await output.WithProgressAsync("segmenting", set.Images.Count, progress => Task.Run(() => TextProtocol.Segment(text, set, model, names, templates, progress, cancel, Keep), CancellationToken.None));
            return new Evaluation(result, [], Skipped(result.Skipped, output), examples.Sheet);

            void Keep(int index, ImageBuffer picture, SemanticSegmentation predicted) => examples.Keep(index, set.Images.Count, () =>
            {
                ImageBuffer rgb = picture.ToRgb8();
                return [rgb, new SemanticSegmentation(set.Read(index), predicted.Classes).Overlay(rgb), predicted.Overlay(rgb)];
            });
        }

        async Task<Evaluation> RetrieveAsync(CaptionedImages set)
        {
            var sheet = new CaptionSheet(set.Images.Count);
            (EvaluationResult pictures, EvaluationResult sentencesFound, IReadOnlyList<ImageException> skipped) = await output.WithProgressAsync(
                "pictures", set.Images.Count, progress => Task.Run(() => TextProtocol.Retrieve(text, set, model, templates, progress, cancel, sheet.Keep), CancellationToken.None));
            return new Evaluation(pictures, [], Skipped(skipped, output), sheet.Draw, Tests: [("text-to-image", sentencesFound)]);
        }
    }
}
