using System.CommandLine;
using System.Text;
using DinoSharp.Evaluation;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval compare</c>: two backbones, or two heads, on the same data, with an interval of their difference.</summary>
internal sealed class EvalCompareVerb : Verb
{
    // Files that belong to a model: given twice, the first goes with A and the second with B.
    private static readonly string[] OfModel = ["--head", "--text"];

    private readonly Argument<string> _a = new("A") { Description = "The first model, or a baseline where the task has them" };
    private readonly Argument<string> _b = new("B") { Description = "The second model" };
    private readonly Option<string> _task = new("--task") { Description = "Protocol; its other options follow as for 'dino eval TASK'. --head (detect, segment, depth) and --text (text) given twice are those of A and of B", DefaultValueFactory = _ => "knn" };
    private readonly Option<string?> _out = new("--out", "-o") { Description = "Folder for results.json, with the scores of both on every item [default: only print]", HelpName = "FOLDER" };

    public EvalCompareVerb()
        : base(
            "compare",
            "Compare two backbones on the same data, with an interval of the difference",
            "dino eval compare dinov3-vits16 baseline:hog --train flowers/train --val flowers/val",
            "dino eval compare dinov3-vits16 dinov3-vitb16 --task logreg --train flowers/train --val flowers/val --json",
            "dino eval compare dinov3-vits16 dinov3-vits16 --task detect --head first.safetensors --head second.safetensors --voc bccd")
    {
        _task.AcceptOnlyFromAmong([.. EvalVerb.Tasks().Select(task => task.Name)]);
        foreach (Argument argument in (Argument[])[_a, _b]) Add(argument);
        Add(_task);
        Add(_out);
        TreatUnmatchedTokensAsErrors = false; // they are options of the task
    }

    protected override bool Computes => false;

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string? folder = arguments.GetValue(_out);
        if (File.Exists(folder)) throw new DinoSharpException($"--out {folder}: this is a file, a folder was expected");
        EvaluationVerb task = EvalVerb.Tasks().Single(t => t.Name == arguments.GetValue(_task));
        (IReadOnlyList<string> optionsOfA, IReadOnlyList<string> optionsOfB) = Divide([.. arguments.UnmatchedTokens.SelectMany(o => OfModel.Any(name => o.StartsWith(name + "=", StringComparison.Ordinal)) ? o.Split('=', 2) : [o])]);
        Evaluation a = await RunAsync(arguments.GetValue(_a)!, optionsOfA), b = await RunAsync(arguments.GetValue(_b)!, optionsOfB);
        (EvaluationResult first, EvaluationResult second) = (a.Result, b.Result);
        if (first.Model == second.Model) (first, second) = (first with { Model = Named(first, optionsOfA) }, second with { Model = Named(second, optionsOfB) });
        (ConfidenceInterval difference, string verdict) = Compare(first, second);
        (string Name, EvaluationResult First, EvaluationResult Second, ConfidenceInterval Difference, string Verdict)[] tests = [.. (a.Tests ?? []).Zip(b.Tests ?? [], (x, y) =>
        {
            (ConfidenceInterval interval, string words) = Compare(x.Result, y.Result);
            return (x.Name, x.Result, y.Result, interval, words);
        })];
        object summary = new
        {
            task = first.Task,
            data = first.Data,
            settings = first.Settings,
            a = new { model = first.Model, metrics = first.Metrics },
            b = new { model = second.Model, metrics = second.Metrics },
            metrics = new Dictionary<string, double> { [first.Headline + "Difference"] = difference.Value },
            interval = Shown(first, difference),
            n = first.Items.Count,
            verdict,
            tests = a.Tests is null ? null : tests.Select(t => new { name = t.Name, a = t.First.Metrics, b = t.Second.Metrics, interval = Shown(t.First, t.Difference), n = t.First.Items.Count, verdict = t.Verdict }),
        };
        List<string> written = [];
        if (folder is not null)
        {
            Directory.CreateDirectory(folder);
            string file = Path.Combine(folder, "results.json");
            ImageWriter.WriteWhole(file, Encoding.UTF8.GetBytes(Output.ToJson(new { summary, items = first.Items.Select((name, i) => new { item = name, a = first.Score([i]), b = second.Score([i]) }) }) + "\n"));
            written.Add(file);
        }

        string[][] rows =
        [
            ["", first.Model, second.Model],
            .. first.Metrics.Keys.Where(second.Metrics.ContainsKey).Select(key => (string[])[key, first.Show(first.Metrics[key]), second.Show(second.Metrics[key])]),
        ];
        output.Show(summary,
        [
            .. Output.Columns(rows),
            Line(first, difference, verdict),
            .. tests.Select(t => $"{t.Name}: {t.First.Show(t.First.Metrics[t.First.Headline])} and {t.Second.Show(t.Second.Metrics[t.Second.Headline])}; {Line(t.First, t.Difference, t.Verdict)}"),
            .. written,
        ]);
        return a.Skipped.Count + b.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;

        async Task<Evaluation> RunAsync(string model, IReadOnlyList<string> options)
        {
            ParseResult inner = new RootCommand { task }.Parse([task.Name, .. options, "--model", model]);
            return inner.Errors.Count == 0 ? await task.EvaluateAsync(model, inner, output, cancel)
                : throw new DinoSharpException($"{inner.Errors[0].Message}; what follows A and B are the options of 'dino eval {task.Name}', see its --help");
        }
    }

    private static (IReadOnlyList<string> A, IReadOnlyList<string> B) Divide(IReadOnlyList<string> options)
    {
        (List<string> a, List<string> b) = ([.. options], [.. options]);
        foreach (string name in OfModel)
        {
            int[] places = [.. Enumerable.Range(0, options.Count).Where(i => options[i] == name)];
            if (places.Length > 2) throw new DinoSharpException($"{name} is given {places.Length} times; give it once for both models, or twice: first that of A, then that of B");
            if (places.Length < 2) continue;
            a.RemoveRange(a.LastIndexOf(name), Math.Min(2, a.Count - a.LastIndexOf(name)));
            b.RemoveRange(b.IndexOf(name), 2);
        }

        return (a, b);
    }

    // Two heads of one backbone are told apart by their files.
    private static string Named(EvaluationResult result, IReadOnlyList<string> options) =>
        OfModel.Select(name => options.TakeWhile(o => o != name).Count() + 1).FirstOrDefault(i => i < options.Count, -1) is >= 0 and int file ? $"{result.Model} with {options[file]}" : result.Model;

    private static (ConfidenceInterval Difference, string Verdict) Compare(EvaluationResult first, EvaluationResult second)
    {
        if (!first.Items.SequenceEqual(second.Items)) throw new DinoSharpException($"{first.Model} and {second.Model} were not scored on the same items, because some could not be read; repair or remove the ones named above and run again");
        ConfidenceInterval difference = Bootstrap.Interval(first.Items.Count, items => second.Score(items) - first.Score(items), first.Groups);
        bool bothSigns = !(difference.Low > 0 || difference.High < 0);
        return (difference, bothSigns ? "no difference can be told" : (difference.Value > 0) == first.HigherIsBetter ? $"{second.Model} is better" : $"{first.Model} is better");
    }

    private static object Shown(EvaluationResult first, ConfidenceInterval difference) =>
        new { metric = first.Headline + "Difference", value = difference.Value, low = difference.Low, high = difference.High, level = difference.Level };

    private static string Line(EvaluationResult first, ConfidenceInterval difference, string verdict) =>
        $"{first.Headline}: difference {first.Show(difference.Value)} (95 % interval {first.Show(difference.Low)} to {first.Show(difference.High)}, paired, n = {first.Items.Count}): {verdict}";
}
