using System.CommandLine;
using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Probes;
using DinoSharp.Training.Protocols;

namespace DinoSharp.Cli.Evaluating;

/// <summary><c>dino eval knn</c>: classification by the nearest training images.</summary>
internal sealed class EvalKnnVerb : EvaluationVerb
{
    private readonly ClassificationInputs _inputs;
    private readonly Option<int[]> _neighbors = new("--k")
    {
        Description = "Numbers of neighbours; top1 is that of the first [default: 10 20 100 200]",
        HelpName = "K",
        AllowMultipleArgumentsPerToken = true,
        DefaultValueFactory = _ => [10, 20, 100, 200],
    };

    private readonly Option<double> _temperature = new("--temperature") { Description = "Temperature of the votes", HelpName = "T", DefaultValueFactory = _ => 0.07 };

    public EvalKnnVerb()
        : base(
            "knn",
            "Classify by the nearest training images: how good the features are without any training",
            ClassificationInputs.Baselines,
            "dino eval knn --train flowers/train --val flowers/val --model dinov3-vits16",
            "dino eval knn --train flowers/train --val flowers/val --model baseline:hog --k 10 20 --out knn-hog --json")
    {
        _neighbors.Validators.Add(result =>
        {
            if (result.Tokens.FirstOrDefault(t => int.TryParse(t.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int k) && k < 1) is { } bad) result.AddError($"--k {bad.Value}: expected a number above 0");
        });
        _temperature.Validators.Add(result =>
        {
            if (result.Tokens is [var word] && double.TryParse(word.Value, CultureInfo.InvariantCulture, out double t) && !(t > 0)) result.AddError($"--temperature {word.Value}: expected a number above 0");
        });
        _inputs = new ClassificationInputs(this, "Images to classify", Pooling.ClassToken, wholeShorterSide: false);
        Add(_neighbors);
        Add(_temperature);
    }

    public override async Task<Evaluation> EvaluateAsync(string model, ParseResult arguments, Output output, CancellationToken cancel)
    {
        using ClassificationVectors vectors = await _inputs.ReadAsync(model, Compute(arguments), arguments, output, cancel, severalLabels: true);
        var options = new KnnOptions { Neighbors = arguments.GetValue(_neighbors)!, Temperature = arguments.GetValue(_temperature) };
        if (vectors.Labels is var (trainLabels, valLabels))
        {
            EvaluationResult scored = MultiLabelProtocol.Knn(vectors.Train, trainLabels, vectors.Val, valLabels, model, options);
            return vectors.Complete(scored, [["metric", "%"], .. scored.Metrics.Select(m => (string[])[m.Key, Percent(m.Value)])], () => PrecisionBars.Draw(scored));
        }

        KnnReport report = KnnProtocol.Run(vectors.Train, vectors.Val, model, options, vectors.Tests(Name));
        EvaluationResult result = report.Result;
        bool topFive = result.Metrics.ContainsKey("top5");
        var rows = new List<string[]> { topFive ? ["k", "top-1", "top-5"] : ["k", "top-1"] };
        foreach (string key in result.Metrics.Keys.Where(key => key.StartsWith('k') && key.EndsWith("Top1", StringComparison.Ordinal)))
        {
            string k = key[1..^4];
            rows.Add(topFive ? [k, Percent(result.Metrics[key]), Percent(result.Metrics[$"k{k}Top5"])] : [k, Percent(result.Metrics[key])]);
        }

        return vectors.Complete(result, rows, NeighborSheet.Of([.. report.Predictions.Select(p => new NeighborRow(p.Path, p.Class == p.Predicted, [.. p.Neighbors.Select(n => (n.Path, n.Class == p.Class))]))]));
    }
}
