using System.CommandLine;
using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval linear</c>: linear classifiers trained together with a grid of learning rates.</summary>
internal sealed class EvalLinearVerb : EvaluationVerb
{
    private readonly ClassificationInputs _inputs;
    private readonly Option<double[]> _rates = new("--rates") { Description = "Learning rates for a batch of 256 [default: the 13 published ones, 1e-5 to 0.1]", HelpName = "LR", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [.. new LinearProtocolOptions().Rates] };
    private readonly Option<int> _steps = new("--steps") { Description = "Steps of the optimizer [default: 12500, as published]", HelpName = "N", DefaultValueFactory = _ => new LinearProtocolOptions().Steps };
    private readonly Option<int> _batch = new("--train-batch") { Description = "Training images per step", HelpName = "N", DefaultValueFactory = _ => new LinearProtocolOptions().BatchSize };
    private readonly Option<double> _decay = new("--weight-decay") { Description = "Weight decay", HelpName = "WD", DefaultValueFactory = _ => 0 };
    private readonly Option<bool> _augment = new("--augment") { Description = "A fresh random crop of every image in every step, as published: the backbone runs in every step. Without it the features of the middle of each image are computed once" };

    public EvalLinearVerb()
        : base(
            "linear",
            "Train linear classifiers with a grid of learning rates on frozen features",
            ClassificationInputs.Baselines,
            "dino eval linear --train flowers/train --val flowers/val --model dinov3-vits16",
            "dino eval linear --train ImageNet:split=TRAIN:root=imagenet --val ImageNet:split=VAL:root=imagenet --augment --benchmark ImageNet --model dinov3-vitb16 --json",
            "dino eval linear --train ImageNet:split=TRAIN:root=imagenet --val ImageNet:split=VAL:root=imagenet --test ImageNet-A=imagenet-a --test ImageNet-C=imagenet-c --test ImageNet-ReaL=real.json --model dinov3-vit7b16")
    {
        _rates.Validators.Add(result =>
        {
            if (result.Tokens.FirstOrDefault(t => double.TryParse(t.Value, CultureInfo.InvariantCulture, out double r) && !(r > 0)) is { } bad) result.AddError($"--rates {bad.Value}: expected numbers above 0");
        });
        foreach (Option<int> option in (Option<int>[])[_steps, _batch])
        {
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1) result.AddError($"{option.Name} must be at least 1");
            });
        }

        _inputs = new ClassificationInputs(this, "Images to classify; they also choose the learning rate, as published", Pooling.ClassTokenAndPatchMean, wholeShorterSide: false);
        foreach (Option option in (Option[])[_rates, _steps, _batch, _decay, _augment]) Add(option);
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => expected.Metric == "top1" && _inputs.HasSize(arguments, expected.Benchmark); // mCE is of a --test

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        bool augment = arguments.GetValue(_augment);
        using ClassificationVectors vectors = await _inputs.ReadAsync(model, Compute(arguments), arguments, output, cancel);
        var options = new LinearProtocolOptions { Rates = arguments.GetValue(_rates)!, Steps = arguments.GetValue(_steps), BatchSize = arguments.GetValue(_batch), WeightDecay = arguments.GetValue(_decay) };
        (EvaluationResult result, IReadOnlyList<(double Rate, double Accuracy)> grid) = await output.WithProgressAsync("steps", options.Steps, progress => Task.Run(
            () => LinearProtocol.Run(vectors.Train, vectors.Val, model, options, augment ? vectors.Augmented() : null, vectors.Tests(Name), progress, cancel), CancellationToken.None));
        return vectors.Complete(
            result,
            [["learning rate", "top-1"], .. grid.Select(g => (string[])[g.Rate.ToString("0.#e+0", CultureInfo.InvariantCulture), Percent(g.Accuracy)])],
            () => result.Confusion!.ToPicture(result.Classes));
    }
}
