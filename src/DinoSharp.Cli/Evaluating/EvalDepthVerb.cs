using System.CommandLine;
using DinoSharp.Heads.Depth;
using DinoSharp.Images;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval depth</c>: linear depth.</summary>
internal sealed class EvalDepthVerb : EvaluationVerb
{
    private readonly Argument<string> _data = new("data") { Description = "Folder with {train,val}/rgb and {train,val}/depth (16-bit PNG), or NYU with nyu_train.txt and nyu_test.txt" };
    private readonly Option<double> _scale = new("--depth-scale") { Description = "Metres of one step of the depth pictures", HelpName = "METRES", DefaultValueFactory = _ => 0.001 };
    private readonly Option<double> _max = new("--max-depth") { Description = "Largest depth that counts", HelpName = "METRES", DefaultValueFactory = _ => 10 };
    private readonly DenseProbeInputs _probe;

    public EvalDepthVerb()
        : base("depth", "Train a linear layer on patches and score the depth (RMSE)", ClassificationInputs.Baselines, "dino eval depth tabletop_rgbd --model dinov3-vits16", "dino eval depth nyu --published --benchmark NYU --model dinov3-vitb16 --json")
    {
        _max.Validators.Add(result =>
        {
            if (!(result.GetValueOrDefault<double>() > 0.001)) result.AddError("--max-depth must be above 0.001");
        });
        Add(_data);
        Add(_scale);
        Add(_max);
        _probe = new DenseProbeInputs(this, DepthProtocol.Published, sized: false);
    }

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        string data = arguments.GetValue(_data)!;
        DenseProbeOptions options = _probe.Read(arguments);
        DepthImages train = DepthImages.Open(data, train: true, arguments.GetValue(_scale)), val = DepthImages.Open(data, train: false, arguments.GetValue(_scale));
        var examples = new ExampleSheet();
        using DinoModel dino = Load(model, arguments, cancel);
        EvaluationResult result = await output.WithProgressAsync("views, steps, pictures", DenseProbe.Length(train.Images.Count, options) + val.Images.Count, progress => Task.Run(
            () => DepthProtocol.Run(dino, train, val, arguments.GetValue(_max), options, progress, cancel, Keep), CancellationToken.None));
        return new Evaluation(
            result with { Data = new Dictionary<string, string> { ["data"] = data } },
            [["metric", ""], .. result.Metrics.Select(m => (string[])[m.Key, FormattableString.Invariant($"{m.Value:0.000}")])],
            [],
            examples.Sheet);

        void Keep(int index, ImageBuffer picture, DepthMap predicted) => examples.Keep(index, val.Images.Count, () =>
        {
            (float[] truth, int width, int height) = val.Read(index);
            float[] known = [.. truth.Where(t => t > 0)];
            ValueRange range = known.Length == 0 ? predicted.Range : new ValueRange(known.Min(), known.Max());
            return [picture.ToRgb8(), new DepthMap(width, height, truth).ToImage(range), predicted.ToImage(range)];
        });
    }
}
