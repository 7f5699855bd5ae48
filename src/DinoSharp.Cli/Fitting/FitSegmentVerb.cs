using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli.Fitting;

/// <summary><c>dino fit segment</c>: a class for each pixel.</summary>
internal sealed class FitSegmentVerb : Verb
{
    private readonly Option<string> _classes = new("--classes") { Description = "Table of the ids: .csv with the columns id, name and perhaps ignore; 255 is always ignored", HelpName = "FILE", Required = true };
    private readonly DenseOptionsOfFit _dense;

    public FitSegmentVerb()
        : base(
            "segment",
            "Learn a class for each pixel from label maps",
            "dino fit segment --images images/train --labels labels/train --val-images images/val --val-labels labels/val --classes classes.csv --out street.safetensors --model dinov3-vits16",
            "dino fit segment --images photos --labels masks --classes classes.csv --decoder dpt --out parts.safetensors --model dinov3-vits16 --json")
    {
        Add(_classes);
        _dense = new DenseOptionsOfFit(this, "labels", "Folder of label maps (.png, the value of a pixel is its id) named like their pictures");
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string headPath, string picture) = _dense.Shared.Outputs(arguments, "examples");
        ClassTable classes = ClassTable.Read(arguments.GetValue(_classes)!);
        (MapPairs train, MapPairs? validation) = _dense.Pairs(arguments);
        DenseFitOptions options = _dense.Options(arguments);
        using DinoModel model = _dense.Shared.Load(arguments, cancel);
        var time = Stopwatch.StartNew();
        using SegmentationFitResult result = await output.WithProgressAsync(
            "fitting", train.Count + (validation?.Count ?? 0) + options.Steps, progress => Task.Run(() => SegmentationFit.Run(model, train, validation, classes, options, progress, cancel), CancellationToken.None));
        double seconds = time.Elapsed.TotalSeconds;
        result.Head.Save(headPath);
        SavedPicture sheet = SavedPicture.Save(PictureSheet.Compose([.. result.Examples.Select(Row)], [.. Keys(result.Examples, classes)]), picture);
        ExitCode code = FitOptions.Report(output, result.Unreadable, result.Leaked);
        if (result.Unseen.Count > 0) output.Warn($"no training picture shows {string.Join(", ", result.Unseen)}; the head cannot know them");
        output.Show(
            new
            {
                output = headPath,
                metrics = new { miou = result.MeanIou.Value, pixelAccuracy = result.Scores.PixelAccuracy, meanAccuracy = result.Scores.MeanRecall, meanDice = result.Scores.MeanDice },
                interval = FitOptions.Interval(result.MeanIou),
                n = result.Counts.Validation,
                groups = result.Groups,
                trained = result.Counts.Training,
                decoder = options.Decoder,
                loss = result.FinalLoss,
                classes = classes.Names.Select(c => new { id = c.Key, name = c.Value, iou = result.Scores.Iou[c.Key], recall = result.Scores.Recall[c.Key], precision = result.Scores.Precision[c.Key] }),
                unseen = result.Unseen,
                picture = sheet.Path,
                computed = result.Computed,
                seconds = Math.Round(seconds, 3),
                leaked = result.Leaked,
                skipped = result.Unreadable.Select(e => new { path = e.Name, reason = e.Cause }),
            },
            [
                FormattableString.Invariant($"mean IoU {FitOptions.Percent(result.MeanIou)}, pixel accuracy {100 * result.Scores.PixelAccuracy:0.0} % on {result.Counts.Validation} pictures not seen in training ({result.Counts.Training} pictures)"),
                .. Output.Columns([["class", "IoU"], .. classes.Names.Select(c => (string[])[c.Value, double.IsNaN(result.Scores.Iou[c.Key]) ? "-" : FormattableString.Invariant($"{100 * result.Scores.Iou[c.Key]:0.0}")])]),
                $"{sheet} (picture, truth, prediction)",
                FitOptions.Saved(headPath, result.Computed, seconds),
            ]);
        return code;
    }

    private static IReadOnlyList<PictureSheet.Panel> Row(SegmentedExample example)
    {
        ImageBuffer panel = Photo.Read([example.Image])[0].Panel();
        return [new(panel, "picture"), new(Tint(example.Truth, panel), "truth"), new(Tint(example.Predicted, panel), "prediction")];
    }

    // Only classes that are to be seen.
    private static IEnumerable<PictureSheet.Key> Keys(IReadOnlyList<SegmentedExample> examples, ClassTable classes)
    {
        HashSet<byte> shown = [.. examples.SelectMany(e => e.Truth.Ids.Concat(e.Predicted.Ids))];
        return classes.Names.Where(c => shown.Contains(c.Key)).OrderBy(c => c.Key).Select(c => new PictureSheet.Key(c.Value, LabelMap.Bright((byte)(c.Key + 1))));
    }

    // Id 0 is a class like any other and gets a tint; what does not count stays clear.
    private static ImageBuffer Tint(LabelMap map, ImageBuffer panel)
    {
        LabelMap small = map.ResizeNearestExact(panel.Width, panel.Height);
        return new LabelMap(small.Width, small.Height, [.. small.Values.ToArray().Select(id => (byte)(id + 1))]).Overlay(panel, 0.6);
    }
}
