using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Predicting;
using DinoSharp.Heads;
using DinoSharp.Heads.Text;
using DinoSharp.Images;
using DinoSharp.Weights;

namespace DinoSharp.Cli;

/// <summary><c>dino predict</c>: what a head says about pictures, whatever kind of head it is.</summary>
internal sealed class PredictVerb : Verb
{
    private readonly Argument<string> _head = new("head") { Description = "A head: made by 'dino fit', or a published one" };
    private readonly Argument<string[]> _paths = new("paths") { Description = "Pictures, folders, globs, videos", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string?> _model = new("--model", "-m") { Description = "The backbone of the head [default: the one that it was fitted on, by its name]", HelpName = "MODEL" };
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string?> _out = new("--out", "-o") { Description = "Folder for masks, maps and drawings; heads that answer in words need none [default: predictions here]", HelpName = "FOLDER" };
    private readonly Option<double> _score = new("--min-score") { Description = "Boxes less sure than this are left out", HelpName = "0..1", DefaultValueFactory = _ => 0.3 };

    private readonly LookOptions _look = new();
    private readonly Option<string?> _labels = new("--labels") { Description = "dino.txt: the classes in words, with commas between them, or a text file with a line for each", HelpName = "WORDS|FILE" };
    private readonly Option<string?> _classifier = new("--classifier") { Description = "Which one of a file that holds several, as the official linear probe leaves one for each learning rate: its name, or a part that only it has", HelpName = "NAME" };
    private readonly Option<bool> _perPixel = new("--per-pixel") { Description = "dino.txt: a class for each pixel instead of each picture" };

    private PredictVerb(string name, string description, params string[] examples)
        : base(name, description, examples)
    {
        Add(_head);
        Add(_paths);
        Add(_model);
        Add(_compute);
        Add(_out);
        Add(_score);
        _look.AddTo(this);
        Add(_labels);
        Add(_perPixel);
        Add(_classifier);
    }

    /// <summary><c>dino predict</c>.</summary>
    public static PredictVerb Predict() => new(
        "predict", "Use a head on pictures, folders and videos", "dino predict flowers.safetensors photos/ --json", "dino predict street.safetensors drive.mp4 --out masks", "dino predict street.safetensors panorama.jpg --flip --scales 0.75 1 1.25 --max-memory 4GB",
        "dino predict dinov3-vitl16-dinotxt.pth photos --labels \"a cat, a dog\" --model dinov3-vitl16");

    /// <summary><c>dino recognise</c>: the same under the name that goes with <c>dino enroll</c>.</summary>
    public static PredictVerb Recognise() => new("recognise", "Name what was enrolled, or say that it is unknown", "dino recognise products.safetensors shelf/ --json");

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string path = arguments.GetValue(_head)!;
        using PredictionInputs inputs = await PredictionInputs.OpenAsync(arguments.GetValue(_paths)!, cancel);
        bool perPixel = arguments.GetValue(_perPixel);
        (HeadKind kind, string? own) = Describe(path, arguments.GetValue(_classifier));
        ClassNames? words = Words(path, kind, arguments.GetValue(_labels), perPixel);
        using DinoModel model = LoadModel(path, own, arguments.GetValue(_model), new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        using DinoText? text = kind == HeadKind.DinoText ? DinoText.Load(model, path, cancel: cancel) : null;
        using Head? head = text is null ? Head.Load(model, path, new HeadOptions { Classifier = arguments.GetValue(_classifier) }, cancel) : perPixel ? text.CreateSegmentor(words!, cancel: cancel) : null;
        using ZeroShotClassifier? classifier = text is null || perPixel ? null : text.CreateClassifier(words!, cancel: cancel);
        DenseOptions look = _look.Read(arguments, path, kind, perPixel);
        Predictor predictor = classifier is not null ? new ClassPredictor(classifier.Predict) : Predictor.For(head!, look, arguments.GetValue(_out) ?? "predictions", arguments.GetValue(_score));
        var skipped = new List<SkippedInput>();
        List<Prediction> predictions = await output.WithProgressAsync("predicting", inputs.Count, progress => Task.Run(
            () =>
            {
                var done = new List<Prediction>();
                long count = 0;
                foreach ((string name, Func<ImageBuffer> read) in inputs.Read())
                {
                    cancel.ThrowIfCancellationRequested();
                    try
                    {
                        done.Add(predictor.Predict(name, read(), cancel));
                    }
                    catch (ImageException error)
                    {
                        output.Warn($"skipped {name}: {error.Cause}");
                        skipped.Add(new SkippedInput(name, error.Cause));
                    }

                    progress.Report(++count);
                }

                return done;
            },
            CancellationToken.None));
        skipped.AddRange(inputs.Skipped);
        foreach (SkippedInput missing in inputs.Skipped) output.Warn($"skipped {missing.Path}: {missing.Reason}");
        output.Show(
            new { head = path, kind, model = model.Name, metrics = head?.Metrics ?? new Dictionary<string, double>(), images = predictions.Select(p => p.Json), skipped },
            [.. predictions.Select(p => p.Line), .. predictor.Summary(predictions.Count)]);
        return skipped.Count > 0 || predictions.Count == 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static (HeadKind Kind, string? Backbone) Describe(string head, string? classifier)
    {
        using HeadWeights weights = HeadWeights.Open(head, classifier);
        HeadDescription? description = HeadDescription.Read(weights.File);
        return (description?.Kind ?? weights.Kind, description?.Backbone.Name);
    }

    private static ClassNames? Words(string head, HeadKind kind, string? labels, bool perPixel)
    {
        if (kind != HeadKind.DinoText) return labels is null && !perPixel ? null : throw new DinoSharpException($"{head}: is a {kind} head with classes of its own; --labels and --per-pixel are for dino.txt");
        if (labels is null) throw new DinoSharpException($"{head}: is dino.txt, which compares pictures with words; give them with --labels, for example --labels \"a cat, a dog\"");
        return File.Exists(labels) ? ClassNames.Read(labels) : new ClassNames(labels.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
    }

    // Which backbone a head belongs to stands in its file, so that nobody has to remember it; published heads say nothing.
    private static DinoModel LoadModel(string head, string? own, string? wanted, DinoModelOptions options, CancellationToken cancel)
    {
        string? name = wanted ?? own ?? Environment.GetEnvironmentVariable(SharedOptions.ModelVariable);
        if (string.IsNullOrEmpty(name)) throw new DinoSharpException($"{head}: does not say which backbone it belongs to; name it with --model");
        try
        {
            return DinoModel.Load(name, options, cancel);
        }
        catch (DinoSharpException error) when (wanted is null && own is not null)
        {
            throw new DinoSharpException($"{head}: was fitted on the backbone '{own}', which cannot be loaded; if it lies elsewhere now, name it with --model. {error.Message}", error);
        }
    }
}
