using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Probes;
using DinoSharp.Training.Data.Annotations;

namespace DinoSharp.Cli;

/// <summary><c>dino segment</c>: segment pictures after seeing a few masks.</summary>
internal sealed class SegmentVerb : Verb
{
    private const int MostPanels = 24;

    // Linear algebra that only learning calls for: its code, and what its threads keep; measured, see docs/log.md.
    private const long SolverBytes = 64 << 20;
    private const int DefaultUnlabelled = 255, None = -1;

    private readonly Argument<string[]> _targets = new("targets") { Description = "Pictures, folders or globs to segment", Arity = ArgumentArity.OneOrMore };
    private readonly Option<string[]> _examples = new("--examples") { Description = "Pictures with masks or scribbles: " + MaskExamples.Layouts + ". Repeat for several", HelpName = "PATH", Required = true };
    private readonly Option<int> _unlabelled = new("--unlabelled") { Description = "Id of mask pixels that are not labelled, as around scribbles; black and white masks have none by default", HelpName = "ID|none", DefaultValueFactory = _ => DefaultUnlabelled, CustomParser = Unlabelled };
    private readonly Option<string?> _classes = new("--classes") { Description = "Table of the ids for the legend: .csv with the columns id and name", HelpName = "FILE" };
    private readonly Option<string?> _masks = new("--masks") { Description = "Folder for the results, palette PNGs named as the pictures [default: segments here]", HelpName = "FOLDER" };
    private readonly Option<bool> _guided = ResolutionOptions.Guided();
    private readonly ToolboxOptions _common = new("The sheet [default: NAME.segment.png here]");

    public SegmentVerb()
        : base(
            "segment",
            "Segment pictures after seeing a few masks or scribbles",
            "dino segment --examples painted/ photos/ --model dinov3-vits16",
            "dino segment --examples dog.jpg=dog-scribbles.png other-dogs/*.jpg --model dinov3-vits16 --json")
    {
        Add(_targets);
        Add(_examples);
        Add(_unlabelled);
        Add(_classes);
        Add(_masks);
        Add(_guided);
        _common.AddTo(this);
    }

    protected override async Task<ExitCode> RunAsync(ParseResult arguments, Output output, CancellationToken cancel)
    {
        IReadOnlyList<(string Image, string Mask)> pairs = MaskExamples.Find(arguments.GetValue(_examples)!);
        string[] files = PhotoFeatures.Files(arguments.GetValue(_targets)!);
        string folder = arguments.GetValue(_masks) ?? "segments";
        ClassTable? names = arguments.GetValue(_classes) is { } table ? ClassTable.Read(table) : null;
        LabelMap[] painted = [.. pairs.Select(pair => MaskExamples.Read(pair.Mask))];
        byte? unlabelled = arguments.GetValue(_unlabelled) is int id and not None && (arguments.GetResult(_unlabelled) is { Implicit: false } || !IsBlackAndWhite(painted)) ? (byte)id : null;
        string[] inputs = [.. files, .. pairs.SelectMany(pair => (string[])[pair.Image, pair.Mask])];
        using DinoModel model = _common.Load(arguments, cancel);
        IReadOnlyDictionary<string, string> masks = OutputNames.PrepareMasks(folder, files, inputs);
        _common.RequireOut(arguments, inputs);
        var features = _common.Features(arguments, model, output);
        features.Hold(SolverBytes);
        using PatchClassifier classifier = await output.WithProgressAsync("learning", pairs.Count, progress => Task.Run(() =>
        {
            MaskExample[] examples = [.. pairs.Select((pair, i) =>
            {
                PatchMap map = features.Extract(pair.Image, cancel).Map;
                features.Hold(PatchClassifier.FitBytes(map));
                map.Geometry.RequireShape(pair.Mask, painted[i].Width, painted[i].Height);
                progress.Report(i + 1);
                return new MaskExample(map, painted[i]);
            })];
            PatchClassifier learnt = PatchClassifier.Fit(examples, new PatchClassifierOptions { UnlabelledId = unlabelled }, cancel);
            features.Hold(-examples.Sum(example => PatchClassifier.FitBytes(example.Patches)));
            return learnt;
        }, CancellationToken.None));
        string Name(byte id) => names?.Names.GetValueOrDefault(id) ?? $"{id}";
        var rows = new List<IReadOnlyList<PictureSheet.Panel>>();
        var results = new List<(string Path, string Mask, double[] Shares)>();
        await output.WithProgressAsync("segmenting", files.Length, progress => Task.Run(() =>
        {
            foreach ((Photo photo, PatchMap map) in features.ExtractAll(files, progress, cancel))
            {
                LabelMap labels = arguments.GetValue(_guided) ? classifier.Segment(map, photo.Pixels) : classifier.Segment(map);
                string file = masks[photo.Path];
                labels.Save(file);
                results.Add((photo.Path, file, Shares(labels, classifier.Ids)));
                if (rows.Count >= MostPanels) continue;
                ImageBuffer panel = photo.Panel();
                PictureSheet.Panel found = new(labels.ResizeNearestExact(panel.Width, panel.Height).Overlay(panel));
                rows.Add(rows.Count > 0 ? [new(panel), found] : [new(panel), found, new(PictureSheet.Classes([.. classifier.Ids.Select(id => (id, Name(id)))]))]);
            }

            return 0;
        }, CancellationToken.None));
        if (results.Count == 0) throw new DinoSharpException("none of the pictures can be read, see above");
        SavedPicture saved = SavedPicture.Save(PictureSheet.Compose(rows), arguments.GetValue(_common.Out) ?? new OutputNames(inputs).For(results[0].Path, "segment.png"));
        output.Show(
            new
            {
                output = saved.Path,
                replaced = saved.Replaced,
                classes = classifier.Ids.Select(id => (int)id),
                names = names is null ? null : classifier.Ids.Select(Name),
                c = classifier.C,
                heldOutIou = classifier.HeldOutIou,
                images = results.Select(r => new { path = r.Path, mask = r.Mask, shares = r.Shares }),
                skipped = features.Skipped,
                memory = features.Memory.ToJson(),
            },
            [
                $"{pairs.Count} examples, classes {string.Join(' ', classifier.Ids.Select(Name))}, C {classifier.C}" + (classifier.HeldOutIou is double iou ? $", mean IoU on patches left out {100 * iou:0.0}" : ""),
                $"{results.Count} masks in {folder}",
                saved.ToString(),
            ]);
        return features.Skipped.Count > 0 ? ExitCode.Failed : ExitCode.Ok;
    }

    private static double[] Shares(LabelMap labels, IReadOnlyList<byte> ids)
    {
        double[] shares = labels.Shares();
        return [.. ids.Select(id => shares[id])];
    }

    // White on black is a class on background; only with other ids is 255 the rim that Pascal VOC leaves open.
    private static bool IsBlackAndWhite(IEnumerable<LabelMap> masks) => masks.SelectMany(mask => mask.Ids).Distinct().Order().SequenceEqual([(byte)0, (byte)DefaultUnlabelled]);

    private static int Unlabelled(ArgumentResult result)
    {
        string word = result.Tokens[0].Value;
        if (word == "none") return None;
        if (byte.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out byte id)) return id;
        result.AddError($"--unlabelled {word}: expected a number from 0 to 255, or none");
        return None;
    }
}
