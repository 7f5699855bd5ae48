using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Pictures;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Features.Change;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino change</c>: what differs between two registered pictures.</summary>
internal sealed class ChangeVerb : Verb
{
    private const int MostPanels = 12;

    private readonly Argument<string> _before = new("before") { Description = "The earlier picture, or a folder of them" };
    private readonly Argument<string> _after = new("after") { Description = "The later picture of the same place and size, or a folder with the same names" };
    private readonly Option<double?> _threshold = new("--threshold") { Description = "Cosine distance above which a pixel has changed [default: far from the median of the pair; with --labels the best on them]", HelpName = "DISTANCE" };
    private readonly Option<string?> _labels = new("--labels") { Description = "True change (not 0), a picture or a folder with the same names: finds the best threshold, or scores the one given", HelpName = "PATH" };
    private readonly Option<int> _tolerance = new("--tolerance") { Description = "Patches by which the pictures may be shifted against each other", HelpName = "PATCHES", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _masks = new("--masks") { Description = "Folder for the masks (1 changed, 0 not), named as the earlier pictures [default: BEFORE.change here]", HelpName = "FOLDER" };
    private readonly ToolboxOptions _common = new("The sheet: before, after, distance, change [default: BEFORE.change.png here]");

    public ChangeVerb()
        : base(
            "change",
            "Find what changed between two registered pictures",
            "dino change 2009.tif 2020.tif --model dinov3-vits16",
            "dino change train/A train/B --labels train/label --model dinov3-vits16 --json",
            "dino change val/A val/B --labels val/label --threshold 0.31 --model dinov3-vits16 --json")
    {
        _tolerance.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 0) result.AddError("--tolerance must be 0 or more");
        });
        Add(_before);
        Add(_after);
        Add(_threshold);
        Add(_labels);
        Add(_tolerance);
        Add(_masks);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string before = arguments.GetValue(_before)!;
        bool many = Directory.Exists(before);
        List<Pair> pairs = Pairs(before, arguments.GetValue(_after)!, arguments.GetValue(_labels));
        string[] inputs = [.. pairs.SelectMany(pair => ((string?[])[pair.Before, pair.After, pair.Label]).OfType<string>())];
        using DinoModel model = _common.Load(arguments, cancel);
        string folder = arguments.GetValue(_masks) ?? new OutputNames(inputs).For(before.TrimEnd('/', '\\'), "change");
        IReadOnlyDictionary<string, string> masks = OutputNames.PrepareMasks(folder, [.. pairs.Select(pair => pair.Before)], inputs);
        _common.RequireOut(arguments, inputs);
        var features = _common.Features(arguments, model, output);
        await output.WithProgressAsync("comparing", pairs.Count, progress => Task.Run(() =>
        {
            for (int i = 0; i < pairs.Count; i++)
            {
                cancel.ThrowIfCancellationRequested();
                try
                {
                    pairs[i] = pairs[i] with { Distance = Distance(features, pairs[i], arguments.GetValue(_tolerance), cancel) };
                }
                catch (ImageException e) when (many)
                {
                    output.Warn($"skipped {e.Message}");
                    features.Skipped.Add(new SkippedInput(pairs[i].Before, e.Message));
                }

                progress.Report(i + 1);
            }

            return 0;
        }, CancellationToken.None));
        pairs.RemoveAll(pair => pair.Distance is null);
        if (pairs.Count == 0) throw new DinoSharpException("none of the pairs can be compared, see above");
        bool labelled = pairs[0].Label is not null;
        double? given = arguments.GetValue(_threshold);
        ChangeThreshold? best = labelled && given is null ? ChangeThreshold.Calibrate(pairs.Select(p => (p.Distance!, LabelMap.Read(p.Label!)))) : null;
        var rows = new List<IReadOnlyList<PictureSheet.Panel>>();
        Result[] results = await output.WithProgressAsync("painting", pairs.Count, progress => Task.Run(
            () => pairs.Select((pair, i) =>
            {
                cancel.ThrowIfCancellationRequested();
                Result result = Finish(pair, (float)(given ?? best?.Threshold ?? ChangeDetection.OutlierThreshold(pair.Distance!)), masks[pair.Before], rows);
                progress.Report(i + 1);
                return result;
            }).ToArray(), CancellationToken.None));
        SegmentationScores? scores = labelled ? SegmentationAreas.Sum(results.Select(r => r.Areas!)).Score() : null;
        SavedPicture saved = SavedPicture.Save(PictureSheet.Compose(rows), arguments.GetValue(_common.Out) ?? new OutputNames(inputs).For(before.TrimEnd('/', '\\'), "change.png"));
        output.Show(
            new
            {
                output = saved.Path,
                replaced = saved.Replaced,
                memory = features.Memory.ToJson(),
                calibrated = best?.Threshold,
                scores = scores is null ? null : new { f1 = scores.FScore[1], iou = scores.Iou[1], precision = scores.Precision[1], recall = scores.Recall[1] },
                pairs = results.Select(r => new { before = r.Pair.Before, after = r.Pair.After, score = r.Score, changed = r.Changed, threshold = r.Threshold, mask = r.Mask }),
                skipped = features.Skipped,
            },
            [
                .. results.Select(r => $"{r.Pair.Before}: {100 * r.Changed:0.0} % changed, mean distance {r.Score:0.000}, threshold {r.Threshold:0.000}"),
                .. best is null ? [] : (string[])[$"best threshold on these labels: {best.Threshold:0.0000}"],
                .. scores is null ? [] : (string[])[$"F1 {100 * scores.FScore[1]:0.0}  IoU {100 * scores.Iou[1]:0.0}  precision {100 * scores.Precision[1]:0.0}  recall {100 * scores.Recall[1]:0.0}"],
                $"{results.Length} masks in {folder}",
                saved.ToString(),
            ]);
        return features.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static HeatMap Distance(PhotoFeatures features, Pair pair, int tolerance, CancellationToken cancel)
    {
        Photo[] photos = Photo.Read([pair.Before, pair.After]);
        (int Width, int Height)[] sizes = [.. photos.Select(photo => (photo.Pixels.Width, photo.Pixels.Height))];
        if (sizes[0] != sizes[1])
            throw new ImageException(pair.Before, $"it has {sizes[0].Width}x{sizes[0].Height} pixels, {pair.After} {sizes[1].Width}x{sizes[1].Height}; the two must show the same area in the same size");
        if (pair.Label is not null && LabelMap.Read(pair.Label) is var truth && (truth.Width, truth.Height) != sizes[0])
            throw new ImageException(pair.Label, $"it has {truth.Width}x{truth.Height} pixels, the pictures {sizes[0].Width}x{sizes[0].Height}");
        return ChangeDetection.Distance(features.Extract(photos[0], cancel), features.Extract(photos[1], cancel), tolerance);
    }

    private static Result Finish(Pair pair, float threshold, string file, List<IReadOnlyList<PictureSheet.Panel>> rows)
    {
        Photo before = Photo.Read([pair.Before])[0];
        LabelMap mask = ChangeThreshold.Mask(pair.Distance!, threshold, before.Pixels.Width, before.Pixels.Height);
        mask.Save(file);
        SegmentationAreas? areas = null;
        if (pair.Label is not null)
        {
            LabelMap truth = LabelMap.Read(pair.Label);
            areas = SegmentationAreas.Measure<byte, byte>(mask.Values, Array.ConvertAll(truth.Array, v => v == 0 ? (byte)0 : (byte)1), 2, ignoreIndex: null);
        }

        if (rows.Count < MostPanels)
        {
            ImageBuffer left = before.Panel(512), right = Photo.Read([pair.After])[0].Panel(512);
            var scale = new ValueRange(0, Math.Max(1e-6, 2 * threshold)); // the threshold is the middle colour
            rows.Add(
            [
                new(left), new(right), new(PictureSheet.Overlay(right, pair.Distance!.ToImage(right.Width, right.Height, scale))), new(PictureSheet.Legend(scale, right.Height)),
                new(mask.ResizeNearestExact(right.Width, right.Height).Overlay(right)),
            ]);
        }

        return new Result(pair, pair.Distance!.Values.ToArray().Average(), mask.Values.ToArray().Average(v => (double)v), threshold, file, areas);
    }

    private static List<Pair> Pairs(string before, string after, string? labels)
    {
        if (!Directory.Exists(before)) return [new Pair(before, after, labels, null)];
        if (!Directory.Exists(after)) throw new DinoSharpException($"{before} is a folder, so {after} must be one too, with pictures of the same names");
        string[] files = [.. Directory.EnumerateFiles(before).Where(f => InputImages.Extensions.Contains(Path.GetExtension(f))).Order(StringComparer.Ordinal)];
        if (files.Length == 0) throw new DinoSharpException($"{before} holds no pictures");
        return [.. files.Select(f => new Pair(f, Same(after, f), labels is null ? null : Same(labels, f), null))];
    }

    private static string Same(string folder, string file)
    {
        string name = Path.GetFileNameWithoutExtension(file);
        return (Directory.Exists(folder) ? Directory.EnumerateFiles(folder, name + ".*").Where(f => InputImages.Extensions.Contains(Path.GetExtension(f)) && Path.GetFileNameWithoutExtension(f) == name).Order(StringComparer.Ordinal).FirstOrDefault() : null)
            ?? throw new DinoSharpException($"{folder} holds no picture named {name} to go with {file}");
    }

    private sealed record Pair(string Before, string After, string? Label, HeatMap? Distance);

    private sealed record Result(Pair Pair, double Score, double Changed, float Threshold, string Mask, SegmentationAreas? Areas);
}
