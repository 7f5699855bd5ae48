using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli.Fitting;

/// <summary><c>dino fit detect</c>: boxes around objects.</summary>
internal sealed class FitDetectVerb : Verb
{
    private const double ShownScore = 0.3;

    private readonly Option<string?> _coco = new("--coco") { Description = "Boxes to learn from: a COCO instances .json, with --images", HelpName = "FILE" };
    private readonly Option<string?> _images = new("--images") { Description = "Folder of the pictures of --coco", HelpName = "FOLDER" };
    private readonly Option<string?> _valCoco = new("--val-coco") { Description = "Boxes to judge by [default: a fifth of the pictures is held out]", HelpName = "FILE" };
    private readonly Option<string?> _valImages = new("--val-images") { Description = "Folder of the pictures of --val-coco [default: that of --images]", HelpName = "FOLDER" };
    private readonly Option<string?> _voc = new("--voc") { Description = "A Pascal VOC folder instead, with ImageSets/Main/train.txt and perhaps val.txt", HelpName = "FOLDER" };
    private readonly Option<string?> _yolo = new("--yolo") { Description = "A YOLO data.yaml instead, with train and perhaps val", HelpName = "FILE" };
    private readonly Option<int> _steps = new("--steps") { Description = "Steps of the optimizer", HelpName = "N", DefaultValueFactory = _ => 600 };
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures in a step", HelpName = "N", DefaultValueFactory = _ => 8 };
    private readonly GroupOptions _groups;
    private readonly FitOptions _shared;

    public FitDetectVerb()
        : base(
            "detect",
            "Learn to find objects from boxes",
            "dino fit detect --coco instances_train.json --images images --out cells.safetensors --model dinov3-vits16",
            "dino fit detect --yolo data.yaml --out parts.safetensors --model dinov3-vits16 --json")
    {
        foreach (Option<int> option in (Option<int>[])[_steps, _batch])
        {
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1) result.AddError($"{option.Name} must be at least 1");
            });
        }

        foreach (Option option in (Option[])[_coco, _images, _valCoco, _valImages, _voc, _yolo, _steps, _batch]) Add(option);
        _groups = new GroupOptions(this);
        _shared = new FitOptions(this, "Layers that are read [default: four spread over the network]", "Length of the shorter side at which the network sees a picture [default: 512]", flip: true);
        Validators.Add(result =>
        {
            int sources = ((Option<string?>[])[_coco, _voc, _yolo]).Count(o => result.GetValue(o) is not null);
            if (sources != 1) result.AddError("give the boxes as one of --coco FILE --images FOLDER, --voc FOLDER or --yolo FILE");
            else if (result.GetValue(_coco) is not null && result.GetValue(_images) is null) result.AddError("--coco needs --images, the folder of its pictures");
        });
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string headPath, string picture) = _shared.Outputs(arguments, "examples");
        (BoxAnnotations train, BoxAnnotations? validation) = Read(arguments);
        PictureGroups? groups = _groups.Table(arguments);
        (train, validation) = (train.WithGroups(groups), validation?.WithGroups(groups));
        var options = new DenseFitOptions
        {
            Layers = _shared.Layers(arguments),
            ImageSizePixels = _shared.Size(arguments) ?? new DenseFitOptions().ImageSizePixels,
            Steps = arguments.GetValue(_steps),
            BatchSize = arguments.GetValue(_batch),
            Flip = _shared.Flip(arguments),
            Seed = _shared.Seed(arguments),
            CacheFolder = _shared.Cache(arguments),
        };
        using DinoModel model = _shared.Load(arguments, cancel);
        var time = Stopwatch.StartNew();
        using DetectionFitResult result = await output.WithProgressAsync(
            "fitting", train.Images.Count + (validation?.Images.Count ?? 0) + options.Steps, progress => Task.Run(() => DetectionFit.Run(model, train, validation, options, progress, cancel), CancellationToken.None));
        double seconds = time.Elapsed.TotalSeconds;
        result.Head.Save(headPath);
        SavedPicture sheet = SavedPicture.Save(PictureSheet.Compose([.. result.Examples.Select(Row)], [.. Keys(result.Examples)]), picture);
        ExitCode code = FitOptions.Report(output, result.Unreadable, result.Leaked);
        if (result.Unseen.Count > 0) output.Warn($"no training picture shows {string.Join(", ", result.Unseen)}; the head cannot know them");
        output.Show(
            new
            {
                output = headPath,
                metrics = new { ap = result.Scores.Ap, ap50 = result.Scores.Ap50, ap75 = result.Scores.Ap75, apSmall = result.Scores.ApSmall, apMedium = result.Scores.ApMedium, apLarge = result.Scores.ApLarge, ar100 = result.Scores.Ar100 },
                interval = FitOptions.Interval(result.Ap),
                n = result.Counts.Validation,
                groups = result.Groups,
                trained = result.Counts.Training,
                loss = result.FinalLoss,
                classes = result.Scores.ApByCategory.Select(c => new { id = c.Key, name = train.Categories[c.Key], ap = c.Value }),
                unseen = result.Unseen,
                picture = sheet.Path,
                computed = result.Computed,
                seconds = Math.Round(seconds, 3),
                leaked = result.Leaked,
                skipped = result.Unreadable.Select(e => new { path = e.Name, reason = e.Cause }),
            },
            [
                FormattableString.Invariant($"AP {FitOptions.Percent(result.Ap)}, AP50 {100 * result.Scores.Ap50:0.0} % on {result.Counts.Validation} pictures not seen in training ({result.Counts.Training} pictures)"),
                .. Output.Columns([["class", "AP"], .. result.Scores.ApByCategory.Select(c => (string[])[train.Categories[c.Key], FormattableString.Invariant($"{100 * c.Value:0.0}")])]),
                $"{sheet} (truth, prediction)",
                FitOptions.Saved(headPath, result.Computed, seconds),
            ]);
        return code;
    }

    private (BoxAnnotations Train, BoxAnnotations? Validation) Read(ParseResult arguments)
    {
        if (arguments.GetValue(_coco) is { } coco)
        {
            string images = arguments.GetValue(_images)!;
            return (BoxAnnotations.ReadCoco(coco, images), arguments.GetValue(_valCoco) is { } val ? BoxAnnotations.ReadCoco(val, arguments.GetValue(_valImages) ?? images) : null);
        }

        if (arguments.GetValue(_voc) is { } voc)
        {
            BoxAnnotations train = BoxAnnotations.ReadVoc(voc, "train");
            return (train, File.Exists(Path.Combine(voc, "ImageSets", "Main", "val.txt")) ? BoxAnnotations.ReadVoc(voc, "val", train.Categories) : null);
        }

        string yolo = arguments.GetValue(_yolo)!;
        bool hasVal = File.Exists(yolo) && File.ReadLines(yolo).Any(line => line.StartsWith("val:", StringComparison.Ordinal));
        return (BoxAnnotations.ReadYolo(yolo, "train"), hasVal ? BoxAnnotations.ReadYolo(yolo, "val") : null);
    }

    // Only classes that are to be seen.
    private static IEnumerable<PictureSheet.Key> Keys(IReadOnlyList<DetectedExample> examples) =>
        examples.SelectMany(e => e.Truth.All.Concat(e.Predicted.Above(ShownScore))).Select(d => (d.Label, d.Name)).Distinct().OrderBy(c => c.Label).Select(c => new PictureSheet.Key(c.Name, Detections.ColorOf(c.Label)));

    private static IReadOnlyList<PictureSheet.Panel> Row(DetectedExample example)
    {
        ImageBuffer picture = Photo.Read([example.Image])[0].Pixels;
        return [new(Photo.Panel(example.Truth.Draw(picture)), "truth"), new(Photo.Panel(example.Predicted.Draw(picture, ShownScore)), "prediction")];
    }
}
