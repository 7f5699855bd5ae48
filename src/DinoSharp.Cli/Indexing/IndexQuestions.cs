using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Features.HighResolution;
using DinoSharp.Images;
using DinoSharp.Retrieval;

namespace DinoSharp.Cli.Indexing;

/// <summary>A question to an index. What the vectors were made with is written in it; weights and size that are named must be those.</summary>
internal abstract class IndexQuestionVerb : Verb
{
    private readonly Argument<string> _index = new("index") { Description = "Folder of the index" };
    private readonly Option<string?> _model = new("--model", "-m") { Description = "The weights of the index, if they lie elsewhere now [default: those it was made with]", HelpName = "MODEL" };
    private readonly Option<PictureSize?> _size = PictureSize.Optional("Refuse an index that was made at another size [default: any]");
    private readonly Option<long?> _maxMemory = ResolutionOptions.MaxMemory("Most memory to use, for example 2GB; what would take more is refused");

    protected IndexQuestionVerb(string name, string description, string page, params string[] examples)
        : base(name, description, examples)
    {
        Page = SharedOptions.Out(page);
        Add(_index);
        foreach (Option option in (Option[])[_model, _size, _maxMemory, Page]) Add(option);
    }

    /// <summary>The option <c>--out</c>.</summary>
    protected Option<string?> Page { get; }

    /// <summary>The model to ask with; null: the question needs none and none was named.</summary>
    /// <exception cref="DinoSharpException">Other weights than those of the index.</exception>
    protected DinoModel? Load(ParseResult arguments, ImageIndex index, bool needed, CancellationToken cancel)
    {
        string? named = arguments.GetValue(_model);
        if (arguments.GetValue(_size) is { } size && (size.Pixels != index.Settings.ImageSizePixels || size.Pixels is null != index.Settings.NativeSize))
            throw new DinoSharpException($"--size {size}: {index.Folder} was made at {index.Settings.SizeInWords}; leave the option out, or build the index again with --size {size}");
        if (named is null && !needed) return null;
        DinoModel model = DinoModel.Load(named ?? index.Settings.Model, new DinoModelOptions { Compute = Enum.Parse<ComputeType>(index.Settings.Compute), Device = SharedOptions.Device(arguments) }, cancel);
        if (model.Fingerprint == index.Settings.Fingerprint) return model;
        model.Dispose();
        throw new DinoSharpException(named is null
            ? $"{index.Settings.Model} holds other weights than when {index.Folder} was made; build the index again, or give the old weights with --model"
            : $"--model {named}: {index.Folder} was made with {index.Settings.Model}, whose weights are others; leave the option out, or build another index");
    }

    /// <summary>The index.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="inputs">Files that the page must not replace.</param>
    protected ImageIndex Open(ParseResult arguments, params string[] inputs)
    {
        if (arguments.GetValue(Page) is { } page) OutputNames.Require(page, [".html", ".htm"], inputs);
        return ImageIndex.Open(arguments.GetValue(_index)!);
    }

    /// <summary>Writes the page, if one was asked for.</summary>
    protected void Write(ParseResult arguments, Output output, string title, IReadOnlyList<IReadOnlyList<(string File, string Caption)>> rows)
    {
        if (arguments.GetValue(Page) is { } page && ThumbnailPage.Write(page, title, rows) is > 0 and int more) output.Warn($"{page} leaves out {more} pictures; --json names all");
    }

    /// <summary>Says what the question takes, and refuses what is over the limit.</summary>
    protected void RequireMemory(ParseResult arguments, long peakBytes, Output output)
    {
        if (arguments.GetValue(_maxMemory) is not long most) return;
        string words = ExtractionPlan.Words(peakBytes);
        if (peakBytes > most) throw new DinoSharpException($"this takes about {words}, the limit is {ExtractionPlan.Words(most)}; use a higher limit");
        output.Note($"memory: about {words}, limit {ExtractionPlan.Words(most)}");
    }
}

/// <summary><c>dino index search</c>: the pictures most like another one.</summary>
internal sealed class IndexSearchVerb : IndexQuestionVerb
{
    private readonly Argument<string> _query = new("query") { Description = "The picture to look for" };
    private readonly Option<int> _count = new("--count") { Description = "How many results", HelpName = "N", DefaultValueFactory = _ => 10 };

    public IndexSearchVerb()
        : base("search", "Find the pictures most like another one", "An HTML page of the results with thumbnails", "dino index search photos.index query.jpg", "dino index search photos.index query.jpg --count 50 --json --out results.html")
    {
        _count.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--count must be at least 1");
        });
        Add(_query);
        Add(_count);
    }

    protected override Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string query = arguments.GetValue(_query)!;
        using ImageIndex index = Open(arguments, query);
        using DinoModel model = Load(arguments, index, needed: true, cancel)!;
        var options = new EmbedOptions { ImageSizePixels = index.Settings.ImageSizePixels, NativeSize = index.Settings.NativeSize, Pooling = Enum.Parse<Pooling>(index.Settings.Pooling), BatchSize = 1 };
        ImageInfo picture = ImageFile.ReadInfo(query);
        RequireMemory(arguments, Math.Max(model.PlanEmbedding(options, picture.Width, picture.Height, null).PeakBytes, model.ResidentBytes + index.SearchBytes), output);
        IReadOnlyList<SearchHit> hits = index.Search(model.Embed(query, options, cancel), arguments.GetValue(_count));
        Write(arguments, output, $"Pictures like {query}", [[(query, "query")], [.. hits.Select(h => (h.Item.FullPath, FormattableString.Invariant($"{h.Score:0.000}")))]]);
        output.Show(hits.Select(h => new { path = h.Item.Path, score = h.Score }), [.. hits.Select(h => $"{h.Score:0.000}  {h.Item.Path}"), .. arguments.GetValue(Page) is { } written ? [written] : Array.Empty<string>()]);
        return Task.FromResult(ExitCode.Ok);
    }
}

/// <summary><c>dino index dedup</c>: groups of nearly equal pictures.</summary>
internal sealed class IndexDuplicatesVerb : IndexQuestionVerb
{
    private readonly Option<double> _similarity = new("--similarity") { Description = "Cosine similarity from which two pictures count as duplicates", HelpName = "COS", DefaultValueFactory = _ => 0.95 };

    public IndexDuplicatesVerb()
        : base("dedup", "Find groups of nearly equal pictures; nothing is deleted", "An HTML page of the groups with thumbnails", "dino index dedup photos.index", "dino index dedup photos.index --similarity 0.98 --out duplicates.html --json")
    {
        _similarity.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is not (>= -1 and <= 1)) result.AddError("--similarity must be from -1 to 1");
        });
        Add(_similarity);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ImageIndex index = Open(arguments);
        Load(arguments, index, needed: false, cancel)?.Dispose();
        RequireMemory(arguments, Environment.WorkingSet + index.CompareBytes(), output);
        IReadOnlyList<DuplicateGroup> groups = await output.WithProgressAsync("comparing", index.Items.Count, progress => Task.Run(() => index.FindDuplicates((float)arguments.GetValue(_similarity), progress, cancel), CancellationToken.None));
        Write(arguments, output, $"{groups.Count} groups of nearly equal pictures", [.. groups.Select(g => g.Items.Select(i => (i.FullPath, i.Path)).ToArray())]);
        output.Show(
            new { groups = groups.Select(g => new { paths = g.Items.Select(i => i.Path), lowestSimilarity = g.LowestSimilarity }), duplicates = groups.Sum(g => g.Items.Count - 1) },
            [.. groups.SelectMany(g => (string[])[.. g.Items.Select(i => i.Path), ""]), $"{groups.Count} groups, {groups.Sum(g => g.Items.Count - 1)} pictures more than needed"]);
        return ExitCode.Ok;
    }
}

/// <summary><c>dino index outliers</c>: pictures that stand apart.</summary>
internal sealed class IndexOutliersVerb : IndexQuestionVerb
{
    private readonly Option<int> _count = new("--count") { Description = "How many to show", HelpName = "N", DefaultValueFactory = _ => 20 };
    private readonly Option<int> _neighbors = new("--neighbors") { Description = "Nearest pictures to compare each with", HelpName = "N", DefaultValueFactory = _ => 5 };

    public IndexOutliersVerb()
        : base("outliers", "Rank pictures by how much they stand apart from all others", "An HTML page with thumbnails", "dino index outliers photos.index", "dino index outliers photos.index --count 100 --json")
    {
        foreach (Option<int> option in (Option<int>[])[_count, _neighbors])
        {
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1) result.AddError($"{option.Name} must be at least 1");
            });
        }

        Add(_count);
        Add(_neighbors);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ImageIndex index = Open(arguments);
        Load(arguments, index, needed: false, cancel)?.Dispose();
        RequireMemory(arguments, Environment.WorkingSet + index.CompareBytes(arguments.GetValue(_neighbors)), output);
        IReadOnlyList<SearchHit> ranked = await output.WithProgressAsync("comparing", index.Items.Count, progress => Task.Run(() => index.RankOutliers(arguments.GetValue(_neighbors), progress, cancel), CancellationToken.None));
        SearchHit[] shown = [.. ranked.Take(arguments.GetValue(_count))];
        Write(arguments, output, "Pictures that stand apart", [[.. shown.Select(h => (h.Item.FullPath, FormattableString.Invariant($"{h.Score:0.000}")))]]);
        output.Show(shown.Select(h => new { path = h.Item.Path, score = h.Score }), shown.Select(h => $"{h.Score:0.000}  {h.Item.Path}"));
        return ExitCode.Ok;
    }
}
