using System.CommandLine;
using System.Diagnostics;
using DinoSharp.Cli.Embedding;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;

namespace DinoSharp.Cli;

/// <summary><c>dino embed</c>: one vector for each picture, in a file.</summary>
internal sealed class EmbedVerb : Verb
{
    private static readonly IReadOnlyDictionary<string, Pooling> Poolings = new Dictionary<string, Pooling>
    {
        ["class"] = Pooling.ClassToken,
        ["mean"] = Pooling.PatchMean,
        ["class+mean"] = Pooling.ClassTokenAndPatchMean,
        ["gem"] = Pooling.GeM,
    };

    private readonly Argument<string[]> _paths = new("paths") { Description = "Files, folders (with all below them), globs such as 'photos/**/*.jpg', and tar shards (.tar, .tar.gz)", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string> _out = new("--out", "-o") { Description = "Result: .parquet, .npy, .safetensors or .jsonl; .npy and .safetensors get a .paths.jsonl beside them", HelpName = "FILE", Required = true };
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string> _pooling = new("--pooling") { Description = "What the vector is made of: the class token, the mean of the patches, both, or their generalised mean", DefaultValueFactory = _ => "class" };
    private readonly Option<bool> _raw = new("--no-normalize") { Description = "Keep the vectors as they are instead of dividing each by its length" };
    private readonly Option<int?> _size = SharedOptions.Size("Side of the square to which each picture is resized [default: what the weights were made for, mostly 224 or 256]");
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures computed at once", HelpName = "N", DefaultValueFactory = _ => 8 };
    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Replace the result if it exists" };

    public EmbedVerb()
        : base(
            "embed",
            "Turn pictures into vectors, for search, clustering and classification",
            "dino embed samples/images --out samples.parquet --model random:vits16",
            "dino embed photos 'more/**/*.jpg' shards/0001.tar --out photos.npy --model dinov3-vits16 --pooling class+mean")
    {
        _pooling.AcceptOnlyFromAmong([.. Poolings.Keys]);
        _out.Validators.Add(result =>
        {
            string path = result.GetValueOrDefault<string>() ?? "";
            if (!EmbeddingFile.Extensions.Contains(Path.GetExtension(path).ToLowerInvariant())) result.AddError($"--out {path}: expected a name that ends in {string.Join(", ", EmbeddingFile.Extensions)}");
        });
        _batch.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--batch must be at least 1");
        });
        Add(_paths);
        Add(_out);
        Add(_model);
        Add(_compute);
        Add(_pooling);
        Add(_raw);
        Add(_size);
        Add(_batch);
        Add(_overwrite);
    }

    protected override bool NeedsLibtorch => false; // loading the model asks for it, when the file of weights is open

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string path = arguments.GetValue(_out)!;
        OutputNames.Require(path, EmbeddingFile.Extensions, []);
        RefuseToReplace(path, arguments.GetValue(_overwrite));
        InputImages inputs = InputImages.Find(arguments.GetValue(_paths)!);
        var options = new EmbedOptions
        {
            Pooling = Poolings[arguments.GetValue(_pooling)!],
            UnitLength = !arguments.GetValue(_raw),
            ImageSizePixels = arguments.GetValue(_size),
            BatchSize = arguments.GetValue(_batch),
        };
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model)!, new DinoModelOptions { Compute = arguments.GetValue(_compute), Device = SharedOptions.Device(arguments) }, cancel);
        var run = new EmbeddingRun(model, options, inputs, path);
        long? total = inputs.Count(cancel);
        var time = Stopwatch.StartNew();
        EmbeddingSummary summary = await output.WithProgressAsync("embedding", total, progress => Task.Run(() => run.Execute(progress, output, cancel), CancellationToken.None));
        double seconds = time.Elapsed.TotalSeconds;
        int computed = summary.Count - summary.Resumed;
        output.Show(
            new
            {
                output = path,
                paths = EmbeddingFile.PathsFile(path),
                summary.Count,
                summary.Resumed,
                dimensions = summary.Dimensions,
                pooling = arguments.GetValue(_pooling),
                unitLength = options.UnitLength,
                model = model.Name,
                seconds = Math.Round(seconds, 3),
                imagesPerSecond = Math.Round(computed / seconds, 2),
                decodedPerSecond = Math.Round(run.Times.DecodedPerSecond, 2),
                computedPerSecond = Math.Round(run.Times.ComputedPerSecond, 2),
                skipped = inputs.Skipped,
            },
            [
                $"{path}: {summary.Count} vectors of {summary.Dimensions} numbers{(computed > 0 ? $" ({computed / seconds:0.0} pictures/s)" : "")}",
                .. computed > 0 ? [$"  decoding alone {run.Times.DecodedPerSecond:0.0} pictures/s, the model alone {run.Times.ComputedPerSecond:0.0}: bound by {run.Times.Bound}"] : Array.Empty<string>(),
                .. EmbeddingFile.PathsFile(path) is { } paths ? [$"{paths}: the picture of each row"] : Array.Empty<string>(),
                .. inputs.Skipped.Count > 0 ? [$"{inputs.Skipped.Count} skipped, listed above"] : Array.Empty<string>(),
            ]);
        return inputs.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static void RefuseToReplace(string path, bool overwrite)
    {
        if (overwrite) return;
        string? paths = EmbeddingFile.PathsFile(path);
        string? found = File.Exists(path) ? path : File.Exists(paths) && !File.Exists(EmbeddingRun.JournalOf(path)) ? paths : null;
        if (found is not null) throw new DinoSharpException($"{found} exists; give another name, or --overwrite to replace it");
    }
}
