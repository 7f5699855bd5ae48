using System.CommandLine;
using DinoSharp.Evaluation;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval depth</c>: linear depth, or a head that is ready.</summary>
internal sealed class EvalDepthVerb : EvaluationVerb
{
    private readonly Argument<string> _data = new("data") { Description = "Folder with {train,val}/rgb and {train,val}/depth (16-bit PNG), NYU with nyu_train.txt and nyu_test.txt, or KITTI with kitti_eigen_train.txt and kitti_eigen_test.txt" };
    private readonly Option<double?> _scale = new("--depth-scale") { Description = "Metres of one step of the depth pictures [default: 0.001; 1/256 for KITTI]", HelpName = "METRES" };
    private readonly Option<double?> _max = new("--max-depth") { Description = "Largest depth that counts [default: 10; 80 for KITTI]", HelpName = "METRES" };
    private readonly Option<string?> _head = new("--head") { Description = "Score this head on the validation part, made by 'dino fit' or a published one, instead of training a linear layer", HelpName = "FILE" };
    private readonly Option<bool> _align = new("--align") { Description = "With --head: bring each picture to the scale and shift with the least error first, as the published figures of relative depth do" };
    private readonly DenseProbeInputs _probe;

    public EvalDepthVerb()
        : base("depth", "Train a linear layer on patches, or take a head, and score the depth (RMSE)", ClassificationInputs.Baselines, "dino eval depth tabletop_rgbd --model dinov3-vits16", "dino eval depth nyu --published --benchmark NYU --model dinov3-vitb16 --json",
            "dino eval depth nyu --head dinov3-vit7b16-synthmix-dpt.pth --align --benchmark NYU-SYNTHMIX --model dinov3-vit7b16")
    {
        _max.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double?>() is double most && !(most > 0.001)) result.AddError("--max-depth must be above 0.001");
        });
        Add(_data);
        Add(_scale);
        Add(_max);
        Add(_head);
        Add(_align);
        _probe = new DenseProbeInputs(this, DepthProtocol.Published, sized: false, _head);
        Validators.Add(result =>
        {
            if (result.GetValue(_align) && result.GetValue(_head) is null) result.AddError("--align is for a head of --head; a linear layer learns metres");
        });
    }

    // What is scored stands behind the name of the data where it is not the linear layer; only relative depth of a head has figures.
    protected override bool Measures(ParseResult arguments, ExpectedValue expected) =>
        DepthImages.IsOf(arguments.GetValue(_data)!, expected.Benchmark.Split('-')[0]) && expected.Benchmark.Split('-', 2).ElementAtOrDefault(1) == (arguments.GetValue(_head) is null ? null : arguments.GetValue(_align) ? "SYNTHMIX" : "");

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        DenseProbeOptions options = _probe.Read(arguments);
        string? file = arguments.GetValue(_head);
        DepthImages val = DepthImages.Open(data, train: false, arguments.GetValue(_scale));
        DepthImages? train = file is null ? DepthImages.Open(data, train: true, arguments.GetValue(_scale)) : null;
        IReadOnlyList<string>? leaked = train is null ? null : SharedPictures.Find(train.Images, val.Images);
        double most = arguments.GetValue(_max) ?? (val.Region == DepthRegion.KittiGarg ? 80 : 10);
        var examples = new ExampleSheet();
        using DinoModel dino = Load(model, arguments, cancel);
        using DepthEstimator? head = file is null ? null : DepthEstimator.Load(dino, file, cancel: cancel);
        EvaluationResult result = await output.WithProgressAsync(head is null ? "views, steps, pictures" : "pictures", (train is null ? 0 : DenseProbe.Length(train.Images.Count, options)) + val.Images.Count, progress => Task.Run(
            () => head is null
                ? DepthProtocol.Run(dino, train!, val, most, options, progress, cancel, Keep)
                : DepthProtocol.Score(head, dino.Name, val, most, arguments.GetValue(_align), null, progress, cancel, Keep),
            CancellationToken.None));
        if (file is not null) result = result with { Settings = result.Settings.Append(new("head", file)).ToDictionary() };
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["data"] = data } },
            [["metric", ""], .. result.Metrics.Select(m => (string[])[m.Key, FormattableString.Invariant($"{m.Value:0.000}")])],
            Skipped(result.Skipped, output),
            examples.Sheet,
            Leaked: leaked);

        void Keep(int index, ImageBuffer picture, DepthMap predicted) => examples.Keep(index, val.Images.Count, () =>
        {
            (float[] truth, int width, int height) = val.Read(index);
            float[] known = [.. truth.Where(t => t > 0)];
            ValueRange range = known.Length == 0 ? predicted.Range : new ValueRange(known.Min(), known.Max());
            return [picture.ToRgb8(), new DepthMap(width, height, truth).ToImage(range), predicted.ToImage(range)];
        });
    }
}
