using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino similarity</c>: where pictures resemble one place of a picture.</summary>
internal sealed class SimilarityVerb : Verb
{
    private readonly Argument<string> _image = new("image") { Description = "The picture that the place is in" };
    private readonly Argument<string[]> _others = new("others") { Description = "More pictures to search", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<Place> _at = Place.Option("The place, in pixels of the upright picture from its upper left corner");
    private readonly Option<string> _model = SharedOptions.Model();
    private readonly Option<ComputeType> _compute = SharedOptions.Compute();
    private readonly Option<string?> _out = SharedOptions.Out("The sheet [default: NAME.similarity.png here]");
    private readonly Option<PictureSize> _size = PictureSize.Option();
    private readonly Option<int> _layer = SharedOptions.Layer();

    public SimilarityVerb()
        : base(
            "similarity",
            "Show where pictures resemble one place of a picture",
            "dino similarity samples/images/still-life.jpg --at 300,260 --model random:vits16",
            "dino similarity dog.jpg --at 812,640 other-dog.jpg --model dinov3-vits16")
    {
        Add(_image);
        Add(_others);
        Add(_at);
        Add(_model);
        Add(_compute);
        Add(_out);
        Add(_size);
        Add(_layer);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] images = [arguments.GetValue(_image)!, .. arguments.GetValue(_others)!];
        if (arguments.GetValue(_out) is { } path) OutputNames.Require(path, OutputNames.Pictures, images);
        Photo[] photos = Photo.Read(images);
        (int x, int y) = arguments.GetValue(_at);
        PatchGeometry.Whole(photos[0].Pixels.Width, photos[0].Pixels.Height).PatchAt(x, y, 1, 1); // outside of the picture: an error before the model is loaded
        (PatchMap[] maps, int layer) = await Photo.ExtractAsync(photos, arguments.GetValue(_model)!, arguments.GetValue(_compute), arguments.GetValue(_size)!, arguments.GetValue(_layer), output, cancel);
        (int row, int column) = maps[0].PatchAt(x, y);
        HeatMap[] heats = [.. maps.Select(map => map.SimilarityTo(maps[0][row, column]))];
        SavedPicture saved = SavedPicture.Save(Sheet(photos, heats, x, y), arguments.GetValue(_out) ?? new OutputNames().For(photos[0].Path, "similarity.png"));
        var results = photos.Select((photo, i) =>
        {
            (int bestRow, int bestColumn) = heats[i].Largest;
            (double bestX, double bestY) = maps[i].CenterOf(bestRow, bestColumn);
            return new
            {
                path = photo.Path,
                grid = new { rows = maps[i].Height, columns = maps[i].Width },
                lowest = heats[i].Range.Low,
                highest = heats[i].Range.High,
                best = i == 0 ? null : new { x = (int)bestX, y = (int)bestY, row = bestRow, column = bestColumn }, // in its own picture, a place is most like itself
            };
        }).ToArray();
        output.Show(
            new { output = saved.Path, replaced = saved.Replaced, layer, query = new { x, y, row, column }, images = results },
            [
                .. results.Select(image => $"{image.path}: cosine {image.lowest:0.000} to {image.highest:0.000}" + (image.best is null ? "" : $", best at {image.best.x},{image.best.y}")),
                saved.ToString(),
            ]);
        return ExitCode.Ok;
    }

    private static ImageBuffer Sheet(Photo[] photos, HeatMap[] heats, int x, int y)
    {
        // One colour scale for all pictures, so that colours can be compared.
        var range = new ValueRange(heats.Min(heat => heat.Range.Low), heats.Max(heat => heat.Range.High));
        ImageBuffer first = photos[0].Panel();
        var panels = new List<PictureSheet.Panel> { new(Marked(first)) };
        foreach ((Photo photo, HeatMap heat) in photos.Zip(heats))
        {
            ImageBuffer panel = photo.Panel(), overlay = PictureSheet.Overlay(panel, heat.ToImage(panel.Width, panel.Height, range));
            panels.Add(new(photo == photos[0] ? Marked(overlay) : overlay));
        }

        panels.Add(new(PictureSheet.Legend(range, first.Height)));
        return PictureSheet.Compose([panels]);

        ImageBuffer Marked(ImageBuffer panel)
        {
            var canvas = new Canvas(panel.Width, panel.Height);
            canvas.Draw(panel, 0, 0);
            double scaleX = (double)panel.Width / photos[0].Pixels.Width, scaleY = (double)panel.Height / photos[0].Pixels.Height;
            canvas.Ring((x + 0.5) * scaleX, (y + 0.5) * scaleY, radius: 14, thickness: 4);
            return canvas.ToPicture();
        }
    }
}
