using static TorchSharp.torch;

namespace DinoSharp.Probes;

/// <summary>Limited-memory BFGS for smooth functions of one vector (Nocedal and Wright, algorithm 7.5), with a line search by bisection that meets the
/// weak Wolfe conditions.</summary>
/// <remarks>libtorch's own optimizer takes steps of fixed length through TorchSharp, which does not converge to an optimum that can be compared.</remarks>
internal static class Lbfgs
{
    // Armijo and curvature constants as Nocedal and Wright recommend; memory as SciPy.
    private const double Decrease = 1e-4, Curvature = 0.9;
    private const int Memory = 10, MaxTrials = 50;

    // 64 machine epsilons of the value, as scikit-learn stops.
    private const double StallGain = 64 * 2.220446049250313e-16;

    /// <summary>Value and gradient at a point.</summary>
    public delegate (double Value, Tensor Gradient) Objective(Tensor x);

    /// <summary>Minimises a function.</summary>
    /// <param name="objective">The function; float64.</param>
    /// <param name="start">Where to start. [n]</param>
    /// <param name="maxIterations">Limit of steps.</param>
    /// <param name="tolerance">Stop when no entry of the gradient is larger.</param>
    /// <returns>The minimum [n], its value and how many steps were taken.</returns>
    public static (Tensor X, double Value, int Iterations) Minimize(Objective objective, Tensor start, int maxIterations, double tolerance)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var pairs = new LinkedList<(Tensor S, Tensor Y, double Rho)>();
        Tensor x = start.clone();
        (double value, Tensor gradient) = objective(x);
        int iteration = 0;
        for (; iteration < maxIterations && MaxAbs(gradient) > tolerance; iteration++)
        {
            using var step = NewDisposeScope();
            Tensor direction = Direction(gradient, pairs);
            double slope = Dot(direction, gradient);
            double first = pairs.Count == 0 ? Math.Min(1, 1 / gradient.norm().item<double>()) : 1;
            if (Search(objective, x, value, direction, slope, first) is not { } next) break; // the value cannot be lowered any more in float64
            Tensor s = next.X - x, y = next.Gradient - gradient;
            double curvature = Dot(s, y);
            if (curvature > 0)
            {
                if (pairs.Count == Memory)
                {
                    pairs.First!.Value.S.Dispose();
                    pairs.First.Value.Y.Dispose();
                    pairs.RemoveFirst();
                }

                pairs.AddLast((s.MoveToOuterDisposeScope(), y.MoveToOuterDisposeScope(), 1 / curvature));
            }

            double gain = (value - next.Value) / Math.Max(1, Math.Max(Math.Abs(value), Math.Abs(next.Value)));
            x.Dispose();
            gradient.Dispose();
            (x, value, gradient) = (next.X.MoveToOuterDisposeScope(), next.Value, next.Gradient.MoveToOuterDisposeScope());
            if (gain <= StallGain) break;
        }

        return (x.MoveToOuterDisposeScope(), value, iteration);
    }

    // −H·g by the two-loop recursion.
    private static Tensor Direction(Tensor gradient, LinkedList<(Tensor S, Tensor Y, double Rho)> pairs)
    {
        Tensor q = -gradient;
        var alphas = new Stack<double>();
        for (var pair = pairs.Last; pair is not null; pair = pair.Previous)
        {
            alphas.Push(pair.Value.Rho * Dot(pair.Value.S, q));
            q.sub_(pair.Value.Y * Num(alphas.Peek()));
        }

        if (pairs.Last is { } last) q.mul_(Num(1 / (last.Value.Rho * Dot(last.Value.Y, last.Value.Y))));
        foreach ((Tensor s, Tensor y, double rho) in pairs) q.add_(s * Num(alphas.Pop() - (rho * Dot(y, q))), Num(1));
        return q;
    }

    private static (Tensor X, double Value, Tensor Gradient)? Search(Objective objective, Tensor x, double value, Tensor direction, double slope, double first)
    {
        if (!(slope < 0)) return null;
        (double low, double high, double length) = (0, double.PositiveInfinity, first);
        double noise = 1e-15 * Math.Abs(value); // near the optimum, differences of values are rounding; then the slope alone decides (Hager and Zhang 2005)
        for (int trial = 0; trial < MaxTrials; trial++)
        {
            Tensor candidate = x.Plus(direction * Num(length));
            (double newValue, Tensor gradient) = objective(candidate);
            double newSlope = Dot(direction, gradient);
            bool lower = newValue <= value + (Decrease * length * slope) || (newValue <= value + noise && newSlope <= ((2 * Decrease) - 1) * slope);
            if (lower && newSlope >= Curvature * slope) return (candidate, newValue, gradient);
            if (lower) low = length;
            else high = length;
            length = double.IsPositiveInfinity(high) ? 2 * length : (low + high) / 2;
            candidate.Dispose();
            gradient.Dispose();
        }

        return null;
    }

    private static double Dot(Tensor a, Tensor b)
    {
        using Tensor dot = a.dot(b);
        return dot.item<double>();
    }

    private static double MaxAbs(Tensor x)
    {
        using Tensor abs = x.abs(), max = abs.max();
        return max.item<double>();
    }
}
