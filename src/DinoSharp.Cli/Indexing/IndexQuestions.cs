using System.CommandLine;
using DinoSharp.Features;
using DinoSharp.Retrieval;

namespace DinoSharp.Cli.Indexing;

/// <summary><c>dino index search</c>: the pictures most like another one.</summary>
internal sealed class IndexSearchVerb : Verb
{
    private readonly Argument<string> _index = new("index") { Description = "Folder of the index" };
    private readonly Argument<string> _query = new("query") { Description = "The picture to look for" };
    private readonly Option<int> _count = new("--count") { Description = "How many results", HelpName = "N", DefaultValueFactory = _ => 10 };
    private readonly Option<string?> _model = new("--model", "-m") { Description = "The weights of the index, if they lie elsewhere now [default: those it was made with]", HelpName = "MODEL" };
    private readonly Option<string?> _out = SharedOptions.Out("An HTML page of the results with thumbnails");

    public IndexSearchVerb()
        : base("search", "Find the pictures most like another one", "dino index search photos.index query.jpg", "dino index search photos.index query.jpg --count 50 --json --out results.html")
    {
        _count.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--count must be at least 1");
        });
        Add(_index);
        Add(_query);
        Add(_count);
        Add(_model);
        Add(_out);
    }

    protected override Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ImageIndex index = ImageIndex.Open(arguments.GetValue(_index)!);
        using DinoModel model = DinoModel.Load(arguments.GetValue(_model) ?? index.Settings.Model, cancel: cancel);
        if (arguments.GetValue(_model) is null && model.Fingerprint != index.Settings.Fingerprint)
            throw new DinoSharpException($"{index.Settings.Model} holds other weights than when {index.Folder} was made; build the index again, or give the old weights with --model");
        var options = new EmbedOptions { ImageSizePixels = index.Settings.ImageSizePixels, Pooling = Enum.Parse<Pooling>(index.Settings.Pooling) };
        string query = arguments.GetValue(_query)!;
        IReadOnlyList<SearchHit> hits = index.Search(model.Embed(query, options, cancel), arguments.GetValue(_count));
        if (arguments.GetValue(_out) is { } page) ThumbnailPage.Write(page, $"Pictures like {query}", [[(query, "query")], [.. hits.Select(h => (h.Item.FullPath, FormattableString.Invariant($"{h.Score:0.000}")))]]);
        output.Show(hits.Select(h => new { path = h.Item.Path, score = h.Score }), [.. hits.Select(h => $"{h.Score:0.000}  {h.Item.Path}"), .. arguments.GetValue(_out) is { } written ? [written] : Array.Empty<string>()]);
        return Task.FromResult(ExitCode.Ok);
    }
}

/// <summary><c>dino index dedup</c>: groups of nearly equal pictures.</summary>
internal sealed class IndexDuplicatesVerb : Verb
{
    private readonly Argument<string> _index = new("index") { Description = "Folder of the index" };
    private readonly Option<double> _similarity = new("--similarity") { Description = "Cosine similarity from which two pictures count as duplicates", HelpName = "COS", DefaultValueFactory = _ => 0.95 };
    private readonly Option<string?> _out = SharedOptions.Out("An HTML page of the groups with thumbnails");

    public IndexDuplicatesVerb()
        : base("dedup", "Find groups of nearly equal pictures; nothing is deleted", "dino index dedup photos.index", "dino index dedup photos.index --similarity 0.98 --out duplicates.html --json")
    {
        Add(_index);
        Add(_similarity);
        Add(_out);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ImageIndex index = ImageIndex.Open(arguments.GetValue(_index)!);
        IReadOnlyList<DuplicateGroup> groups = await output.WithProgressAsync("comparing", index.Items.Count, progress => Task.Run(() => index.FindDuplicates((float)arguments.GetValue(_similarity), progress, cancel), CancellationToken.None));
        if (arguments.GetValue(_out) is { } page)
            ThumbnailPage.Write(page, $"{groups.Count} groups of nearly equal pictures", [.. groups.Select(g => g.Items.Select(i => (i.FullPath, i.Path)).ToArray())]);
        output.Show(
            new { groups = groups.Select(g => new { paths = g.Items.Select(i => i.Path), lowestSimilarity = g.LowestSimilarity }), duplicates = groups.Sum(g => g.Items.Count - 1) },
            [.. groups.SelectMany(g => (string[])[.. g.Items.Select(i => i.Path), ""]), $"{groups.Count} groups, {groups.Sum(g => g.Items.Count - 1)} pictures more than needed"]);
        return ExitCode.Ok;
    }
}

/// <summary><c>dino index outliers</c>: pictures that stand apart.</summary>
internal sealed class IndexOutliersVerb : Verb
{
    private readonly Argument<string> _index = new("index") { Description = "Folder of the index" };
    private readonly Option<int> _count = new("--count") { Description = "How many to show", HelpName = "N", DefaultValueFactory = _ => 20 };
    private readonly Option<int> _neighbors = new("--neighbors") { Description = "Nearest pictures to compare each with", HelpName = "N", DefaultValueFactory = _ => 5 };
    private readonly Option<string?> _out = SharedOptions.Out("An HTML page with thumbnails");

    public IndexOutliersVerb()
        : base("outliers", "Rank pictures by how much they stand apart from all others", "dino index outliers photos.index", "dino index outliers photos.index --count 100 --json")
    {
        foreach (Option<int> option in (Option<int>[])[_count, _neighbors])
        {
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1) result.AddError($"{option.Name} must be at least 1");
            });
        }

        Add(_index);
        Add(_count);
        Add(_neighbors);
        Add(_out);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ImageIndex index = ImageIndex.Open(arguments.GetValue(_index)!);
        IReadOnlyList<SearchHit> ranked = await output.WithProgressAsync("comparing", index.Items.Count, progress => Task.Run(() => index.RankOutliers(arguments.GetValue(_neighbors), progress, cancel), CancellationToken.None));
        SearchHit[] shown = [.. ranked.Take(arguments.GetValue(_count))];
        if (arguments.GetValue(_out) is { } page) ThumbnailPage.Write(page, "Pictures that stand apart", [[.. shown.Select(h => (h.Item.FullPath, FormattableString.Invariant($"{h.Score:0.000}")))]]);
        output.Show(shown.Select(h => new { path = h.Item.Path, score = h.Score }), shown.Select(h => $"{h.Score:0.000}  {h.Item.Path}"));
        return ExitCode.Ok;
    }
}
