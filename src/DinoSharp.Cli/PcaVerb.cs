using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino pca</c>: the rainbow picture of the paper, for one picture or for several with common colours.</summary>
internal sealed class PcaVerb : Verb
{
    private readonly Argument<string[]> _images = new("images") { Description = "Pictures; equal colours mean equal things in all of them", Arity = ArgumentArity.OneOrMore };
    private readonly Option<bool> _noSheet = new("--no-sheet") { Description = "Only the coloured pictures, each in the size of its original, instead of one sheet beside the originals" };
    private readonly Option<string[]> _mask = new("--mask")
    {
        Description = "auto: fit and show only what stands before the background, guessed from the features; or a mask picture for each picture (white or opaque: keep)",
        HelpName = "auto|FILE",
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<bool> _guided = ResolutionOptions.Guided();
    private readonly ToolboxOptions _common = new("The sheet; with --no-sheet the picture, or a folder if there are several [default: NAME.pca.png or pca.png here]");

    public PcaVerb()
        : base(
            "pca",
            "Show what the patches of a picture have in common, as colours",
            "dino pca samples/images/still-life.jpg --model random:vits16",
            "dino pca left.jpg right.jpg --mask auto --out sheet.png --model dinov3-vits16")
    {
        Add(_images);
        Add(_noSheet);
        Add(_mask);
        Add(_guided);
        _common.AddTo(this);
        Validators.Add(result =>
        {
            string[] masks = result.GetValue(_mask) ?? [];
            int images = result.GetValue(_images)?.Length ?? 0;
            if (result.GetValue(_noSheet) && images > 1 && OutputNames.Pictures.Contains(Path.GetExtension(result.GetValue(_common.Out) ?? "").ToLowerInvariant())) result.AddError("--out must be a folder: --no-sheet writes one picture for each of several");
            if (masks is not ([] or ["auto"]) && masks.Length != images) result.AddError($"{masks.Length} masks for {images} pictures; give --mask once for each picture in the same order, or --mask auto");
        });
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] images = arguments.GetValue(_images)!;
        bool folder = arguments.GetValue(_noSheet) && images.Length > 1;
        if (!folder) _common.RequireOut(arguments, images);
        Photo[] photos = Photo.Read(images);
        (PatchMap[] maps, int layer, MemoryNotes memory) = await _common.ExtractAsync(arguments, photos, output, cancel);
        PatchMask[]? masks = Masks(arguments.GetValue(_mask) ?? [], maps);
        Pca pca = Pca.Fit(maps, 3, masks);
        bool guided = arguments.GetValue(_guided);
        PcaMap[] coloured = [.. maps.Select((map, i) => pca.Project(map, foreground: masks?[i])).Select((map, i) => guided ? new PcaMap(map.Map.UpsampleGuided(photos[i].Pixels), map.Foreground, map.Map.Geometry) : map)];
        SavedPicture[] saved = arguments.GetValue(_noSheet) ? SaveEach(photos, coloured, arguments.GetValue(_common.Out)) : [SaveSheet(photos, coloured, arguments.GetValue(_common.Out))];
        output.Show(
            new
            {
                output = saved.Select(s => s.Path),
                replaced = saved.Where(s => s.Replaced).Select(s => s.Path),
                layer,
                memory = memory.ToJson(),
                explainedVariance = pca.ExplainedVarianceRatio.ToArray(),
                images = photos.Select((photo, i) => new
                {
                    path = photo.Path,
                    photo.Pixels.Width,
                    photo.Pixels.Height,
                    grid = new { rows = maps[i].Height, columns = maps[i].Width },
                    foreground = masks is null ? (double?)null : (double)masks[i].Count / maps[i].Count,
                }),
            },
            [
                .. photos.Select((photo, i) => $"{photo.Path}: {maps[i].Height}x{maps[i].Width} patches" + (masks is null ? "" : $", {100.0 * masks[i].Count / maps[i].Count:0} % foreground")),
                $"layer {layer}; the three components hold {string.Join(" + ", pca.ExplainedVarianceRatio.ToArray().Select(share => $"{100 * share:0.0}"))} % of the variance",
                .. saved.Select(s => s.ToString()),
            ]);
        return ExitCode.Ok;
    }

    private static PatchMask[]? Masks(string[] given, PatchMap[] maps) => given switch
    {
        [] => null,
        ["auto"] => PatchMask.Guess(maps),
        _ => [.. maps.Select((map, i) => PatchMask.FromPicture(ImageFile.Read(given[i]), map.Height, map.Width, map.Geometry))],
    };

    private static SavedPicture SaveSheet(Photo[] photos, PcaMap[] coloured, string? path)
    {
        PictureSheet.Panel[][] rows = [.. photos.Select(photo => photo.Panel()).Select((panel, i) => new PictureSheet.Panel[] { new(panel), new(coloured[i].ToImage(panel.Width, panel.Height)) })];
        return SavedPicture.Save(PictureSheet.Compose(rows), path ?? (photos is [var only] ? new OutputNames().For(only.Path, "pca.png") : "pca.png"));
    }

    private static SavedPicture[] SaveEach(Photo[] photos, PcaMap[] coloured, string? path)
    {
        if (photos.Length == 1 && path is not null) return [SavedPicture.Save(coloured[0].ToImage(), path)];
        var names = new OutputNames();
        if (path is not null) Directory.CreateDirectory(path);
        return [.. photos.Select((photo, i) => SavedPicture.Save(coloured[i].ToImage(), names.For(photo.Path, "pca.png", path)))];
    }
}
