using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Backbones;
using DinoSharp.Cli.Pictures;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli.Fitting;

/// <summary><c>dino fit classify</c>: one class for a picture.</summary>
internal sealed class FitClassifyVerb : Verb
{
    private readonly Argument<string> _train = new("train") { Description = "A folder with a subfolder of pictures for each class, or a .csv with the columns path and label (and perhaps split)" };
    private readonly Option<string?> _val = new("--val") { Description = "Pictures to judge by, in the same form [default: a fifth of each class is held out]", HelpName = "PATH" };
    private readonly Option<ClassifierMethod> _method = new("--method")
    {
        Description = "linear (logistic regression) or knn (the most similar pictures vote)",
        HelpName = "linear|knn",
        CustomParser = result =>
        {
            string word = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            if (word == "knn") return ClassifierMethod.NearestNeighbors;
            if (word != "linear") result.AddError($"--method {word}: expected linear or knn");
            return ClassifierMethod.Linear;
        },
        DefaultValueFactory = _ => ClassifierMethod.Linear,
    };

    private readonly Option<int> _neighbors = new("--k") { Description = "Neighbours that vote", HelpName = "N", DefaultValueFactory = _ => 10 };
    private readonly GroupOptions _groups;
    private readonly FitOptions _shared;

    public FitClassifyVerb()
        : base(
            "classify",
            "Learn classes from a folder for each, or from a table",
            "dino fit classify flowers/train --val flowers/val --out flowers.safetensors --model dinov3-vits16",
            "dino fit classify scans.csv --group patient --method knn --out scans.safetensors --model dinov3-vits16 --json")
    {
        _neighbors.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--k must be at least 1");
        });
        Add(_train);
        Add(_val);
        Add(_method);
        Add(_neighbors);
        _groups = new GroupOptions(this, ownTable: true);
        _shared = new FitOptions(this, "Layers whose class tokens are read [default: -1]", "Side of the square to which pictures are resized [default: what the weights were made for]", flip: true);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string headPath, string picture) = _shared.Outputs(arguments, "confusion");
        LabelledImages train = _groups.Open(arguments.GetValue(_train)!, arguments);
        LabelledImages? validation = arguments.GetValue(_val) is { } val ? _groups.Open(val, arguments) : null;
        using DinoModel model = _shared.Load(arguments, cancel);
        var options = new ClassifierFitOptions
        {
            Method = arguments.GetValue(_method),
            Neighbors = arguments.GetValue(_neighbors),
            Layers = _shared.Layers(arguments) ?? LayerSelection.Final,
            ImageSizePixels = _shared.Size(arguments),
            Flip = _shared.Flip(arguments),
            Seed = _shared.Seed(arguments),
            CacheFolder = _shared.Cache(arguments),
        };
        var time = Stopwatch.StartNew();
        using ClassifierFitResult result = await output.WithProgressAsync(
            "features", train.Count + (validation?.Count ?? 0), progress => Task.Run(() => ClassifierFit.Run(model, train, validation, options, progress, cancel), CancellationToken.None));
        double seconds = time.Elapsed.TotalSeconds;
        result.Head.Save(headPath);
        SavedPicture confusion = SavedPicture.Save(result.Confusion.ToPicture(train.Classes), picture);
        ExitCode code = FitOptions.Report(output, result.Unreadable, result.Leaked);
        output.Show(
            new
            {
                output = headPath,
                metrics = new { top1 = result.Top1.Value, top5 = Metric("top5"), meanPerClass = Metric("mean_per_class"), macroF1 = Metric("macro_f1"), auroc = Metric("auroc") },
                interval = FitOptions.Interval(result.Top1),
                n = result.Validation.Count,
                groups = result.Validation.Groups?.Distinct().Count(),
                trained = result.TrainingCount,
                method = options.Method,
                c = result.C,
                classes = train.Classes.Select((name, i) => new { name, recall = result.Confusion.Recall[i], precision = result.Confusion.Precision[i], f1 = result.Confusion.F1[i] }),
                picture = confusion.Path,
                computed = result.Computed,
                seconds = Math.Round(seconds, 3),
                leaked = result.Leaked,
                skipped = result.Unreadable.Select(e => new { path = e.Name, reason = e.Cause }),
            },
            [
                $"top-1 {FitOptions.Percent(result.Top1)} on {result.Validation.Count} pictures not seen in training ({result.TrainingCount} pictures, {train.Classes.Count} classes{(result.C is { } c ? FormattableString.Invariant($", C {c:0.#####}") : "")})",
                .. Output.Columns([["class", "recall", "precision", "F1"], .. train.Classes.Select((name, i) => (string[])[name, Share(result.Confusion.Recall[i]), Share(result.Confusion.Precision[i]), Share(result.Confusion.F1[i])])]),
                confusion.ToString(),
                FitOptions.Saved(headPath, result.Computed, seconds),
            ]);
        return code;

        double? Metric(string name) => result.Head.Metrics.TryGetValue(name, out double value) ? value : null;
    }

    private static string Share(double value) => double.IsNaN(value) ? "-" : FormattableString.Invariant($"{100 * value:0.0}");
}
