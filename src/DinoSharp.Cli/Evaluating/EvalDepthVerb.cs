using System.CommandLine;
using DinoSharp.Evaluation;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Training.Data;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval depth</c>: linear depth.</summary>
internal sealed class EvalDepthVerb : EvaluationVerb
{
    private readonly Argument<string> _data = new("data") { Description = "Folder with {train,val}/rgb and {train,val}/depth (16-bit PNG), NYU with nyu_train.txt and nyu_test.txt, or KITTI with kitti_eigen_train.txt and kitti_eigen_test.txt" };
    private readonly Option<double?> _scale = new("--depth-scale") { Description = "Metres of one step of the depth pictures [default: 0.001; 1/256 for KITTI]", HelpName = "METRES" };
    private readonly Option<double?> _max = new("--max-depth") { Description = "Largest depth that counts [default: 10; 80 for KITTI]", HelpName = "METRES" };
    private readonly DenseProbeInputs _probe;

    public EvalDepthVerb()
        : base("depth", "Train a linear layer on patches and score the depth (RMSE)", ClassificationInputs.Baselines, "dino eval depth tabletop_rgbd --model dinov3-vits16", "dino eval depth nyu --published --benchmark NYU --model dinov3-vitb16 --json")
    {
        _max.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double?>() is double most && !(most > 0.001)) result.AddError("--max-depth must be above 0.001");
        });
        Add(_data);
        Add(_scale);
        Add(_max);
        _probe = new DenseProbeInputs(this, DepthProtocol.Published, sized: false);
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => DepthImages.IsOf(arguments.GetValue(_data)!, expected.Benchmark);

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        DenseProbeOptions options = _probe.Read(arguments);
        DepthImages train = DepthImages.Open(data, train: true, arguments.GetValue(_scale)), val = DepthImages.Open(data, train: false, arguments.GetValue(_scale));
        IReadOnlyList<string> leaked = SharedPictures.Find(train.Images, val.Images);
        var examples = new ExampleSheet();
        using DinoModel dino = Load(model, arguments, cancel);
        EvaluationResult result = await output.WithProgressAsync("views, steps, pictures", DenseProbe.Length(train.Images.Count, options) + val.Images.Count, progress => Task.Run(
            () => DepthProtocol.Run(dino, train, val, arguments.GetValue(_max) ?? (val.Region == DepthRegion.KittiGarg ? 80 : 10), options, progress, cancel, Keep), CancellationToken.None));
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
