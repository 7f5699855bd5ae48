using System.CommandLine;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Cli.Pictures;
using DinoSharp.Features;
using DinoSharp.Features.Matching;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval match</c>: correspondence of patches on pairs with a known truth.</summary>
internal sealed class EvalMatchVerb : EvaluationVerb
{
    private readonly Argument<string> _data = new("data") { Description = "Folder with pairs.json (known warps), a stereo pair with disparity_x256.png, SPair-71k, or NAVI (OBJECT/wild_set with depth and cameras)" };
    private readonly Option<string> _split = new("--split") { Description = "Part of SPair: trn, val or test", DefaultValueFactory = _ => "test" };
    private readonly Option<PictureSize> _size = PictureSize.Option();
    private readonly Option<int> _layer = SharedOptions.Layer();

    public EvalMatchVerb()
        : base("match", "Look for equal places on pairs of pictures and count the right ones (PCK; recall on the surface for NAVI)", ClassificationInputs.Baselines, "dino eval match homography/ --model dinov3-vits16", "dino eval match SPair-71k --size 1024 --benchmark SPair --model dinov3-vits16 --json", "dino eval match navi_v1 --size 512 --benchmark NAVI --model dinov3-vitb16")
    {
        Add(_data);
        Add(_split);
        Add(_size);
        Add(_layer);
    }

    // Warps and stereo pairs are no benchmark of the paper.
    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => expected.Benchmark switch
    {
        "NAVI" => ObjectViewPair.IsNavi(arguments.GetValue(_data)!),
        _ => Directory.Exists(Path.Combine(arguments.GetValue(_data)!, "PairAnnotation")),
    };

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        PictureSize size = arguments.GetValue(_size)!;
        if (ObjectViewPair.IsNavi(data)) return await SurfacesAsync(model, arguments, data, output, cancel);
        IReadOnlyList<CorrespondencePair> pairs = CorrespondencePair.Open(data, arguments.GetValue(_split)!);
        using DinoModel dino = Load(model, arguments, cancel);
        LayerSelection layers = [arguments.GetValue(_layer)];
        int layer = layers.Resolve(dino.Backbone.Config.LayerCount)[0];
        EvaluationResult result = await output.WithProgressAsync("pairs", pairs.Count, progress => Task.Run(() => MatchingProtocol.Run(Extract, pairs, model, progress, cancel), CancellationToken.None));
        result = result with
        {
            Data = new Dictionary<string, string> { ["data"] = data },
            Settings = result.Settings.Append(new("size", size.ToString())).Append(new("layer", layer.ToString(CultureInfo.InvariantCulture))).ToDictionary(),
        };
        Photo[] first = Photo.Read([pairs[0].A, pairs[0].B]);
        IReadOnlyList<PatchMatch> matches = PatchMatcher.Match(Extract(pairs[0].A), Extract(pairs[0].B), new MatchOptions { Mutual = true });
        string[] thresholds = [.. result.Metrics.Keys.Where(k => k.StartsWith("pck", StringComparison.Ordinal)).Select(k => k[3..])];
        return new Evaluation(
            result,
            [["", .. thresholds.Select(t => "PCK@" + t)], ["every place", .. thresholds.Select(t => Percent(result.Metrics["pck" + t]))], ["mutual matches", .. thresholds.Select(t => Percent(result.Metrics["mutualPck" + t]))]],
            [],
            () => MatchPicture.Draw(first[0], first[1], matches));

        PatchMap Extract(string file)
        {
            using ImageFeatures features = dino.Extract(ImageSource.Stored(file), new ExtractOptions { ImageSizePixels = size.Pixels, Layers = layers }, cancel);
            return features.PatchMap(layer);
        }
    }

    private async Task<Evaluation> SurfacesAsync(string model, ParseResult arguments, string data, Output output, CancellationToken cancel)
    {
        PictureSize size = arguments.GetValue(_size)!;
        IReadOnlyList<ObjectViewPair> pairs = ObjectViewPair.OpenNavi(data);
        using DinoModel dino = Load(model, arguments, cancel);
        LayerSelection layers = [arguments.GetValue(_layer)];
        int layer = layers.Resolve(dino.Backbone.Config.LayerCount)[0];
        Func<ImageBuffer>? picture = null;
        EvaluationResult result = await output.WithProgressAsync("pairs", pairs.Count, progress => Task.Run(
            () => SurfaceMatchingProtocol.Run(Extract, pairs, model, progress, cancel, (_, a, b, matches) => picture ??= () => MatchPicture.Draw(new Photo("a", a), new Photo("b", b), matches)), CancellationToken.None));
        return new Evaluation(
            result with
            {
                Data = new Dictionary<string, string> { ["data"] = data },
                Settings = result.Settings.Append(new("size", size.ToString())).Append(new("layer", layer.ToString(CultureInfo.InvariantCulture))).ToDictionary(),
            },
            [["metric", "%"], .. result.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])],
            Skipped(result.Skipped, output),
            picture);

        PatchMap Extract(ImageBuffer square)
        {
            using ImageFeatures features = dino.Extract(square, new ExtractOptions { ImageSizePixels = size.Pixels, Layers = layers }, cancel);
            return features.PatchMap(layer);
        }
    }
}
