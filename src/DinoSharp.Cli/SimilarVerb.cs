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
    private readonly Option<Place> _at = Place.Option("The place, in pixels of the upright picture from its upper left corner");
    private readonly Option<int> _count = new("--count") { Description = "How many results to show", HelpName = "N", DefaultValueFactory = _ => 10 };
    private readonly ToolboxOptions _common = new("The sheet: query and results with the place found [default: NAME.similar.png here]");

    public SimilarVerb()
        : base("similar", "Rank pictures by how well they show what one place of a picture shows", "dino similar dog.jpg --at 812,640 photos/ --model dinov3-vits16", "dino similar dog.jpg --at 812,640 photos/ --count 50 --model dinov3-vits16 --json")
    {
        _count.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError("--count must be at least 1");
        });
        Add(_query);
        Add(_images);
        Add(_at);
        Add(_count);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] files = PhotoFeatures.Files(arguments.GetValue(_images)!), inputs = [arguments.GetValue(_query)!, .. files];
        _common.RequireOut(arguments, inputs);
        Photo query = Photo.Read([arguments.GetValue(_query)!])[0];
        Place at = arguments.GetValue(_at);
        PatchGeometry.Whole(query.Pixels.Width, query.Pixels.Height).PatchAt(at.X, at.Y, 1, 1); // outside of the picture: an error before the model is loaded
        using DinoModel model = _common.Load(arguments, cancel);
        var features = _common.Features(arguments, model, output);
        PatchMap map = features.Extract(query, cancel);
        (int row, int column) = map.Geometry.PatchAt(at.X, at.Y, map.Height, map.Width);
        float[] vector = map[row, column].ToArray();
        List<Result> found = await output.WithProgressAsync("searching", files.Length, progress => Task.Run(() =>
        {
            var results = new List<Result>();
            foreach ((Photo photo, PatchMap other) in features.ExtractAll(files, progress, cancel))
            {
                HeatMap heat = other.SimilarityTo(vector);
                (int bestRow, int bestColumn) = heat.Largest;
                (double x, double y) = other.Geometry.CenterOf(bestRow, bestColumn, other.Height, other.Width);
                results.Add(new Result(photo.Path, heat[bestRow, bestColumn], x, y));
            }

            return results;
        }, CancellationToken.None));
        Result[] best = [.. found.OrderByDescending(r => r.Score).Take(arguments.GetValue(_count))];
        if (best.Length == 0) throw new DinoSharpException("none of the pictures can be read, see above");
        var rows = new List<IReadOnlyList<PictureSheet.Panel>> { new[] { Marked(query, at.X + 0.5, at.Y + 0.5, null) } };
        rows.AddRange(best.Take(MostPanels).Select(r => Marked(Photo.Read([r.Path])[0], r.X, r.Y, r.Score)).Chunk(3));
        SavedPicture saved = SavedPicture.Save(PictureSheet.Compose(rows), arguments.GetValue(_common.Out) ?? new OutputNames(inputs).For(query.Path, "similar.png"));
        output.Show(
            new { output = saved.Path, replaced = saved.Replaced, query = new { path = query.Path, x = at.X, y = at.Y, row, column }, results = best.Select(r => new { path = r.Path, score = r.Score, at = new[] { Math.Round(r.X, 2), Math.Round(r.Y, 2) } }), skipped = features.Skipped, memory = features.Memory.ToJson() },
            [.. best.Select(r => $"{r.Score:0.000}  {r.Path} at {r.X:0},{r.Y:0}"), saved.ToString()]);
        return features.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static PictureSheet.Panel Marked(Photo photo, double x, double y, float? score)
    {
        ImageBuffer panel = photo.Panel(longest: 512);
        var canvas = new Canvas(panel.Width, panel.Height);
        canvas.Draw(panel, 0, 0);
        double scale = (double)panel.Width / photo.Pixels.Width;
        canvas.Ring(x * scale, y * scale, radius: 12, thickness: 4);
        return new(canvas.ToPicture(), score is float s ? FormattableString.Invariant($"{s:0.000}") : null);
    }

    private sealed record Result(string Path, float Score, double X, double Y);
}
