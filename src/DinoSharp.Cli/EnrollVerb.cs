using System.CommandLine;
using DinoSharp.Backbones;
using DinoSharp.Cli.Fitting;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli;

/// <summary><c>dino enroll</c>: things to recognise from a few pictures each.</summary>
internal sealed class EnrollVerb : Verb
{
    private const int PanelSide = 320, MostLetters = PanelSide / 18; // of a label, so that it ends above its picture

    private readonly Argument<string> _gallery = new("gallery") { Description = "A folder with a subfolder of a few pictures for each thing, or a .csv with the columns path and label" };
    private readonly Option<string[]> _unknown = new("--unknown") { Description = "Pictures of things that are not to be recognised, for a better threshold", HelpName = "PATH", DefaultValueFactory = _ => [] };
    private readonly FitOptions _shared;

    public EnrollVerb()
        : base(
            "enroll",
            "Learn things from a few pictures each, and when to say that a thing is unknown",
            "dino enroll products/ --out products.safetensors --model dinov3-vits16",
            "dino enroll badges/ --unknown visitors/ --out badges.safetensors --model dinov3-vits16 --json")
    {
        Add(_gallery);
        Add(_unknown);
        _shared = new FitOptions(this, "Layers whose class tokens are read [default: -1]", "Side of the square to which pictures are resized [default: what the weights were made for]");
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string headPath, string picture) = _shared.Outputs(arguments, "examples");
        LabelledImages gallery = LabelledImages.Open(arguments.GetValue(_gallery)!).OfSplit(toLearnFrom: true);
        string[] unknown = arguments.GetValue(_unknown)! is { Length: > 0 } words ? PhotoFeatures.Files(words) : [];
        using DinoModel model = _shared.Load(arguments, cancel);
        var options = new ClassifierFitOptions { Layers = _shared.Layers(arguments) ?? LayerSelection.Final, ImageSizePixels = _shared.Size(arguments), CacheFolder = _shared.Cache(arguments), Seed = _shared.Seed(arguments) };
        using EnrollmentResult result = await output.WithProgressAsync(
            "features", gallery.Count + unknown.Length, progress => Task.Run(() => Enrollment.Run(model, gallery, unknown, options, progress, cancel), CancellationToken.None));
        result.Head.Save(headPath);
        SavedPicture? sheet = result.Examples.Count == 0 ? null : SavedPicture.Save(PictureSheet.Compose([.. result.Examples.Chunk(2).Select(pair => pair.SelectMany(Panels).ToArray())]), picture);
        ExitCode code = FitOptions.Report(output, result.Unreadable);
        output.Show(
            new
            {
                output = headPath,
                threshold = result.Threshold,
                metrics = new { top1 = result.Top1?.Value, falselyUnknown = result.FalselyUnknown?.Value, falselyKnown = result.FalselyKnown?.Value },
                intervals = new { top1 = FitOptions.Interval(result.Top1), falselyUnknown = FitOptions.Interval(result.FalselyUnknown), falselyKnown = FitOptions.Interval(result.FalselyKnown) },
                n = result.Count,
                classes = gallery.Classes,
                picture = sheet?.Path,
                computed = result.Computed,
                skipped = result.Unreadable.Select(e => new { path = e.Name, reason = e.Cause }),
            },
            [
                FormattableString.Invariant($"{gallery.Classes.Count} things from {result.Count} pictures; unknown below a similarity of {result.Threshold:0.0000}"),
                $"named right when left out: {Rate(result.Top1)}; called unknown by mistake: {Rate(result.FalselyUnknown)}; others taken for known: {Rate(result.FalselyKnown)}",
                .. sheet is null ? (string[])[] : [$"{sheet} (pictures when left out, and the most similar of the others)"],
                $"{headPath}. Use it: dino recognise {headPath} PICTURES",
            ]);
        return code;

        static PictureSheet.Panel[] Panels(EnrolledExample example)
        {
            string verdict = example.IsUnknown || example.Named == example.Thing ? FormattableString.Invariant($"{(example.IsUnknown ? "unknown" : "right")} {example.Similarity:0.000}") : $"wrong: {example.Named}";
            return [.. Photo.Read([example.Image, example.Nearest]).Zip([example.Thing, verdict], (photo, label) => new PictureSheet.Panel(Photo.Panel(photo.Pixels, PanelSide, PanelSide), label.Length <= MostLetters ? label : label[..MostLetters]))];
        }

        static string Rate(DinoSharp.Evaluation.ConfidenceInterval? rate) => rate is { } r ? FitOptions.Percent(r) : "not known, too few pictures";
    }
}
