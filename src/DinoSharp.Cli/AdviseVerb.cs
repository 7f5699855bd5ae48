using System.CommandLine;
using DinoSharp.Cli.Fitting;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli;

/// <summary><c>dino advise</c>: which layers, pooling and input size suit the pictures.</summary>
internal sealed class AdviseVerb : Verb
{
    private const int Shown = 12;

    private readonly Argument<string> _data = new("data") { Description = "A folder with a subfolder for each class, or a .csv with the columns path and label" };
    private readonly Option<string> _task = new("--task") { Description = "What the features are for: classify", HelpName = "TASK", Required = true };
    private readonly Option<string?> _group = new("--group") { Description = "Column of the .csv whose pictures belong together", HelpName = "COLUMN" };
    private readonly Option<int[]> _sizes = new("--sizes") { Description = "Sides of the input to try [default: the model's own and half as much again]", HelpName = "PIXELS", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _perClass = new("--per-class") { Description = "Most pictures of each class in the sample", HelpName = "N", DefaultValueFactory = _ => 20 };
    private readonly Option<int> _seed = new("--seed") { Description = "Of the choice of the sample", HelpName = "N", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _cache = SharedOptions.Cache();
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();

    public AdviseVerb()
        : base(
            "advise",
            "Find out which layers, pooling and input size suit your pictures",
            "dino advise --task classify flowers/train --model dinov3-vits16",
            "dino advise --task classify scans.csv --group patient --sizes 224 448 --model dinov3-vits16 --json")
    {
        _task.AcceptOnlyFromAmong("classify");
        _perClass.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 2) result.AddError("--per-class must be at least 2");
        });
        Add(_data);
        Add(_task);
        Add(_group);
        Add(_sizes);
        Add(_perClass);
        Add(_seed);
        Add(_cache);
        Add(_model);
        Add(_compute);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        LabelledImages images = LabelledImages.Open(arguments.GetValue(_data)!, arguments.GetValue(_group)).OfSplit(toLearnFrom: true);
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute) }, cancel);
        int[] sizes = arguments.GetValue(_sizes) ?? [];
        var options = new AdvisorOptions { Sizes = sizes.Length > 0 ? sizes : null, PerClass = arguments.GetValue(_perClass), Seed = arguments.GetValue(_seed), CacheFolder = arguments.GetValue(_cache) };
        Advice advice = await output.WithProgressAsync("trying", null, progress => Task.Run(() => LayerAdvisor.Run(model, images, options, progress, cancel), CancellationToken.None));
        output.Show(
            new
            {
                best = Json(advice.Best),
                gain = advice.BestGain.Value,
                interval = FitOptions.Interval(advice.BestGain),
                clear = advice.IsClear,
                standard = Json(advice.Default),
                tried = advice.Tried.Select(Json),
                n = advice.Count,
                computed = advice.Computed,
            },
            [
                .. Output.Columns([["input", "layers", "features", "k-NN %", "against the default"], .. advice.Tried.Take(Shown).Select(l => (string[])[$"{l.ImageSizePixels}", string.Join(",", l.Layers), l.MeanPatch ? "class + mean patch" : "class", FitOptions.Percent(l.Accuracy), Points(l.Gain)])]),
                $"default: {Words(advice.Default)}, {FitOptions.Percent(advice.Default.Accuracy)} on {advice.Count} pictures",
                $"best on one half of them: {Words(advice.Best)}; on the other half {Points(advice.BestGain)} against the default",
                advice.IsClear ? "take it" : "that may be chance: keep the default, or try with more pictures (--per-class)",
            ]);
        return ExitCode.Ok;
    }

    private static object Json(AdvisedLook look) => new
    {
        size = look.ImageSizePixels,
        layers = look.Layers,
        meanPatch = look.MeanPatch,
        accuracy = look.Accuracy.Value,
        interval = FitOptions.Interval(look.Accuracy),
        gain = look.Gain.Value,
        gainInterval = FitOptions.Interval(look.Gain),
    };

    private static string Words(AdvisedLook look) => $"input {look.ImageSizePixels}, layers {string.Join(",", look.Layers)}, {(look.MeanPatch ? "class token and mean patch" : "class token")}";

    private static string Points(DinoSharp.Evaluation.ConfidenceInterval i) => FormattableString.Invariant($"{100 * i.Value:+0.0;-0.0;0.0} points [{100 * i.Low:+0.0;-0.0;0.0}, {100 * i.High:+0.0;-0.0;0.0}]");
}
