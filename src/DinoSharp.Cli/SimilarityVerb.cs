using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino similarity</c>: where pictures resemble one or more places of a picture.</summary>
internal sealed class SimilarityVerb : Verb
{
    private readonly Argument<string> _image = new("image") { Description = "The picture that the place is in" };
    private readonly Argument<string[]> _others = new("others") { Description = "More pictures to search", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<Place[]> _at = Place.Several("The place, in pixels of the upright picture from its upper left corner; repeat for several");
    private readonly Option<ColorRange> _range = ColorRange.Option("Cosines at the ends of the colour scale: LOW,HIGH, or 'auto' for those of the pictures [default: 0,1, so that sheets can be compared]", new ValueRange(0, 1));
    private readonly ToolboxOptions _common = new("The sheet [default: NAME.similarity.png here]");

    public SimilarityVerb()
        : base(
            "similarity",
            "Show where pictures resemble one or more places of a picture",
            "dino similarity samples/images/still-life.jpg --at 300,260 --model random:vits16",
            "dino similarity dog.jpg --at 812,640 --at 300,900 other-dog.jpg --model dinov3-vits16")
    {
        Add(_image);
        Add(_others);
        Add(_at);
        Add(_range);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] images = [arguments.GetValue(_image)!, .. arguments.GetValue(_others)!];
        _common.RequireOut(arguments, images);
        Photo[] photos = Photo.Read(images);
        Place[] places = arguments.GetValue(_at)!;
        PatchGeometry whole = PatchGeometry.Whole(photos[0].Pixels.Width, photos[0].Pixels.Height);
        foreach (Place place in places) whole.PatchAt(place.X, place.Y, 1, 1); // outside of the picture: an error before the model is loaded
        (PatchMap[] maps, int layer, MemoryNotes memory) = await _common.ExtractAsync(arguments, photos, output, cancel);
        Query[] queries = [.. places.Select((place, i) => Query.Create(place, i, maps))];
        var found = new ValueRange(queries.Min(q => q.Heats.Min(h => h.Range.Low)), queries.Max(q => q.Heats.Max(h => h.Range.High)));
        SavedPicture saved = SavedPicture.Save(SimilaritySheet.Draw(photos, queries, arguments.GetValue(_range)!.Fixed ?? found), arguments.GetValue(_common.Out) ?? new OutputNames(images).For(photos[0].Path, "similarity.png"));
        var results = queries.Select(query => new { x = query.Place.X, y = query.Place.Y, row = query.Row, column = query.Column, images = photos.Select((photo, i) => InPicture(photo, maps[i], query.Heats[i], first: i == 0)).ToArray() }).ToArray();
        output.Show(
            new { output = saved.Path, replaced = saved.Replaced, layer, memory = memory.ToJson(), queries = results },
            [
                .. results.SelectMany(query => query.images.Select(image => $"{query.x},{query.y} in {image.Path}: cosine {image.Lowest:0.000} to {image.Highest:0.000}" + (image.Best is null ? "" : $", best at {image.Best.X},{image.Best.Y}"))),
                saved.ToString(),
            ]);
        return ExitCode.Ok;
    }

    private static PictureResult InPicture(Photo photo, PatchMap map, HeatMap heat, bool first)
    {
        (int row, int column) = heat.Largest;
        (double x, double y) = map.CenterOf(row, column);
        BestPlace? best = first ? null : new((int)x, (int)y, row, column); // in its own picture, a place is most like itself
        return new PictureResult(photo.Path, new Grid(map.Height, map.Width), heat.Range.Low, heat.Range.High, best);
    }

    private sealed record Grid(int Rows, int Columns);

    private sealed record BestPlace(int X, int Y, int Row, int Column);

    private sealed record PictureResult(string Path, Grid Grid, double Lowest, double Highest, BestPlace? Best);
}
