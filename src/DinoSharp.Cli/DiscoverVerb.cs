using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Features.Discovery;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino discover</c>: the most salient object of a picture, found without labels.</summary>
internal sealed class DiscoverVerb : Verb
{
    private const int MostPanels = 24;

    private readonly Argument<string[]> _images = new("images") { Description = "Pictures, folders or globs", Arity = ArgumentArity.OneOrMore };
    private readonly Option<double> _threshold = new("--threshold") { Description = "Patches with a cosine similarity above this are joined; try 0 to 0.4", HelpName = "COS", DefaultValueFactory = _ => new TokenCutOptions().Threshold };
    private readonly ToolboxOptions _common = new("The sheet: picture and box, saliency [default: NAME.discover.png here]");

    public DiscoverVerb()
        : base("discover", "Find the most salient object of a picture, without labels", "dino discover dog.jpg --model dinov3-vits16", "dino discover photos/ --model dinov3-vits16 --json")
    {
        Add(_images);
        Add(_threshold);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] files = PhotoFeatures.Files(arguments.GetValue(_images)!);
        _common.RequireOut(arguments, files);
        using DinoModel model = _common.Load(arguments, cancel);
        var features = _common.Features(arguments, model, output, TokenCut.WorkBytes);
        var rows = new List<IReadOnlyList<PictureSheet.Panel>>();
        var found = new List<(string Path, DiscoveredObject? Object)>();
        await output.WithProgressAsync("discovering", files.Length, progress => Task.Run(() =>
        {
            foreach ((Photo photo, PatchMap map) in features.ExtractAll(files, progress, cancel))
            {
                DiscoveredObject? one = TokenCut.Find(map, new TokenCutOptions { Threshold = arguments.GetValue(_threshold) });
                found.Add((photo.Path, one));
                if (rows.Count >= MostPanels) continue;
                ImageBuffer panel = photo.Panel();
                rows.Add(one is null ? [new(panel)] : [new(Boxed(panel, one.Box, (double)panel.Width / photo.Pixels.Width)), new(PictureSheet.Overlay(panel, one.Saliency.ToImage(panel.Width, panel.Height))), new(PictureSheet.Legend(one.Saliency.Range, panel.Height))]);
            }

            return 0;
        }, CancellationToken.None));
        if (found.Count == 0) throw new DinoSharpException("none of the pictures can be read, see above");
        SavedPicture saved = SavedPicture.Save(PictureSheet.Compose(rows), arguments.GetValue(_common.Out) ?? new OutputNames(files).For(found[0].Path, "discover.png"));
        output.Show(
            new
            {
                output = saved.Path,
                replaced = saved.Replaced,
                images = found.Select(f => new { path = f.Path, box = f.Object is null ? null : Numbers(f.Object.Box), share = f.Object is { Mask: var mask } ? (double)mask.Count / (mask.Width * mask.Height) : 0 }),
                skipped = features.Skipped,
                memory = features.Memory.ToJson(),
            },
            [.. found.Select(f => f.Object is { Box: var box } ? $"{f.Path}: object at {box.X:0},{box.Y:0}, {box.Width:0} x {box.Height:0} pixels" : $"{f.Path}: no object, nothing in it differs from the rest"), saved.ToString()]);
        return features.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static double[] Numbers(Box box) => [Math.Round(box.X, 2), Math.Round(box.Y, 2), Math.Round(box.Width, 2), Math.Round(box.Height, 2)];

    private static ImageBuffer Boxed(ImageBuffer panel, Box box, double scale)
    {
        var canvas = new Canvas(panel.Width, panel.Height);
        canvas.Draw(panel, 0, 0);
        canvas.Rectangle(new Box(box.X * scale, box.Y * scale, box.Width * scale, box.Height * scale), 4, (255, 60, 40));
        return canvas.ToPicture();
    }
}
