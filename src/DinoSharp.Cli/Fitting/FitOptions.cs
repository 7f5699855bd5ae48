using System.CommandLine;
using DinoSharp.Cli.Evaluating;
using DinoSharp.Backbones;
using DinoSharp.Cli.Pictures;
using DinoSharp.Evaluation;
using DinoSharp.Images;

namespace DinoSharp.Cli.Fitting;

/// <summary>Options that every <c>dino fit</c> has.</summary>
internal sealed class FitOptions
{
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string> _out;
    private readonly Option<string?> _picture = new("--picture") { Description = "Where the picture of the result goes [default: beside the head]", HelpName = "FILE" };
    private readonly Option<int[]> _layers;
    private readonly Option<int?> _size;
    private readonly Option<int> _seed = new("--seed") { Description = "Of every random choice", HelpName = "N", DefaultValueFactory = _ => 0 };
    private readonly Option<bool> _flip = new("--flip") { Description = "Learn each picture in a mirror as well; not where left and right differ, such as text" };
    private readonly Option<string?> _cache = SharedOptions.Cache();

    /// <param name="verb">Gets the options.</param>
    /// <param name="layers">What the layers are for.</param>
    /// <param name="size">What the size means.</param>
    /// <param name="flip">Whether the verb may learn mirrored pictures.</param>
    public FitOptions(Verb verb, string layers, string size, bool flip = false)
    {
        _out = new("--out", "-o") { Description = "The head: a .safetensors file", HelpName = "FILE", DefaultValueFactory = _ => verb.Name + ".safetensors" };
        _layers = SharedOptions.Layers(layers);
        _size = SharedOptions.Size(size);
        foreach (Option option in (Option[])[_out, _model, _compute, _layers, _size, _seed, _cache, _picture]) verb.Add(option);
        if (flip) verb.Add(_flip);
    }

    /// <summary>The backbone.</summary>
    public DinoModel Load(ParseResult arguments, CancellationToken cancel) =>
        DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);

    /// <summary>The layers that were named; null if none were.</summary>
    public LayerSelection? Layers(ParseResult arguments) => arguments.GetValue(_layers) is { Length: > 0 } layers ? LayerSelection.Create(layers) : null;

    /// <summary>Size of the model's input; null if none was named.</summary>
    public int? Size(ParseResult arguments) => arguments.GetValue(_size);

    /// <summary>Whether pictures are learnt in a mirror as well.</summary>
    public bool Flip(ParseResult arguments) => arguments.GetValue(_flip);

    /// <summary>Of every random choice.</summary>
    public int Seed(ParseResult arguments) => arguments.GetValue(_seed);

    /// <summary>Folder of the features; null for the usual one.</summary>
    public string? Cache(ParseResult arguments) => arguments.GetValue(_cache);

    /// <summary>Where head and picture go; refuses what cannot work before anything is computed.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="kind">What the picture shows, for its name.</param>
    public (string Head, string Picture) Outputs(ParseResult arguments, string kind)
    {
        string head = arguments.GetValue(_out)!;
        OutputNames.Require(head, [".safetensors"], []);
        string picture = arguments.GetValue(_picture) ?? Path.ChangeExtension(head, kind + ".png");
        OutputNames.Require(picture, OutputNames.Pictures, []);
        return (head, picture);
    }

    /// <summary>An interval as JSON shows it; null for none.</summary>
    public static object? Interval(ConfidenceInterval? interval) => interval is { } i ? new { low = i.Low, high = i.High, i.Level } : null;

    /// <summary>A share and its interval in per cent.</summary>
    public static string Percent(ConfidenceInterval i) => FormattableString.Invariant($"{100 * i.Value:0.0} % [{100 * i.Low:0.0}, {100 * i.High:0.0}]");

    /// <summary>Where the head is, what fitting it took, and what to do with it.</summary>
    public static string Saved(string head, int computed, double seconds) =>
        FormattableString.Invariant($"{head} ({computed} pictures computed, the others' features were kept; {seconds:0.0} s). Use it: dino predict {head} PICTURES");

    /// <summary>Warns about pictures that are both learnt from and judged by, and about those that were left out, a few by name.</summary>
    public static ExitCode Report(Output output, IReadOnlyList<ImageException> unreadable, IReadOnlyList<string>? leaked = null)
    {
        if (leaked is { Count: > 0 }) output.Warn(EvaluationVerb.Leaks(leaked));
        foreach (ImageException error in unreadable.Take(20)) output.Warn($"skipped {error.Name}: {error.Cause}");
        if (unreadable.Count > 20) output.Warn($"skipped {unreadable.Count - 20} more pictures");
        return unreadable.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }
}
