using System.CommandLine;
using System.Text;
using DinoSharp.Cli.Embedding;
using DinoSharp.Evaluation;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary>What an evaluation gives.</summary>
/// <param name="Result">The numbers.</param>
/// <param name="Rows">The table for a person, its header first.</param>
/// <param name="Skipped">Pictures that could not be read.</param>
/// <param name="Picture">Draws what there is to see; null if nothing is.</param>
/// <param name="Computed">How many pictures went through the model, where features are kept; null where they are not.</param>
/// <param name="Tests">Further sets that the same classifier was scored on; null if there are none.</param>
/// <param name="Leaked">Pictures to judge by that are also among those learnt from; null where nothing is learnt.</param>
internal sealed record Evaluation(
    EvaluationResult Result,
    IReadOnlyList<string[]> Rows,
    IReadOnlyList<SkippedInput> Skipped,
    Func<ImageBuffer>? Picture = null,
    int? Computed = null,
    IReadOnlyList<(string Name, EvaluationResult Result)>? Tests = null,
    IReadOnlyList<string>? Leaked = null);

/// <summary>One protocol of <c>dino eval</c>. It measures; showing and saving is the same for all: a table or JSON, and with <c>--out</c> a folder with results.json and a picture.</summary>
internal abstract class EvaluationVerb : Verb
{
    private readonly Option<string> _model;
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string?> _out = new("--out", "-o") { Description = "Folder for results.json, with the score of every item, and a picture [default: only print]", HelpName = "FOLDER" };

    private readonly Option<string?> _benchmark = new("--benchmark") { Description = "The data are this benchmark: show what the paper gives for the model (docs/expected.md lists the names)", HelpName = "NAME" };

    /// <param name="name">What the user types after <c>dino eval</c>.</param>
    /// <param name="description">One sentence.</param>
    /// <param name="modelMore">What else <c>--model</c> can be, if anything.</param>
    /// <param name="examples">Command lines.</param>
    protected EvaluationVerb(string name, string description, string? modelMore, params string[] examples)
        : base(name, description, examples)
    {
        _model = SharedOptions.Model();
        if (modelMore is not null) _model.Description += modelMore;
        Add(_model);
        Add(_compute);
        Add(_out);
        Add(_benchmark);
    }

    /// <summary>Measures.</summary>
    /// <param name="model">What is measured.</param>
    /// <param name="arguments">The options of the protocol.</param>
    /// <param name="output">For progress and warnings.</param>
    /// <param name="cancel">Stops it.</param>
    public abstract Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel);

    /// <summary>Whether a run with these options measures what a figure of the paper says; by default all figures of the protocol.</summary>
    /// <param name="arguments">The options of the protocol.</param>
    /// <param name="expected">A figure of this protocol.</param>
    protected virtual bool Measures(ParseResult arguments, ExpectedValue expected) => true;

    /// <summary>The precision that was asked for.</summary>
    protected ComputeType Compute(ParseResult arguments) => arguments.GetValue(_compute);

    /// <summary>The model, in that precision.</summary>
    protected DinoModel Load(string model, ParseResult arguments, CancellationToken cancel) => DinoModel.Load(model, new DinoModelOptions { Compute = Compute(arguments), Device = SharedOptions.Device(arguments) }, cancel);

    /// <inheritdoc/>
    protected sealed override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string? folder = arguments.GetValue(_out);
        string? benchmark = arguments.GetValue(_benchmark);
        if (benchmark is not null) ExpectedValues.RequireBenchmark(Name, benchmark, v => Measures(arguments, v));
        if (File.Exists(folder)) throw new DinoSharpException($"--out {folder}: this is a file, a folder was expected");
        Evaluation evaluation = await EvaluateAsync(arguments.GetValue(_model)!, arguments, output, cancel);
        EvaluationResult result = evaluation.Result;
        if (evaluation.Leaked is { Count: > 0 } leaked) output.Warn(Leaks(leaked));
        ConfidenceInterval interval = result.Interval;
        ExpectedValue[] expected = Expected(benchmark, result);
        (string Name, EvaluationResult Result, ConfidenceInterval Interval, ExpectedValue[] Expected)[] tests =
            [.. (evaluation.Tests ?? []).Select(t => (t.Name, t.Result, t.Result.Interval, Expected(t.Name, t.Result)))];
        object summary = new
        {
            task = result.Task,
            model = result.Model,
            data = result.Data,
            settings = result.Settings,
            metrics = result.Metrics,
            interval = Shown(result, interval),
            n = result.Items.Count,
            computed = evaluation.Computed,
            expected = Shown(expected),
            tests = evaluation.Tests is null ? null : tests.Select(t => new
            {
                name = t.Name,
                data = t.Result.Data,
                settings = t.Result.Settings,
                metrics = t.Result.Metrics,
                interval = Shown(t.Result, t.Interval),
                n = t.Result.Items.Count,
                expected = Shown(t.Expected),
            }),
            leaked = evaluation.Leaked,
            skipped = evaluation.Skipped.Select(s => new { path = s.Path, reason = s.Reason }),
        };
        List<string> written = [];
        if (folder is not null)
        {
            Directory.CreateDirectory(folder);
            string file = Path.Combine(folder, "results.json");
            ImageWriter.WriteWhole(file, Encoding.UTF8.GetBytes(Output.ToJson(new { summary, items = Items(result), tests = tests.Select(t => new { name = t.Name, items = Items(t.Result) }) }) + "\n"));
            written.Add(file);
            if (evaluation.Picture is { } draw) written.Add(SavedPicture(draw(), Path.Combine(folder, result.Task + ".png")));
        }

        string[] kept = evaluation.Computed is int computed ? [$"{computed} pictures computed, the features of the others were kept"] : [];
        output.Show(summary, [.. Output.Columns(evaluation.Rows), Headline(result, interval), .. expected.Select(e => e.Compare(result.Metrics[e.Metric])), .. tests.SelectMany(Lines), .. kept, .. written]);
        return evaluation.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    /// <summary>What the user is told of pictures on both sides.</summary>
    public static string Leaks(IReadOnlyList<string> leaked) => $"{leaked.Count} pictures to judge by are also among those learnt from, for example {leaked[0]}; the score is better than it should be";

    /// <summary>Tells of pictures that could not be read.</summary>
    protected static SkippedInput[] Skipped(IEnumerable<ImageException> errors, Output output)
    {
        SkippedInput[] skipped = [.. errors.Select(e => new SkippedInput(e.Name, e.Cause))];
        foreach (SkippedInput skip in skipped) output.Warn($"skipped {skip.Path}: {skip.Reason}");
        return skipped;
    }

    private ExpectedValue[] Expected(string? benchmark, EvaluationResult result) =>
        [.. (benchmark is null ? [] : ExpectedValues.Find(Name, benchmark, result.Model)).Where(e => result.Metrics.ContainsKey(e.Metric))];

    private static object Shown(EvaluationResult result, ConfidenceInterval interval) => new { metric = result.Headline, value = interval.Value, low = interval.Low, high = interval.High, level = interval.Level };

    private static object Shown(ExpectedValue[] expected) =>
        expected.Select(e => new { metric = e.Metric, benchmark = e.Benchmark, value = e.Unit == "%" ? e.Value / 100 : e.Value, source = e.Source });

    // One picture alone has no mean corruption error.
    private static object? Items(EvaluationResult result) => result.Headline == "mce" ? null : result.Items.Select((name, i) => new { item = name, score = result.Score([i]) });

    private static IEnumerable<string> Lines((string Name, EvaluationResult Result, ConfidenceInterval Interval, ExpectedValue[] Expected) test) =>
        [$"{test.Name}: {Headline(test.Result, test.Interval)}", .. test.Expected.Select(e => e.Compare(test.Result.Metrics[e.Metric]))];

    private static string Headline(EvaluationResult result, ConfidenceInterval interval) =>
        FormattableString.Invariant($"{result.Headline} {result.Show(interval.Value)} (95 % interval {result.Show(interval.Low)} to {result.Show(interval.High)}, n = {result.Items.Count})");

    /// <summary>A share as the literature prints it.</summary>
    protected static string Percent(double share) => FormattableString.Invariant($"{100 * share:0.0}");

    private static string SavedPicture(ImageBuffer picture, string path)
    {
        picture.Save(path);
        return path;
    }
}
