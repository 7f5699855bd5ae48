namespace DinoSharp.Training.Optimization;

/// <summary>How a learning rate written for one batch size follows another.</summary>
public enum LearningRateScaling
{
    /// <summary>Used as written.</summary>
    None,

    /// <summary>Times 4·√(B/1024) for a global batch of B images (published recipes).</summary>
    SquareRootOf1024,

    /// <summary>Times B/256 for a global batch of B images.</summary>
    LinearOf256,
}

/// <summary>AdamW and everything that changes with the step. The defaults are those of the published recipes.</summary>
public sealed record OptimizerConfig
{
    /// <summary>Learning rate before scaling and multipliers.</summary>
    public Schedule LearningRate { get; init; } = Schedule.Constant(1e-3);

    /// <summary>What the batch size does to the learning rate. The first form of schedule scales its peak, the current form its peak and end.</summary>
    public LearningRateScaling Scaling { get; init; } = LearningRateScaling.SquareRootOf1024;

    /// <summary>Images that the scaling takes for the batch, where a published run took another number than it trained with; null: the images of a step over all processes.</summary>
    public int? ScalingImages { get; init; }

    /// <summary>Decoupled weight decay, before multipliers.</summary>
    public Schedule WeightDecay { get; init; } = Schedule.Constant(0.04);

    /// <summary>Momentum m of the teacher: teacher ← m·teacher + (1 - m)·student.</summary>
    public Schedule Momentum { get; init; } = Schedule.Constant(0.994);

    /// <summary>Temperature of the teacher's distributions.</summary>
    public Schedule TeacherTemperature { get; init; } = Schedule.Constant(0.07);

    /// <summary>Steps at the start in which the prototypes of both heads do not move.</summary>
    public long FreezeLastLayerSteps { get; init; }

    /// <summary>Steps at the start in which the backbone is frozen and only the heads learn: for heads that are fresh on a backbone that is not.</summary>
    public long FreezeBackboneSteps { get; init; }

    /// <summary>Steps after <see cref="FreezeBackboneSteps"/> over which the backbone's learning rate rises in a straight line to its full value.</summary>
    public long BackboneRampSteps { get; init; }

    /// <summary>Learning rate of block i is multiplied by this to the power of its distance from the output.</summary>
    public double LayerwiseDecay { get; init; } = 0.9;

    /// <summary>Further factor on the learning rate of the patch embedding.</summary>
    public double PatchEmbeddingMultiplier { get; init; } = 0.2;

    /// <summary>Factor on the weight decay of the DINO head. (The original never applies the key of this meaning.)</summary>
    public double DinoHeadDecayMultiplier { get; init; } = 1;

    /// <summary>Largest gradient norm of the backbone and of each head, separately; null: no clipping.</summary>
    public double? ClipNorm { get; init; } = 3;

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>The values of one step.</summary>
    /// <param name="step">0 is the first step of the run.</param>
    /// <param name="totalSteps">Length of the run.</param>
    /// <param name="globalBatch">Images per step over all processes.</param>
    public StepValues At(long step, long totalSteps, long globalBatch)
    {
        double rate = ScaledLearningRate(globalBatch).At(step, totalSteps);
        double lastLayerRate = step < FreezeLastLayerSteps ? 0 : rate;
        return new StepValues(rate, lastLayerRate, WeightDecay.At(step, totalSteps), Momentum.At(step, totalSteps), TeacherTemperature.At(step, totalSteps))
        {
            BackboneFactor = BackboneFactorAt(step),
        };
    }

    /// <summary>Factor on the learning rate of the backbone: 0 while it is frozen, then k/n at step k = 1 … n of the ramp, then 1.</summary>
    /// <param name="step">0 is the first step of the run.</param>
    public double BackboneFactorAt(long step) => step < FreezeBackboneSteps ? 0 : BackboneRampSteps == 0 ? 1 : Math.Min(1, (step - FreezeBackboneSteps + 1.0) / BackboneRampSteps);

    /// <summary>The learning rate that a global batch is trained with.</summary>
    /// <param name="globalBatch">Images per step over all processes; <see cref="ScalingImages"/> counts instead where it is set.</param>
    public Schedule ScaledLearningRate(long globalBatch)
    {
        long images = ScalingImages ?? globalBatch;
        double factor = Scaling switch
        {
            LearningRateScaling.SquareRootOf1024 => 4 * Math.Sqrt(images / 1024.0),
            LearningRateScaling.LinearOf256 => images / 256.0,
            _ => 1,
        };
        Schedule scaled = LearningRate with { Peak = LearningRate.Peak * factor };
        return LearningRate.Form == ScheduleForm.WarmupCosineConstant ? scaled with { End = LearningRate.End * factor } : scaled;
    }

    /// <summary>Throws if a value cannot work.</summary>
    /// <param name="totalSteps">Length of the run.</param>
    /// <exception cref="DinoSharpException">The message names the value.</exception>
    public void Validate(long totalSteps)
    {
        LearningRate.Validate("the learning rate", totalSteps);
        WeightDecay.Validate("the weight decay", totalSteps);
        Momentum.Validate("the teacher's momentum", totalSteps);
        if (TeacherTemperature.Form == ScheduleForm.WarmupCosineConstant) TeacherTemperature.Validate("the teacher's temperature", totalSteps);
        Require(new[] { Momentum.Start, Momentum.Peak, Momentum.End }.All(m => m is >= 0 and <= 1), "the teacher's momentum must stay in 0..1");
        Require(new[] { TeacherTemperature.Start, TeacherTemperature.Peak, TeacherTemperature.End }.All(t => t > 0), "the teacher's temperature must stay above 0");
        Require(new[] { LearningRate.Start, LearningRate.Peak, LearningRate.End }.All(r => r >= 0), "the learning rate must not be negative");
        Require(FreezeLastLayerSteps >= 0 && FreezeBackboneSteps >= 0 && BackboneRampSteps >= 0, "FreezeLastLayerSteps, FreezeBackboneSteps and BackboneRampSteps must not be negative");
        Require(FreezeBackboneSteps + BackboneRampSteps <= totalSteps, $"FreezeBackboneSteps and BackboneRampSteps need {FreezeBackboneSteps + BackboneRampSteps} steps, the phase has {totalSteps}");
        Require(LayerwiseDecay is > 0 and <= 1, $"LayerwiseDecay must be in (0, 1], found {LayerwiseDecay}");
        Require(PatchEmbeddingMultiplier >= 0 && DinoHeadDecayMultiplier >= 0, "multipliers must not be negative");
        Require(ClipNorm is null or > 0, $"ClipNorm must be above 0 or absent, found {ClipNorm}");
        Require(ScalingImages is null or > 0, $"ScalingImages must be above 0 or absent, found {ScalingImages}");
        Require(Beta1 is >= 0 and < 1 && Beta2 is >= 0 and < 1, "Beta1 and Beta2 must be in [0, 1)");

        static void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException($"optimizer: {problem}");
        }
    }
}

/// <summary>Everything that the schedules say about one step.</summary>
/// <param name="LearningRate">Scaled learning rate, before the multipliers of the groups.</param>
/// <param name="LastLayerLearningRate">The same for the prototypes; zero while they are frozen.</param>
/// <param name="WeightDecay">Decoupled weight decay, before the multipliers of the groups.</param>
/// <param name="Momentum">Momentum of the teacher.</param>
/// <param name="TeacherTemperature">Temperature of the teacher's distributions.</param>
public sealed record StepValues(double LearningRate, double LastLayerLearningRate, double WeightDecay, double Momentum, double TeacherTemperature)
{
    /// <summary>Factor on the learning rate of the backbone; 0 while it is frozen.</summary>
    public double BackboneFactor { get; init; } = 1;
}
