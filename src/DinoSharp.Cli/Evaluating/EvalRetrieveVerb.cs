using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Features;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval retrieve</c>: finding pictures of the same thing.</summary>
internal sealed class EvalRetrieveVerb : EvaluationVerb
{
    private readonly Option<string> _database = new("--database") { Description = "Pictures to search: a folder with a folder for each class or thing", HelpName = "DIR", Required = true };
    private readonly Option<string?> _queries = new("--queries") { Description = "Pictures to search for, in folders of the same names [default: each picture of the database searches all the others]", HelpName = "DIR" };
    private readonly VectorizerInputs _vectorizer;

    public EvalRetrieveVerb()
        : base(
            "retrieve",
            "Search for pictures of the same thing and score the ranking (mAP, recall)",
            ClassificationInputs.Baselines,
            "dino eval retrieve --database grocery/train --queries grocery/val --model dinov3-vits16",
            "dino eval retrieve --database grocery/train --model dinov3-vits16 --json")
    {
        Add(_database);
        Add(_queries);
        _vectorizer = new VectorizerInputs(this, wholeShorterSide: false);
    }

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        (string database, string? queries) = (arguments.GetValue(_database)!, arguments.GetValue(_queries));
        ImageDataset searched = ClassificationInputs.Open(database);
        ImageDataset? asked = queries is null ? null : ClassificationInputs.Open(queries);
        using ImageVectorizer vectorizer = ImageVectorizer.Open(model, _vectorizer.Read(arguments, Compute(arguments), Pooling.ClassToken), cancel);
        using VectorSet keys = await RunAsync("database", searched);
        using VectorSet? own = asked is null ? null : await RunAsync("queries", asked);
        SkippedInput[] skipped = [.. keys.Skipped.Concat(own?.Skipped ?? []).Select(e => new SkippedInput(e.Name, e.Cause))];
        foreach (SkippedInput skip in skipped) output.Warn($"skipped {skip.Path}: {skip.Reason}");
        EvaluationResult result = RetrievalProtocol.Run(own ?? keys, keys, model);
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["database"] = database, ["queries"] = queries ?? database }, Settings = vectorizer.Settings.Concat(result.Settings).ToDictionary() },
            [["metric", ""], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            skipped,
            Computed: vectorizer.Computed);

        Task<VectorSet> RunAsync(string what, ImageDataset images) =>
            output.WithProgressAsync(what, images.Count, progress => Task.Run(() => vectorizer.Run(images, progress, cancel), CancellationToken.None));
    }
}
