using System.CommandLine;
using DinoSharp.Cli.Embedding;
using DinoSharp.Features;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval retrieve</c>: finding pictures of the same thing.</summary>
internal sealed class EvalRetrieveVerb : EvaluationVerb
{
    private readonly Option<string?> _database = new("--database") { Description = "Pictures to search: a folder with a folder for each class or thing", HelpName = "DIR" };
    private readonly Option<string?> _queries = new("--queries") { Description = "Pictures to search for, in folders of the same names [default: each picture of the database searches all the others]", HelpName = "DIR" };
    private readonly Option<string?> _revisited = new("--revisited") { Description = "Instead: revisited Oxford or Paris, a folder with gnd_*.pkl and jpg/", HelpName = "DIR" };
    private readonly Option<RevisitedProtocol> _protocol = new("--protocol") { Description = "Which of its pictures count", HelpName = "easy|medium|hard", DefaultValueFactory = _ => RevisitedProtocol.Medium };
    private readonly VectorizerInputs _vectorizer;

    public EvalRetrieveVerb()
        : base(
            "retrieve",
            "Search for pictures of the same thing and score the ranking (mAP, recall)",
            ClassificationInputs.Baselines,
            "dino eval retrieve --database grocery/train --queries grocery/val --model dinov3-vits16",
            "dino eval retrieve --database grocery/train --model dinov3-vits16 --json",
            "dino eval retrieve --revisited roxford5k --protocol hard --benchmark Oxford-Hard --model dinov3-vits16")
    {
        Add(_database);
        Add(_queries);
        Add(_revisited);
        Add(_protocol);
        Validators.Add(result =>
        {
            if (result.GetValue(_database) is null == result.GetValue(_revisited) is null) result.AddError("give either --database DIR or --revisited DIR");
        });
        _vectorizer = new VectorizerInputs(this, wholeShorterSide: false);
    }

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        VectorizerOptions look = _vectorizer.Read(arguments, Compute(arguments), Pooling.ClassToken);
        if (arguments.GetValue(_revisited) is { } revisited) return await RevisitedAsync(model, revisited, arguments.GetValue(_protocol), look, output, cancel);
        (string database, string? queries) = (arguments.GetValue(_database)!, arguments.GetValue(_queries));
        ImageDataset searched = ClassificationInputs.Open(database);
        ImageDataset? asked = queries is null ? null : ClassificationInputs.Open(queries, leastClasses: 1);
        using ImageVectorizer vectorizer = ImageVectorizer.Open(model, look, cancel);
        using VectorSet keys = await RunAsync(vectorizer, "database", searched, output, cancel);
        using VectorSet? own = asked is null ? null : await RunAsync(vectorizer, "queries", asked, output, cancel);
        SkippedInput[] skipped = Skipped(keys.Skipped.Concat(own?.Skipped ?? []), output);
        var rows = new List<NeighborRow>();
        EvaluationResult result = RetrievalProtocol.Run(own ?? keys, keys, model, (query, nearest) => rows.Add(Row((own ?? keys).Paths[query], keys, nearest)));
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["database"] = database, ["queries"] = queries ?? database }, Settings = vectorizer.Settings.Concat(result.Settings).ToDictionary() },
            [["metric", ""], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            skipped,
            NeighborSheet.Of(rows),
            Computed: vectorizer.Computed,
            Leaked: own is null ? null : SharedPictures.Find(keys.Paths, own.Paths));
    }

    // Oxford and Paris are told by the file of their truth, their rule by --protocol; Met and AmsterTime are folders.
    protected override bool Measures(ParseResult arguments, ExpectedValue expected)
    {
        string[] parts = expected.Benchmark.Split('-');
        bool building = parts is [_, _];
        if (arguments.GetValue(_revisited) is not { } root) return !building;
        return building && string.Equals(parts[1], arguments.GetValue(_protocol).ToString(), StringComparison.OrdinalIgnoreCase)
            && Directory.Exists(root) && Directory.EnumerateFiles(root, "gnd_*.pkl").Any(f => Path.GetFileName(f).Contains(parts[0], StringComparison.OrdinalIgnoreCase));
    }

    private static async Task<Evaluation> RevisitedAsync(string model, string root, RevisitedProtocol protocol, VectorizerOptions look, Output output, CancellationToken cancel)
    {
        RevisitedBuildings buildings = RevisitedBuildings.Open(root);
        using ImageVectorizer vectorizer = ImageVectorizer.Open(model, look with { WholeShorterSide = true }, cancel); // the squares have the size of the input
        using VectorSet keys = await RunAsync(vectorizer, "database", buildings.DatabaseImages(look.CropPixels), output, cancel);
        using VectorSet queries = await RunAsync(vectorizer, "queries", buildings.QueryImages(look.CropPixels), output, cancel);
        var rows = new List<NeighborRow>();
        EvaluationResult result = RetrievalProtocol.Run(queries, keys, buildings.Truth, protocol, model, (query, nearest) => rows.Add(Row(queries.Paths[query], keys, nearest)));
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["revisited"] = root }, Settings = vectorizer.Settings.Concat(result.Settings).ToDictionary() },
            [["metric", ""], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            [],
            NeighborSheet.Of(rows),
            Computed: vectorizer.Computed);
    }

    private static NeighborRow Row(string query, VectorSet keys, IReadOnlyList<(int Item, bool Right)> nearest) =>
        new(query, nearest[0].Right, [.. nearest.Select(n => (keys.Paths[n.Item], n.Right))]);

    private static Task<VectorSet> RunAsync(ImageVectorizer vectorizer, string what, ImageDataset images, Output output, CancellationToken cancel) =>
        output.WithProgressAsync(what, images.Count, progress => Task.Run(() => vectorizer.Run(images, progress, cancel), CancellationToken.None));
}
