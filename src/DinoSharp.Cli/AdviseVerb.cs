using System.CommandLine;
using DinoSharp.Cli.Fitting;
using DinoSharp.Evaluation;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Fitting;

namespace DinoSharp.Cli;

/// <summary><c>dino advise</c>: which layers, pooling and input size suit the pictures.</summary>
internal sealed class AdviseVerb : Verb
{
    private const int Shown = 12;

    private readonly Argument<string> _data = new("data")
    {
        Description = "classify: a folder with a subfolder for each class, or a .csv with the columns path and label. segment, depth and detect with --coco: the folder of pictures. detect: a Pascal VOC folder or a YOLO data.yaml",
    };

    private readonly Option<string> _task = new("--task") { Description = "What the features are for", HelpName = "classify|segment|depth|detect", Required = true };
    private readonly Option<string?> _labels = new("--labels") { Description = "segment: folder of label maps", HelpName = "FOLDER" };
    private readonly Option<string?> _classes = new("--classes") { Description = "segment: table of the ids", HelpName = "FILE" };
    private readonly Option<string?> _depth = new("--depth") { Description = "depth: folder of depth maps", HelpName = "FOLDER" };
    private readonly Option<double> _scale = new("--depth-scale") { Description = "depth: metres of one unit of the maps", HelpName = "METRES", DefaultValueFactory = _ => 0.001 };
    private readonly Option<string?> _coco = new("--coco") { Description = "detect: a COCO instances .json", HelpName = "FILE" };
    private readonly Option<int[]> _sizes = new("--sizes") { Description = "Sides of the input to try [default: the model's own and half as much again; dense tasks: 384 and 512]", HelpName = "PIXELS", AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _perClass = new("--per-class") { Description = "classify: most pictures of each class in the sample", HelpName = "N", DefaultValueFactory = _ => new AdvisorOptions().PerClass };
    private readonly Option<int> _pictures = new("--pictures") { Description = "Dense tasks: most pictures in the sample, of which two fifths judge", HelpName = "N", DefaultValueFactory = _ => new AdvisorOptions().MaxPictures };
    private readonly Option<int> _steps = new("--steps") { Description = "Dense tasks: steps of each fit", HelpName = "N", DefaultValueFactory = _ => new AdvisorOptions().Steps };
    private readonly Option<bool> _dpt = new("--dpt") { Description = "segment, depth: try the DPT decoder as well, which takes several times longer than all else" };
    private readonly Option<int> _seed = new("--seed") { Description = "Of the choice of the sample", HelpName = "N", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _cache = SharedOptions.Cache();
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly GroupOptions _groups;

    public AdviseVerb()
        : base(
            "advise",
            "Find out which layers, pooling and input size suit your pictures",
            "dino advise --task classify flowers/train --model dinov3-vits16",
            "dino advise --task classify scans.csv --group patient --sizes 224 448 --model dinov3-vits16 --json",
            "dino advise --task segment images --labels labels --classes classes.csv --sizes 224 448",
            "dino advise --task depth rgb --depth depth --depth-scale 0.001 --dpt",
            "dino advise --task detect images --coco instances.json")
    {
        _task.AcceptOnlyFromAmong("classify", "segment", "depth", "detect");
        foreach ((Option<int> option, int least) in (ReadOnlySpan<(Option<int>, int)>)[(_perClass, 2), (_pictures, 4), (_steps, 1)])
        {
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < least) result.AddError($"{option.Name} must be at least {least}");
            });
        }

        Add(_data);
        foreach (Option option in (Option[])[_task, _labels, _classes, _depth, _scale, _coco, _sizes, _perClass, _pictures, _steps, _dpt, _seed, _cache, _model, _compute]) Add(option);
        _groups = new GroupOptions(this, ownTable: true);
        Validators.Add(result =>
        {
            string? missing = result.GetValue(_task) switch
            {
                "segment" when result.GetValue(_labels) is null || result.GetValue(_classes) is null => "--labels FOLDER and --classes FILE",
                "depth" when result.GetValue(_depth) is null => "--depth FOLDER",
                _ => null,
            };
            if (missing is not null) result.AddError($"--task {result.GetValue(_task)} needs {missing}");
        });
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!, task = arguments.GetValue(_task)!;
        int[] sizes = arguments.GetValue(_sizes) ?? [];
        var options = new AdvisorOptions
        {
            Sizes = sizes.Length > 0 ? sizes : null,
            PerClass = arguments.GetValue(_perClass),
            MaxPictures = arguments.GetValue(_pictures),
            Steps = arguments.GetValue(_steps),
            TryDpt = arguments.GetValue(_dpt),
            Seed = arguments.GetValue(_seed),
            CacheFolder = arguments.GetValue(_cache),
        };
        Func<DinoModel, IProgress<long>, Advice> ask = Question(arguments, task, data, options, cancel);
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        Advice advice = await output.WithProgressAsync("trying", null, progress => Task.Run(() => ask(model, progress), CancellationToken.None));
        string measure = task switch
        {
            "segment" => "mean IoU",
            "depth" => "within 1.25",
            "detect" => "AP",
            _ => "k-NN",
        };
        output.Show(
            new
            {
                task,
                measure,
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
                .. Output.Columns([["input", "layers", "features", $"{measure} %", "against the default"], .. advice.Tried.Take(Shown).Select(l => (string[])[$"{l.ImageSizePixels}", string.Join(",", l.Layers), Features(l), FitOptions.Percent(l.Score), Points(l.Gain)])]),
                $"default: {Words(advice.Default)}, {FitOptions.Percent(advice.Default.Score)} on {advice.Count} pictures",
                $"best on one half of them: {Words(advice.Best)}; on the other half {Points(advice.BestGain)} against the default",
                advice.IsClear ? "take it" : $"that may be chance: keep the default, or try with more pictures ({(task == "classify" ? "--per-class" : "--pictures")})",
            ]);
        return ExitCode.Ok;
    }

    // Annotations are read, and their faults told, before the model is loaded.
    private Func<DinoModel, IProgress<long>, Advice> Question(ParseResult arguments, string task, string data, AdvisorOptions options, CancellationToken cancel)
    {
        if (task == "classify")
        {
            LabelledImages images = _groups.Open(data, arguments).OfSplit(toLearnFrom: true);
            return (model, progress) => LayerAdvisor.Run(model, images, options, progress, cancel);
        }

        PictureGroups? groups = _groups.Table(arguments);
        if (task == "segment")
        {
            MapPairs pairs = MapPairs.Open(data, arguments.GetValue(_labels)!, groups);
            ClassTable classes = ClassTable.Read(arguments.GetValue(_classes)!);
            return (model, progress) => DenseAdvisor.Segment(model, pairs, classes, options, progress, cancel);
        }

        if (task == "depth")
        {
            MapPairs pairs = MapPairs.Open(data, arguments.GetValue(_depth)!, groups);
            return (model, progress) => DenseAdvisor.Depth(model, pairs, arguments.GetValue(_scale), options, progress, cancel);
        }

        BoxAnnotations boxes = (arguments.GetValue(_coco) is { } coco ? BoxAnnotations.ReadCoco(coco, data) : Directory.Exists(data) ? BoxAnnotations.ReadVoc(data, "train") : BoxAnnotations.ReadYolo(data, "train")).WithGroups(groups);
        return (model, progress) => DenseAdvisor.Detect(model, boxes, options, progress, cancel);
    }

    private static object Json(AdvisedLook look) => new
    {
        size = look.ImageSizePixels,
        layers = look.Layers,
        meanPatch = look.MeanPatch,
        decoder = look.Decoder,
        score = look.Score.Value,
        interval = FitOptions.Interval(look.Score),
        gain = look.Gain.Value,
        gainInterval = FitOptions.Interval(look.Gain),
    };

    private static string Features(AdvisedLook look) => look.MeanPatch switch
    {
        null => look.Decoder == DenseDecoder.Dpt ? "patches, dpt" : "patches",
        true => "class + mean patch",
        false => "class",
    };

    private static string Words(AdvisedLook look) => $"input {look.ImageSizePixels}, layers {string.Join(",", look.Layers)}, {Features(look)}";

    private static string Points(ConfidenceInterval i) => FormattableString.Invariant($"{100 * i.Value:+0.0;-0.0;0.0} points [{100 * i.Low:+0.0;-0.0;0.0}, {100 * i.High:+0.0;-0.0;0.0}]");
}
