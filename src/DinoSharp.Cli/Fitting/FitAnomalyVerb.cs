using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli.Fitting;

/// <summary><c>dino fit anomaly</c>: what is normal, from normal pictures only.</summary>
internal sealed class FitAnomalyVerb : Verb
{
    private const int ExamplesInRow = 3, PanelSide = 320;

    private readonly Argument<string[]> _normal = new("normal") { Description = "Normal pictures: folders, files, globs", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string[]> _valNormal = new("--val-normal") { Description = "More normal pictures, to judge by", HelpName = "PATH", DefaultValueFactory = _ => [] };
    private readonly Option<string[]> _valUnusual = new("--val-unusual") { Description = "Unusual pictures, to judge by", HelpName = "PATH", DefaultValueFactory = _ => [] };
    private readonly Option<int> _patches = new("--patches") { Description = "Most patches to remember", HelpName = "N", DefaultValueFactory = _ => 20_000 };
    private readonly GroupOptions _groups;
    private readonly FitOptions _shared;

    public FitAnomalyVerb()
        : base(
            "anomaly",
            "Learn what is normal from normal pictures only, to find what is not",
            "dino fit anomaly bottles/good --out bottles.safetensors --model dinov3-vits16",
            "dino fit anomaly bottles/good --val-normal test/good --val-unusual test/broken --out bottles.safetensors --model dinov3-vits16 --json")
    {
        _patches.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--patches must be at least 1");
        });
        Add(_normal);
        Add(_valNormal);
        Add(_valUnusual);
        Add(_patches);
        _groups = new GroupOptions(this);
        _shared = new FitOptions(this, "Layers that are compared [default: -1]", "Length of the shorter side at which the network sees a picture [default: 448]");
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string headPath, string picture) = _shared.Outputs(arguments, "examples");
        string[] normal = PhotoFeatures.Files(arguments.GetValue(_normal)!), valNormal = Files(arguments.GetValue(_valNormal)!), valUnusual = Files(arguments.GetValue(_valUnusual)!);
        PictureGroups? groups = _groups.Table(arguments);
        var defaults = new AnomalyFitOptions();
        AnomalyFitOptions options = defaults with
        {
            Layers = _shared.Layers(arguments) ?? defaults.Layers,
            ImageSizePixels = _shared.Size(arguments) ?? defaults.ImageSizePixels,
            MaxPatches = arguments.GetValue(_patches),
            Seed = _shared.Seed(arguments),
            CacheFolder = _shared.Cache(arguments),
        };
        using DinoModel model = _shared.Load(arguments, cancel);
        using AnomalyFitResult result = await output.WithProgressAsync(
            "features", normal.Length + valNormal.Length + valUnusual.Length, progress => Task.Run(() => AnomalyFit.Run(model, normal, valNormal, valUnusual, options, groups, progress, cancel), CancellationToken.None));
        result.Head.Save(headPath);
        SavedPicture sheet = SavedPicture.Save(PictureSheet.Compose([.. result.Examples.Select(Panels).Chunk(ExamplesInRow).Select(row => row.SelectMany(p => p).ToArray())]), picture);
        ExitCode code = FitOptions.Report(output, result.Unreadable);
        output.Show(
            new
            {
                output = headPath,
                threshold = result.Head.Threshold,
                metrics = new { auroc = result.Auroc?.Value, falseAlarms = result.FalseAlarms?.Value, found = result.Found?.Value },
                interval = FitOptions.Interval(result.Auroc),
                intervals = new { auroc = FitOptions.Interval(result.Auroc), falseAlarms = FitOptions.Interval(result.FalseAlarms), found = FitOptions.Interval(result.Found) },
                n = valNormal.Length + valUnusual.Length,
                normal = normal.Length,
                heldOut = result.NormalScores,
                patches = result.Patches,
                picture = sheet.Path,
                computed = result.Computed,
                skipped = result.Unreadable.Select(e => new { path = e.Name, reason = e.Cause }),
            },
            [
                FormattableString.Invariant($"{result.Patches} patches of normal pictures; unusual above {result.Head.Threshold:0.0000}, the largest score of {result.NormalScores.Count} normal pictures that were held out"),
                .. result.Auroc is { } auroc ? (string[])[FormattableString.Invariant($"AUROC {auroc.Value:0.000} [{auroc.Low:0.000}, {auroc.High:0.000}]; found {FitOptions.Percent(result.Found!.Value)}, false alarms {FitOptions.Percent(result.FalseAlarms!.Value)}")] : [],
                $"{sheet} (pictures that are not remembered, and where they are unusual)",
                $"{headPath}. Use it: dino predict {headPath} PICTURES",
            ]);
        return code;
    }

    private static PictureSheet.Panel[] Panels(AnomalyExample example)
    {
        ImageBuffer panel = Photo.Read([example.Image])[0].Pixels;
        string verdict = FormattableString.Invariant($"{example.Map.Score:0.000} {(example.Map.IsAnomalous ? "unusual" : "normal")}");
        return [new(Photo.Panel(panel, PanelSide, PanelSide), "truth: " + (example.Unusual ? "unusual" : "normal")), new(Photo.Panel(example.Map.Overlay(panel), PanelSide, PanelSide), verdict)];
    }

    private static string[] Files(string[] words) => words.Length == 0 ? [] : PhotoFeatures.Files(words);
}
