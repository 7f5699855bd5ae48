using System.CommandLine;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Features.Matching;
using DinoSharp.Images;

namespace DinoSharp.Cli;

/// <summary><c>dino match</c>: equal places on two pictures.</summary>
internal sealed class MatchVerb : Verb
{
    private readonly Argument<string> _a = new("a") { Description = "The first picture" };
    private readonly Argument<string> _b = new("b") { Description = "The second picture" };
    private readonly Option<string?> _maskA = new("--mask-a") { Description = "Match only what this picture keeps of A (white or opaque)", HelpName = "FILE" };
    private readonly Option<string?> _maskB = new("--mask-b") { Description = "Drop matches that lie outside of what this picture keeps of B", HelpName = "FILE" };
    private readonly Option<bool> _dense = new("--dense") { Description = "The best match of every patch of A, instead of only pairs that are each other's best" };
    private readonly Option<double> _spacing = new("--spacing") { Description = "Thin the matches out until they lie farther apart than this on A; 0 keeps all", HelpName = "PIXELS", DefaultValueFactory = _ => 0 };
    private readonly Option<double> _minScore = new("--min-score") { Description = "Drop pairs below this cosine similarity", HelpName = "COS", DefaultValueFactory = _ => -1 };
    private readonly Option<bool> _refine = new("--refine") { Description = "Interpolate places on B between patches, instead of giving the middles of patches" };
    private readonly ToolboxOptions _common = new("The picture of the matches [default: A.match.png here]");

    public MatchVerb()
        : base(
            "match",
            "Find equal places on two pictures",
            "dino match left.jpg right.jpg --model dinov3-vits16",
            "dino match left.jpg right.jpg --mask-a left-mask.png --mask-b right-mask.png --spacing 100 --model dinov3-vits16 --json")
    {
        Add(_a);
        Add(_b);
        foreach (Option option in (Option[])[_maskA, _maskB, _dense, _spacing, _minScore, _refine]) Add(option);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        string[] inputs = [.. ((string?[])[arguments.GetValue(_a), arguments.GetValue(_b), arguments.GetValue(_maskA), arguments.GetValue(_maskB)]).OfType<string>()];
        _common.RequireOut(arguments, inputs);
        Photo[] photos = Photo.Read(inputs[..2]);
        ImageBuffer? maskA = Read(arguments.GetValue(_maskA)), maskB = Read(arguments.GetValue(_maskB));
        (PatchMap[] maps, _, _) = await _common.ExtractAsync(arguments, photos, output, cancel, NearestNeighbors.WorkBytes);
        PatchMask? foregroundA = Mask(maskA, maps[0]), foregroundB = Mask(maskB, maps[1]);
        IReadOnlyList<PatchMatch> matches = PatchMatcher.Match(maps[0], maps[1], new()
        {
            ForegroundA = foregroundA,
            ForegroundB = foregroundB,
            Mutual = !arguments.GetValue(_dense),
            MinSpacing = arguments.GetValue(_spacing),
            MinSimilarity = (float)arguments.GetValue(_minScore),
            Refine = arguments.GetValue(_refine),
        });
        ImageBuffer picture = MatchPicture.Draw(photos[0], photos[1], matches, arguments.GetValue(_dense) ? (maps[0], maps[1], foregroundA, foregroundB) : null);
        SavedPicture saved = SavedPicture.Save(picture, arguments.GetValue(_common.Out) ?? new OutputNames(inputs).For(photos[0].Path, "match.png"));
        output.Show(
            new { matches = matches.Select(m => new { a = Place(m.A), b = Place(m.B), score = m.Similarity }) },
            [
                $"{matches.Count} matches" + (matches.Count == 0 ? "" : $", mean similarity {matches.Average(m => m.Similarity):0.000}"),
                saved.ToString(),
            ]);
        return ExitCode.Ok;
    }

    private static ImageBuffer? Read(string? mask) => mask is null ? null : ImageFile.Read(mask);

    private static PatchMask? Mask(ImageBuffer? mask, PatchMap map) => mask is null ? null : PatchMask.FromPicture(mask, map.Height, map.Width, map.Geometry);

    private static double[] Place(ImagePoint point) => [Math.Round(point.X, 2), Math.Round(point.Y, 2)];
}
