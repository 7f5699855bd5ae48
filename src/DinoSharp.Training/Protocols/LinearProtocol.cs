using System.Globalization;
using DinoSharp.Evaluation;
using static TorchSharp.torch;

namespace DinoSharp.Training.Protocols;

/// <summary>How to train linear classifiers.</summary>
public sealed record LinearProtocolOptions
{
    /// <summary>Learning rates for a batch of 256; each has a classifier of its own.</summary>
    public IReadOnlyList<double> Rates { get; init; } = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1];

    /// <summary>Steps; published: 10 epochs of 1250.</summary>
    public int Steps { get; init; } = 12_500;

    /// <summary>Images per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Of the optimizer.</summary>
    public double Momentum { get; init; } = 0.9;

    /// <summary>Of the optimizer.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Of weights and order.</summary>
    public int Seed { get; init; }
}

/// <summary>The linear probe: classifiers with a grid of learning rates, trained together on the same batches by SGD with momentum and a cosine schedule; the best on the validation images is reported.</summary>
public static class LinearProtocol
{
    private const double RateOfBatch = 256, InitialDeviation = 0.01;

    /// <summary>Runs the protocol.</summary>
    /// <param name="train">Vectors to learn from; its classes and, without <paramref name="augmented"/>, its vectors are used.</param>
    /// <param name="val">Vectors to classify; they also choose the learning rate, as published. Classes are matched by name.</param>
    /// <param name="model">What made the vectors, for the report.</param>
    /// <param name="options">How; null: as published.</param>
    /// <param name="augmented">Vectors [B, D] of a fresh view of each of these training images, by index; null: always the vectors of <paramref name="train"/>.</param>
    /// <param name="fitted">Given the classifier (vectors [N, D] to scores [N, K]) while it lives, to score further sets with it.</param>
    /// <param name="progress">Told how many steps are done.</param>
    /// <param name="cancel">Checked between steps.</param>
    /// <returns>The numbers, and the accuracy of each learning rate on the validation images.</returns>
    /// <exception cref="DinoSharpException">A class of the validation set is not in the training set, or an option makes no sense.</exception>
    public static (EvaluationResult Result, IReadOnlyList<(double Rate, double Accuracy)> Grid) Run(
        VectorSet train, VectorSet val, string model, LinearProtocolOptions? options = null, Func<IReadOnlyList<int>, Tensor>? augmented = null, Action<Func<Tensor, Tensor>>? fitted = null, IProgress<long>? progress = null, CancellationToken cancel = default)
    {
        options ??= new LinearProtocolOptions();
        if (options.Rates.Count == 0 || options.Rates.Any(r => !(r > 0))) throw new DinoSharpException("the learning rates must be above 0, at least one");
        if (options.Steps < 1 || options.BatchSize < 1) throw new DinoSharpException($"steps and batch size must be 1 or more, found {options.Steps} and {options.BatchSize}");
        val = val.WithClassesOf(train.Classes);
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        int grid = options.Rates.Count, classes = train.Classes.Count;
        long width = train.Vectors.shape[1];
        using var random = new Generator((ulong)options.Seed);
        int batch = Math.Min(options.BatchSize, train.Labels.Length);
        Tensor weight = randn([grid, classes, width], generator: random) * Num(InitialDeviation); // [G, K, D]
        Tensor bias = zeros(grid, classes, 1); // [G, K, 1]
        Tensor weightVelocity = zeros_like(weight), biasVelocity = zeros_like(bias);
        Tensor rates = tensor(options.Rates.Select(r => (float)(r * batch / RateOfBatch)).ToArray()).view(grid, 1, 1); // [G, 1, 1]
        Tensor labels = tensor(train.Labels, dtype: ScalarType.Int64); // [N]
        int[] order = [];
        int next = 0;
        var shuffle = new Random(options.Seed);
        for (int step = 0; step < options.Steps; step++)
        {
            cancel.ThrowIfCancellationRequested();
            using var piece = NewDisposeScope();
            int[] rows = Draw();
            Tensor places = tensor(Array.ConvertAll(rows, i => (long)i)); // [B]
            Tensor x = augmented?.Invoke(rows) ?? train.Vectors.index_select(0, places); // [B, D]
            Tensor truth = nn.functional.one_hot(labels.index_select(0, places), classes).t().to(ScalarType.Float32); // [K, B]
            Tensor error = (Logits(weight, bias, x).softmax(1) - truth) / Num(rows.Length); // [G, K, B]
            double cosine = 0.5 * (1 + Math.Cos(Math.PI * step / options.Steps));
            Update(weight, weightVelocity, error.view(grid * classes, rows.Length).matmul(x).view(grid, classes, width), cosine);
            Update(bias, biasVelocity, error.sum(2, keepdim: true), cosine);
            progress?.Report(step + 1);
        }

        Tensor logits = Logits(weight, bias, val.Vectors); // [G, K, N]
        double[] accuracies = [.. Enumerable.Range(0, grid).Select(g => ClassificationMetrics.TopK(logits[g].t(), val.Labels))];
        int best = Array.IndexOf(accuracies, accuracies.Max()); // the first of equals
        fitted?.Invoke(x => Logits(weight[best..(best + 1)], bias[best..(best + 1)], x)[0].t()); // [N, K]
        EvaluationResult result = ClassifierScores.Of(
            "linear", model, train, val, logits[best].t(),
            new Dictionary<string, string>
            {
                ["rate"] = options.Rates[best].ToString("R", CultureInfo.InvariantCulture),
                ["triedRates"] = grid.ToString(CultureInfo.InvariantCulture),
                ["steps"] = options.Steps.ToString(CultureInfo.InvariantCulture),
                ["batch"] = batch.ToString(CultureInfo.InvariantCulture),
                ["weightDecay"] = options.WeightDecay.ToString(CultureInfo.InvariantCulture),
                ["augmented"] = augmented is null ? "no" : "random crops and mirroring",
            });
        return (result, [.. options.Rates.Zip(accuracies)]);

        void Update(Tensor parameter, Tensor velocity, Tensor gradient, double cosine)
        {
            if (options.WeightDecay > 0) gradient = gradient.Plus(parameter * Num(options.WeightDecay));
            velocity.mul_(Num(options.Momentum)).add_(gradient, Num(1));
            parameter.sub_(velocity * rates * Num(cosine));
        }

        // Every image once before any comes again.
        int[] Draw()
        {
            int[] rows = new int[batch];
            for (int i = 0; i < rows.Length; i++)
            {
                if (next == order.Length)
                {
                    order = [.. Enumerable.Range(0, train.Labels.Length)];
                    shuffle.Shuffle(order);
                    next = 0;
                }

                rows[i] = order[next++];
            }

            return rows;
        }
    }

    // [G, K, D] · [B, D] → [G, K, B]
    private static Tensor Logits(Tensor weight, Tensor bias, Tensor x) => weight.view(-1, weight.shape[2]).matmul(x.t()).view(weight.shape[0], weight.shape[1], -1).Plus(bias);
}
