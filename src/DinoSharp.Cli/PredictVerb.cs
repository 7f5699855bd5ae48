using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Predicting;
using DinoSharp.Heads;
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

    private PredictVerb(string name, string description, params string[] examples)
        : base(name, description, examples)
    {
        Add(_head);
        Add(_paths);
        Add(_model);
        Add(_compute);
        Add(_out);
        Add(_score);
    }

    /// <summary><c>dino predict</c>.</summary>
    public static PredictVerb Predict() => new(
        "predict", "Use a head on pictures, folders and videos", "dino predict flowers.safetensors photos/ --json", "dino predict street.safetensors drive.mp4 --out masks");

    /// <summary><c>dino recognise</c>: the same under the name that goes with <c>dino enroll</c>.</summary>
    public static PredictVerb Recognise() => new("recognise", "Name what was enrolled, or say that it is unknown", "dino recognise products.safetensors shelf/ --json");

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string path = arguments.GetValue(_head)!;
        using PredictionInputs inputs = await PredictionInputs.OpenAsync(arguments.GetValue(_paths)!, cancel);
        using DinoModel model = LoadModel(path, arguments.GetValue(_model), new DinoModelOptions { Compute = arguments.GetValue(_compute) }, cancel);
        using Head head = Head.Load(model, path, cancel: cancel);
        Predictor predictor = Predictor.For(head, arguments.GetValue(_out) ?? "predictions", arguments.GetValue(_score));
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
            new { head = path, kind = head.Kind, model = model.Name, metrics = head.Metrics, images = predictions.Select(p => p.Json), skipped },
            [.. predictions.Select(p => p.Line), .. predictor.Summary(predictions.Count)]);
        return skipped.Count > 0 || predictions.Count == 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    // Which backbone a head belongs to stands in its file, so that nobody has to remember it; published heads say nothing.
    private static DinoModel LoadModel(string head, string? wanted, DinoModelOptions options, CancellationToken cancel)
    {
        string? own;
        using (HeadWeights weights = HeadWeights.Open(head)) own = HeadDescription.Read(weights.File)?.Backbone.Name;
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
