namespace DinoSharp.Training.Optimization;

/// <summary>How the pieces of a <see cref="Schedule"/> are joined. The two generations of published configurations differ in their end points.</summary>
public enum ScheduleForm
{
    /// <summary>Current form: the warm-up stops one step short of the peak, the cosine includes both ends, <see cref="Schedule.End"/> holds from there on.</summary>
    WarmupCosineConstant,

    /// <summary>First form (DINO, DINOv2, the ImageNet-1k recipe): the warm-up includes the peak, the cosine runs to the last step and stops one short of its end.</summary>
    InclusiveWarmupCosine,
}

/// <summary>A number that changes with the step: linear warm-up, half a cosine, then constant. A pure function of the step.</summary>
/// <remarks>A constant is a schedule with only <see cref="End"/>; a half-cosine ramp up is one whose <see cref="Start"/> and <see cref="Peak"/> are both low.</remarks>
public sealed record Schedule
{
    /// <summary>Value of the first warm-up step.</summary>
    public double Start { get; init; }

    /// <summary>Value that the warm-up leads to and the cosine starts from.</summary>
    public double Peak { get; init; }

    /// <summary>Value after the cosine.</summary>
    public double End { get; init; }

    /// <summary>Length of the linear part.</summary>
    public long WarmupSteps { get; init; }

    /// <summary>Length of the cosine part; null: all that is left of the run. Only for <see cref="ScheduleForm.WarmupCosineConstant"/>.</summary>
    public long? CosineSteps { get; init; }

    /// <summary>Steps before the warm-up in which the value is zero. Only for <see cref="ScheduleForm.InclusiveWarmupCosine"/>.</summary>
    public long FrozenSteps { get; init; }

    /// <summary>Stretches the cosine by this share beyond the end of the run and rescales it so that it still reaches <see cref="End"/>. Only for <see cref="ScheduleForm.InclusiveWarmupCosine"/>.</summary>
    public double TruncateExtra { get; init; }

    /// <summary>Which generation of end points applies.</summary>
    public ScheduleForm Form { get; init; }

    /// <summary>The same value at every step.</summary>
    public static Schedule Constant(double value) => new() { Start = value, Peak = value, End = value };

    /// <summary>The value at a step.</summary>
    /// <param name="step">0 is the first step of the run.</param>
    /// <param name="totalSteps">Length T of the run.</param>
    public double At(long step, long totalSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        return Form == ScheduleForm.WarmupCosineConstant ? CurrentForm(step, totalSteps) : FirstForm(step, totalSteps);
    }

    /// <summary>Throws if the pieces do not fit into the run.</summary>
    /// <param name="name">What the schedule is for, in the message.</param>
    /// <param name="totalSteps">Length T of the run.</param>
    /// <exception cref="DinoSharpException">The message names the value and what would fit.</exception>
    public void Validate(string name, long totalSteps)
    {
        Require(WarmupSteps >= 0 && CosineSteps is null or >= 0 && FrozenSteps >= 0 && TruncateExtra >= 0, "its lengths must not be negative");
        Require(double.IsFinite(Start) && double.IsFinite(Peak) && double.IsFinite(End), "its values must be finite");
        bool current = Form == ScheduleForm.WarmupCosineConstant;
        Require(!current || (FrozenSteps == 0 && TruncateExtra == 0), $"{nameof(FrozenSteps)} and {nameof(TruncateExtra)} belong to the form {ScheduleForm.InclusiveWarmupCosine}");
        Require(current || CosineSteps is null, $"{nameof(CosineSteps)} belongs to the form {ScheduleForm.WarmupCosineConstant}");
        Require(TruncateExtra == 0 || totalSteps - FrozenSteps - WarmupSteps != 1, $"{nameof(TruncateExtra)} cannot stretch a cosine of a single step");
        long needed = FrozenSteps + WarmupSteps + (CosineSteps ?? 0);
        Require(needed <= totalSteps, $"its parts need {needed} steps, the run has {totalSteps}: shorten the warm-up or the cosine, or train longer");

        void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException($"schedule of {name}: {problem}");
        }
    }

    private double CurrentForm(long step, long totalSteps)
    {
        if (step < WarmupSteps) return Start + (Peak - Start) * step / WarmupSteps;
        long length = CosineSteps ?? Math.Max(0, totalSteps - WarmupSteps), i = step - WarmupSteps;
        if (i >= length) return End;
        double angle = length == 1 ? 0 : Math.PI * i / (length - 1);
        return End + (Peak - End) * 0.5 * (1 + Math.Cos(angle));
    }

    private double FirstForm(long step, long totalSteps)
    {
        if (step >= totalSteps) return End;
        if (step < FrozenSteps) return 0;
        long i = step - FrozenSteps;
        if (i < WarmupSteps) return WarmupSteps == 1 ? Start : Start + (Peak - Start) * i / (WarmupSteps - 1);
        i -= WarmupSteps;
        long length = totalSteps - WarmupSteps - FrozenSteps;
        if (TruncateExtra == 0) return End + 0.5 * (Peak - End) * (1 + Math.Cos(Math.PI * i / length));
        double last = Stretched(length - 1, length);
        return End + (Peak - End) * (Stretched(i, length) - last) / (1 - last);
    }

    private double Stretched(long i, long length)
    {
        long points = (long)((1 + TruncateExtra) * length);
        return 0.5 * (1 + Math.Cos(points == 1 ? 0 : Math.PI * i / (points - 1)));
    }
}
