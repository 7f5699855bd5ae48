using System.CommandLine;
using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval logreg</c>: logistic regression with a sweep over C.</summary>
internal sealed class EvalLogregVerb : EvaluationVerb
{
    private readonly ClassificationInputs _inputs;
    private readonly Option<double[]> _grid = new("--c") { Description = "Values of C to try [default: the 45 published ones, 1e-6 to 1e5]", HelpName = "C", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [] };

    public EvalLogregVerb()
        : base(
            "logreg",
            "Fit logistic regression on frozen features; C is chosen on a tenth of the training images",
            ClassificationInputs.Baselines,
            "dino eval logreg --train flowers/train --val flowers/val --model dinov3-vits16",
            "dino eval logreg --train flowers/train --val flowers/val --model dinov3-vits16 --size 512 --c 0.01 1 100 --json",
            "dino eval logreg --train VocLabels:split=trainval:root=VOC2007 --val VocLabels:split=test:root=VOC2007 --size 512 --benchmark VOC07 --model dinov3-vitb16")
    {
        _grid.Validators.Add(result =>
        {
            if (result.Tokens.FirstOrDefault(t => double.TryParse(t.Value, CultureInfo.InvariantCulture, out double c) && !(c > 0)) is { } bad) result.AddError($"--c {bad.Value}: expected numbers above 0");
        });
        _inputs = new ClassificationInputs(this, "Images to classify; they have no part in the choice of C", Pooling.ClassToken, wholeShorterSide: true);
        Add(_grid);
    }

    protected override bool Measures(ParseResult arguments, ExpectedValue expected) => (expected.Metric == "mapVoc2007") == _inputs.IsMultiLabel(arguments);

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ClassificationVectors vectors = await _inputs.ReadAsync(model, Compute(arguments), arguments, output, cancel, severalLabels: true);
        double[]? grid = arguments.GetValue(_grid) is { Length: > 0 } values ? values : null;
        if (vectors.Labels is var (trainLabels, valLabels))
        {
            (EvaluationResult scored, IReadOnlyList<(double C, double Precision)> tried) = await output.WithProgressAsync(
                "values of C", grid?.Length ?? 45, progress => Task.Run(() => MultiLabelProtocol.Logistic(vectors.Train, trainLabels, vectors.Val, valLabels, model, grid, progress, cancel), CancellationToken.None));
            return vectors.Complete(scored, [["C", "mAP held out of training"], .. tried.Select(s => (string[])[s.C.ToString("0.##e+0", CultureInfo.InvariantCulture), Percent(s.Precision)])], () => PrecisionBars.Draw(scored));
        }

        (EvaluationResult result, IReadOnlyList<(double C, double Accuracy)> sweep) = await output.WithProgressAsync(
            "values of C", grid?.Length ?? 45, progress => Task.Run(() => LogisticProtocol.Run(vectors.Train, vectors.Val, model, grid, vectors.Tests(Name), progress, cancel), CancellationToken.None));
        return vectors.Complete(
            result,
            [["C", "top-1 held out of training"], .. sweep.Select(s => (string[])[s.C.ToString("0.##e+0", CultureInfo.InvariantCulture), Percent(s.Accuracy)])],
            () => result.Confusion!.ToPicture(result.Classes));
    }
}
