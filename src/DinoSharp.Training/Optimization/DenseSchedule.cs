namespace DinoSharp.Training.Optimization;

/// <summary>Learning rate, and momentum where it changes, of the trainings of dense heads. A pure function of the step.</summary>
public abstract record DenseSchedule
{
    /// <summary>Learning rate that the others are relative to.</summary>
    public required double BaseRate { get; init; }

    /// <summary>The learning rate of an optimizer step.</summary>
    /// <param name="step">0 is the first step of the run.</param>
    /// <param name="totalSteps">Length T of the run.</param>
    public abstract double RateAt(long step, long totalSteps);

    /// <summary>First Adam beta or SGD momentum of an optimizer step; null: the schedule leaves the optimizer's own value.</summary>
    /// <param name="step">0 is the first step of the run.</param>
    /// <param name="totalSteps">Length T of the run.</param>
    public virtual double? MomentumAt(long step, long totalSteps) => null;
}

/// <summary>How a value moves from its start to its end.</summary>
public enum Annealing
{
    /// <summary>Half a cosine.</summary>
    Cosine,

    /// <summary>A straight line.</summary>
    Linear,
}

/// <summary>Warm-up into a falling curve, with a momentum that is 0 during the warm-up and then rises.</summary>
public sealed record OneCycleSchedule : DenseSchedule
{
    // The published trainings end at 1/25 of what the name FinalDivisor says: their rate starts 25 times lower than the peak.
    private const double InitialDivisor = 25;

    /// <summary>Steps of the warm-up.</summary>
    public long WarmupSteps { get; init; }

    /// <summary>Rate of the first step as a share of the falling line that the warm-up joins; null: a rise from <c>BaseRate / FinalDivisor</c> on.</summary>
    public double? WarmupRatio { get; init; }

    /// <summary>F: the last rate is <c>BaseRate / (25·F)</c>; infinity for 0.</summary>
    public double FinalDivisor { get; init; } = 1000;

    /// <summary>Curve after the warm-up, also of the momentum.</summary>
    public Annealing Annealing { get; init; }

    /// <summary>Momentum right after the warm-up and at the end; null: the optimizer's own value throughout.</summary>
    public (double Start, double End)? Momentum { get; init; } = (0.85, 0.95);

    /// <inheritdoc/>
    public override double RateAt(long step, long totalSteps)
    {
        double progress = (double)step / totalSteps, end = BaseRate / (InitialDivisor * FinalDivisor);
        if (step < WarmupSteps)
        {
            double warm = (double)step / WarmupSteps;
            return WarmupRatio is double ratio
                ? BaseRate * (1 - ((1 - warm) * (1 - ratio))) * (1 - progress)
                : (BaseRate / FinalDivisor) + (BaseRate / 2 * (1 + Math.Cos(Math.PI * progress)) * warm);
        }

        // The cosine is read one step ahead, the line is not: so did the published trainings.
        return Annealing == Annealing.Linear ? Move(BaseRate, end, progress) : Move(BaseRate, end, (step + 1.0) / totalSteps);
    }

    /// <inheritdoc/>
    public override double? MomentumAt(long step, long totalSteps)
    {
        if (Momentum is not var (start, end)) return null;
        return step < WarmupSteps ? 0 : Move(start, end, (double)(step - WarmupSteps) / (totalSteps - WarmupSteps));
    }

    private double Move(double start, double end, double share) =>
        Annealing == Annealing.Linear ? start + ((end - start) * share) : end + ((start - end) / 2 * (1 + Math.Cos(Math.PI * share)));
}

/// <summary>Linear warm-up, then a constant that is multiplied by a factor at each milestone.</summary>
public sealed record MultiStepSchedule : DenseSchedule
{
    /// <summary>Steps of the warm-up.</summary>
    public long WarmupSteps { get; init; }

    /// <summary>Shares of the run at which the rate drops.</summary>
    public IReadOnlyList<double> Milestones { get; init; } = [];

    /// <summary>What the rate is multiplied by at a milestone.</summary>
    public double Factor { get; init; } = 0.1;

    /// <inheritdoc/>
    public override double RateAt(long step, long totalSteps)
    {
        long n = step + 1;
        return n < WarmupSteps ? BaseRate * n / WarmupSteps : BaseRate * Math.Pow(Factor, Milestones.Count(m => n >= m * totalSteps));
    }
}

/// <summary>A power of the share of the run that is left: lr·(1 − s/T)^p.</summary>
public sealed record PolynomialSchedule : DenseSchedule
{
    /// <summary>Exponent p; 1 is a straight line.</summary>
    public double Power { get; init; } = 1;

    /// <inheritdoc/>
    public override double RateAt(long step, long totalSteps) => BaseRate * Math.Pow(1 - ((double)step / totalSteps), Power);
}
