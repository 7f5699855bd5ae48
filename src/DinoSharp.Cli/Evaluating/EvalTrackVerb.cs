using System.CommandLine;
using DinoSharp.Features;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval track</c>: following objects through videos.</summary>
internal sealed class EvalTrackVerb : EvaluationVerb
{
    private const int MostVideos = 6, PanelWidth = 320;

    private readonly Argument<string> _data = new("data") { Description = "DAVIS or a folder in its layout; a folder of videos with frames/ and masks/; or one such video" };
    private readonly Option<string> _split = new("--split") { Description = "List of videos in ImageSets/2017 of DAVIS", DefaultValueFactory = _ => "val" };
    private readonly Option<int?> _size = SharedOptions.Size("Shorter side of the model's input; 480, 960 and 1440 are published [default: 480]");

    public EvalTrackVerb()
        : base("track", "Follow objects through videos and score the masks (J and F)", ClassificationInputs.Baselines, "dino eval track DAVIS --size 960 --benchmark DAVIS@960 --model dinov3-vits16", "dino eval track videos/ --model dinov3-vits16 --json")
    {
        Add(_data);
        Add(_split);
        Add(_size);
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => VectorizerInputs.SizeOf(expected.Benchmark) == (arguments.GetValue(_size) ?? 480);

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        IReadOnlyList<VideoObjects> videos = VideoObjects.Open(data, arguments.GetValue(_split)!);
        using DinoModel dino = Load(model, arguments, cancel);
        var panels = new List<IReadOnlyList<PictureSheet.Panel>>();
        EvaluationResult result = await output.WithProgressAsync("tracking", videos.Sum(v => (long)v.Frames.Count), progress => Task.Run(
            () => TrackingProtocol.Run(dino, videos, arguments.GetValue(_size) ?? 480, null, progress, cancel, Show), CancellationToken.None));
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["data"] = data } },
            [["object", "J&F"], .. result.Items.Select((item, i) => (string[])[item, Percent(result.Score([i]))])],
            [],
            panels.Count == 0 ? null : () => PictureSheet.Compose(panels));

        // Three predicted masks of each of the first videos.
        void Show(int video, int frame, LabelMap mask)
        {
            int count = videos[video].Frames.Count;
            if (video >= MostVideos || (frame != count / 4 && frame != count / 2 && frame != count - 1)) return;
            ImageBuffer picture = ImageFile.Read(videos[video].Frames[frame]).ToRgb8();
            ImageBuffer small = ExampleSheet.Small(picture, PanelWidth);
            var panel = new PictureSheet.Panel(mask.ResizeNearestExact(small.Width, small.Height).Overlay(small));
            if (panels.Count <= video) panels.Add([]);
            panels[video] = [.. panels[video], panel];
        }
    }
}
