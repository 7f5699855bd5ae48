using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino similar</c>: rank a folder by one place of a picture.</summary>
internal sealed class SimilarVerb : Verb
{
    private const int MostPanels = 12;

    private readonly Argument<string> _query = new("query") { Description = "The picture that the place is in" };
    private readonly Argument<string[]> _images = new("folder") { Description = "Folders, pictures or globs to search", Arity = ArgumentArity.OneOrMore };
    private readonly Option<Place[]> _at = Place.Several("The place, in pixels of the upright picture from its upper left corner; repeat for several", required: false);
    private readonly Option<Region[]> _box = Region.Boxes("A part of the picture instead of a place: left, top, width, height; repeat for several. With several, a picture's score is the mean over them");
    private readonly Option<int> _count = new("--count") { Description = "How many results to show", HelpName = "N", DefaultValueFactory = _ => 10 };
    private readonly ToolboxOptions _common = new("The sheet: query and results with the place found [default: NAME.similar.png here]");

    public SimilarVerb()
        : base("similar", "Rank pictures by how well they show what one place of a picture shows", "dino similar dog.jpg --at 812,640 photos/ --model dinov3-vits16", "dino similar dog.jpg --box 700,500,300,280 photos/ --count 50 --model dinov3-vits16 --json")
    {
        _count.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--count must be at least 1");
        });
        Add(_query);
        Add(_images);
        Add(_at);
        Add(_box);
        Add(_count);
        _common.AddTo(this);
        Validators.Add(result =>
        {
            if (result.GetResult(_at) is null && result.GetResult(_box) is null) result.AddError("what to look for is missing: give a place with --at X,Y or a part with --box X,Y,W,H");
        });
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] files = PhotoFeatures.Files(arguments.GetValue(_images)!), inputs = [arguments.GetValue(_query)!, .. files];
        _common.RequireOut(arguments, inputs);
        Photo query = Photo.Read([arguments.GetValue(_query)!])[0];
        Region[] regions = [.. (arguments.GetValue(_at) ?? []).Select(Region.Of), .. arguments.GetValue(_box) ?? []];
        foreach (Region region in regions) region.RequireInside(query); // an error before the model is loaded
        using DinoModel model = _common.Load(arguments, cancel);
        var features = _common.Features(arguments, model, output);
        PatchMap map = features.Extract(query, cancel);
        float[][] wanted = [.. regions.Select(region => region.Vector(map))];
        List<Result> found = await output.WithProgressAsync("searching", files.Length, progress => Task.Run(() =>
        {
            var results = new List<Result>();
            foreach ((Photo photo, PatchMap other) in features.ExtractAll(files, progress, cancel)) results.Add(new Result(photo.Path, [.. wanted.Select(vector => Best(other, vector))]));
            return results;
        }, CancellationToken.None));
        Result[] best = [.. found.OrderByDescending(r => r.Score).Take(arguments.GetValue(_count))];
        if (best.Length == 0) throw new DinoSharpException("none of the pictures can be read, see above");
        var rows = new List<IReadOnlyList<PictureSheet.Panel>> { new[] { Marked(query, regions, null) } };
        rows.AddRange(best.Take(MostPanels).Select(r => Marked(Photo.Read([r.Path])[0], [.. r.Places.Select(p => new Region((int)p.X, (int)p.Y, 1, 1))], r.Score)).Chunk(3));
        SavedPicture saved = SavedPicture.Save(PictureSheet.Compose(rows), arguments.GetValue(_common.Out) ?? new OutputNames(inputs).For(query.Path, "similar.png"));
        output.Show(
            new
            {
                output = saved.Path,
                replaced = saved.Replaced,
                query = new { path = query.Path, regions = regions.Select(r => new[] { r.X, r.Y, r.Width, r.Height }) },
                results = best.Select(r => new { path = r.Path, score = r.Score, places = r.Places.Select(p => new { at = new[] { Math.Round(p.X, 2), Math.Round(p.Y, 2) }, score = p.Score }) }),
                skipped = features.Skipped,
                memory = features.Memory.ToJson(),
            },
            [.. best.Select(r => $"{r.Score:0.000}  {r.Path} at {string.Join(" and ", r.Places.Select(p => $"{p.X:0},{p.Y:0}"))}"), saved.ToString()]);
        return features.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static FoundPlace Best(PatchMap map, float[] vector)
    {
        HeatMap heat = map.SimilarityTo(vector);
        (int row, int column) = heat.Largest;
        (double x, double y) = map.CenterOf(row, column);
        return new FoundPlace(x, y, heat[row, column]);
    }

    // Several regions have a colour each, the same on every picture.
    private static PictureSheet.Panel Marked(Photo photo, IReadOnlyList<Region> regions, float? score)
    {
        ImageBuffer panel = photo.Panel(longest: 512);
        var canvas = new Canvas(panel.Width, panel.Height);
        canvas.Draw(panel, 0, 0);
        for (int i = 0; i < regions.Count; i++) regions[i].Draw(canvas, (double)panel.Width / photo.Pixels.Width, regions.Count > 1 ? LabelMap.Bright((byte)(1 + (i % byte.MaxValue))) : null);
        return new(canvas.ToPicture(), score is float s ? FormattableString.Invariant($"{s:0.000}") : "query");
    }

    private sealed record FoundPlace(double X, double Y, float Score);

    private sealed record Result(string Path, FoundPlace[] Places)
    {
        public float Score => Places.Average(place => place.Score);
    }
}
