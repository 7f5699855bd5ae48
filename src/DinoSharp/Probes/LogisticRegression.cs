using static TorchSharp.torch;

namespace DinoSharp.Probes;

/// <summary>How to fit a logistic regression.</summary>
public sealed record LogisticRegressionOptions
{
    /// <summary>Weight of the data against the penalty; small values fit more smoothly.</summary>
    public double C { get; init; } = 1;

    /// <summary>Limit of L-BFGS steps.</summary>
    public int MaxIterations { get; init; } = 1000;

    /// <summary>Stop when no entry of the gradient of the mean loss is larger.</summary>
    public double Tolerance { get; init; } = 1e-12;
}

/// <summary>What the outputs of a logistic regression mean.</summary>
public enum LogisticForm
{
    /// <summary>Two classes, one weight vector, probabilities [1 − p, p].</summary>
    Binary,

    /// <summary>One of K classes, softmax.</summary>
    Multinomial,

    /// <summary>Any of K classes, one sigmoid each (one against the rest).</summary>
    MultiLabel,
}

/// <summary>Linear classifier with an L2 penalty on the weights and a free intercept. It minimises C·Σ loss + ½‖W‖² by L-BFGS in float64, so that the optimum is
/// the same everywhere. Owns its tensors.</summary>
public sealed class LogisticRegression : IDisposable
{
    /// <summary>A classifier with known weights; takes ownership of the tensors.</summary>
    /// <param name="form">What the outputs mean.</param>
    /// <param name="weight">[K, D], binary [1, D]; float64</param>
    /// <param name="intercept">[K], binary [1]; float64</param>
    public LogisticRegression(LogisticForm form, Tensor weight, Tensor intercept)
    {
        if (weight.dim() != 2 || intercept.dim() != 1 || weight.shape[0] != intercept.shape[0] || (form == LogisticForm.Binary && weight.shape[0] != 1))
            throw new DinoSharpException($"weights [{string.Join(", ", weight.shape)}] and intercepts [{string.Join(", ", intercept.shape)}] do not make a {form} classifier");
        (Form, Weight, Intercept) = (form, weight.DetachFromDisposeScope(), intercept.DetachFromDisposeScope());
    }

    /// <summary>What the outputs mean.</summary>
    public LogisticForm Form { get; }

    /// <summary>One vector per class. [K, D], binary [1, D]; float64</summary>
    public Tensor Weight { get; }

    /// <summary>One per class; those of a multinomial classifier sum to 0. [K], binary [1]; float64</summary>
    public Tensor Intercept { get; }

    /// <summary>Number of classes K.</summary>
    public int Classes => Form == LogisticForm.Binary ? 2 : (int)Weight.shape[0];

    /// <summary>Fits samples of one class each: binary for two classes, else multinomial.</summary>
    /// <param name="features">Features, used as they are. [N, D]</param>
    /// <param name="labels">Class of each sample. [N]</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="classes">Number of classes K; null: the largest label + 1.</param>
    /// <param name="start">A fit of other options on the same classes to start from: the same optimum, sooner.</param>
    public static LogisticRegression Fit(Tensor features, ReadOnlySpan<int> labels, LogisticRegressionOptions? options = null, int? classes = null, LogisticRegression? start = null)
    {
        int count = classes ?? (labels.IsEmpty ? 0 : labels.ToArray().Max() + 1);
        if (count < 2) throw new DinoSharpException($"a classifier needs two classes or more, the labels have {count}");
        foreach (int label in labels) if ((uint)label >= (uint)count) throw new DinoSharpException($"label {label} is outside 0 to {count - 1}");
        using var scope = NewDisposeScope();
        Tensor targets = tensor(labels.ToArray(), dtype: ScalarType.Int64); // [N]
        return count == 2
            ? Fit(LogisticForm.Binary, features, targets.to(ScalarType.Float64).unsqueeze(1), 1, options, start) // [N, 1]
            : Fit(LogisticForm.Multinomial, features, targets, count, options, start);
    }

    /// <summary>Fits samples that may have several classes.</summary>
    /// <param name="features">Features, used as they are. [N, D]</param>
    /// <param name="targets">1 where a sample has the class, else 0. [N, K]</param>
    /// <param name="options">How; null: defaults.</param>
    /// <param name="start">A fit of other options on the same classes to start from.</param>
    public static LogisticRegression FitMultiLabel(Tensor features, Tensor targets, LogisticRegressionOptions? options = null, LogisticRegression? start = null)
    {
        if (targets.dim() != 2) throw new DinoSharpException($"targets must be [N, K], found [{string.Join(", ", targets.shape)}]");
        using Tensor numbers = targets.to(ScalarType.Float64);
        return Fit(LogisticForm.MultiLabel, features, numbers, (int)targets.shape[1], options, start);
    }

    /// <summary>Probability of each class. [N, K] float64; the caller owns it.</summary>
    /// <param name="features">[N, D]</param>
    public Tensor Probabilities(Tensor features)
    {
        if (features.dim() != 2 || features.shape[1] != Weight.shape[1])
            throw new DinoSharpException($"features must be [N, {Weight.shape[1]}] as those of the training, found [{string.Join(", ", features.shape)}]");
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor logits = features.detach().to(ScalarType.Float64).matmul(Weight.t()).Plus(Intercept); // [N, K]
        return (Form switch
        {
            LogisticForm.Binary => cat([(-logits.sigmoid()).Plus(Num(1)), logits.sigmoid()], 1), // [N, 2]
            LogisticForm.Multinomial => logits.softmax(1),
            _ => logits.sigmoid(),
        }).MoveToOuterDisposeScope();
    }

    /// <summary>The most likely class of each sample. [N]</summary>
    /// <param name="features">[N, D]</param>
    public int[] Predict(Tensor features)
    {
        using Tensor probabilities = Probabilities(features), best = probabilities.argmax(1), ints = best.to(ScalarType.Int32); // [N]
        return ints.data<int>().ToArray();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Weight.Dispose();
        Intercept.Dispose();
    }

    private static LogisticRegression Fit(LogisticForm form, Tensor features, Tensor targets, int outputs, LogisticRegressionOptions? options, LogisticRegression? start)
    {
        options ??= new LogisticRegressionOptions();
        if (!(options.C > 0)) throw new DinoSharpException($"C must be above 0, found {options.C}");
        if (features.dim() != 2 || features.shape[0] == 0) throw new DinoSharpException($"training features must be [N, D] with N above 0, found [{string.Join(", ", features.shape)}]");
        if (features.shape[0] != targets.shape[0]) throw new DinoSharpException($"{targets.shape[0]} labels are given for {features.shape[0]} training features");
        (long samples, long width) = (features.shape[0], features.shape[1]);
        if (start is not null && (start.Form != form || start.Weight.shape[0] != outputs || start.Weight.shape[1] != width))
            throw new DinoSharpException("the fit to start from has other classes or another feature width");
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor x = features.detach().to(ScalarType.Float64);
        if (x.isfinite().all().item<bool>() is false) throw new DinoSharpException("the training features hold values that are not finite");
        Tensor mean = x.mean([0]); // [D]
        x = x - mean; // changes only the intercept of the optimum, and spares many steps where features have a common offset
        double penalty = 1 / (options.C * samples);

        (double Value, Tensor Gradient) Objective(Tensor parameters)
        {
            using var step = NewDisposeScope();
            Tensor weight = parameters.narrow(0, 0, outputs * width).view(outputs, width), intercept = parameters.narrow(0, outputs * width, outputs); // [K, D], [K]
            Tensor logits = x.matmul(weight.t()).Plus(intercept); // [N, K]
            Tensor loss, error; // error: derivative by the logits [N, K]
            if (form == LogisticForm.Multinomial)
            {
                Tensor logs = logits.log_softmax(1); // [N, K]
                loss = -logs.gather(1, targets.unsqueeze(1)).sum();
                error = logs.exp();
                error.scatter_add_(1, targets.unsqueeze(1), full([samples, 1], Num(-1.0), dtype: ScalarType.Float64));
            }
            else
            {
                loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction: nn.Reduction.Sum);
                error = logits.sigmoid() - targets;
            }

            Tensor gradient = cat([(error.t().matmul(x) / Num(samples)).Plus(weight * Num(penalty)).flatten(), error.sum([0]) / Num(samples)]); // [K·D + K]
            double value = (loss / Num(samples)).item<double>() + (penalty / 2 * weight.pow(Num(2)).sum().item<double>());
            return (value, gradient.MoveToOuterDisposeScope());
        }

        Tensor from = start is null
            ? zeros(outputs * (width + 1), dtype: ScalarType.Float64)
            : cat([start.Weight.flatten(), start.Intercept.Plus(start.Weight.matmul(mean))]); // [K·D + K]
        (Tensor best, _, _) = Lbfgs.Minimize(Objective, from, options.MaxIterations, options.Tolerance);
        Tensor bestWeight = best.narrow(0, 0, outputs * width).view(outputs, width).clone(); // [K, D]
        Tensor bestIntercept = best.narrow(0, outputs * width, outputs) - bestWeight.matmul(mean); // [K]
        return new LogisticRegression(form, bestWeight, bestIntercept);
    }
}
