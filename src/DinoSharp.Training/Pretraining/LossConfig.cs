using DinoSharp.Training.Losses;
using DinoSharp.Training.Optimization;

namespace DinoSharp.Training.Pretraining;

/// <summary>What the student is asked for. The defaults are those of the published recipes.</summary>
public sealed record LossConfig
{
    /// <summary>Weight of the image-level loss.</summary>
    public double DinoWeight { get; init; } = 1;

    /// <summary>Leave out the pairs in which student and teacher see the same global crop.</summary>
    public bool IgnoreDiagonal { get; init; } = true;

    /// <summary>Further weight of the part of the image-level loss that comes from local crops; null: 1.</summary>
    public Schedule? LocalWeight { get; init; }

    /// <summary>Weight of the patch-level loss.</summary>
    public double IbotWeight { get; init; } = 1;

    /// <summary>Weight of the spreading loss, per global crop.</summary>
    public double KoLeoWeight { get; init; } = 0.1;

    /// <summary>Nearest neighbours that an embedding is pushed away from.</summary>
    public int KoLeoNeighbours { get; init; } = 1;

    /// <summary>Neighbours are searched among so many images; null: all images that pass through the network together (a micro-batch).</summary>
    public int? KoLeoGroupSize { get; init; }

    /// <summary>Whether groups may span the processes of a run.</summary>
    public bool KoLeoAcrossProcesses { get; init; }

    /// <summary>Gram anchoring; null: none.</summary>
    public GramConfig? Gram { get; init; }
}

/// <summary>Which network holds the patch similarities that the student should keep.</summary>
public enum GramMode
{
    /// <summary>The teacher as it was when this phase of training started.</summary>
    Start,

    /// <summary>A checkpoint, for example an early one of the same training.</summary>
    Checkpoint,

    /// <summary>As <see cref="Start"/> or <see cref="Checkpoint"/>, then replaced by the current teacher every so many steps (paper section 4.2).</summary>
    Refreshed,

    /// <summary>The moving teacher itself.</summary>
    MovingTeacher,
}

/// <summary>Which patches are compared.</summary>
public enum GramTokens
{
    /// <summary>All patches (published recipes).</summary>
    All,

    /// <summary>Those hidden from the student.</summary>
    Masked,

    /// <summary>Those shown to the student.</summary>
    Unmasked,
}

/// <summary>How the Gram teacher's patch map is brought to the student's size.</summary>
public enum GramResize
{
    /// <summary>Bicubic (published recipes).</summary>
    Bicubic,

    /// <summary>Bilinear.</summary>
    Bilinear,
}

/// <summary>Gram anchoring (paper section 4).</summary>
public sealed record GramConfig
{
    /// <summary>Which network is the anchor.</summary>
    public GramMode Mode { get; init; }

    /// <summary>File or folder of the anchor's weights; needed by <see cref="GramMode.Checkpoint"/>, possible for <see cref="GramMode.Refreshed"/>.</summary>
    public string? Checkpoint { get; init; }

    /// <summary><see cref="GramMode.Refreshed"/>: the anchor is replaced after every step whose count is a multiple of this.</summary>
    public long? RefreshEverySteps { get; init; }

    /// <summary><see cref="GramMode.Refreshed"/>: no replacement before this many steps.</summary>
    public long FirstRefreshStep { get; init; }

    /// <summary><see cref="GramMode.Refreshed"/>: at most this many replacements; null: no limit.</summary>
    public long? MaxRefreshes { get; init; }

    /// <summary>Weight of the Gram loss.</summary>
    public Schedule Weight { get; init; } = Schedule.Constant(2);

    /// <summary>How similarities are computed and compared.</summary>
    public GramLossOptions Loss { get; init; } = new();

    /// <summary>Which patches are compared; parts need one matrix for the batch instead of one per image.</summary>
    public GramTokens Tokens { get; init; }

    /// <summary>How a larger map of the anchor becomes one of the student's size.</summary>
    public GramResize Resize { get; init; }

    /// <summary>Low-pass filter when the map is resized.</summary>
    public bool ResizeAntialias { get; init; }

    /// <summary>Also report the loss over hidden and over shown patches, without training on them.</summary>
    public bool ReportMaskedParts { get; init; }

    /// <summary>Number of replacements made before a step. A pure function, so that a resumed run needs no counter.</summary>
    /// <param name="step">Steps that are complete.</param>
    public long RefreshesBefore(long step)
    {
        if (RefreshEverySteps is not long every) return 0;
        long multiples = step / every - Math.Max(0, FirstRefreshStep - 1) / every;
        return Math.Min(Math.Max(0, multiples), MaxRefreshes ?? long.MaxValue);
    }

    /// <summary>Which network the anchor is at a step, in words.</summary>
    /// <param name="step">0 is the first step.</param>
    public string Describe(long step)
    {
        if (Mode == GramMode.MovingTeacher) return "the moving teacher, another one at every step";
        if (RefreshesBefore(step) is > 0 and var refreshes) return $"the teacher after {AnchoredSince(step)} steps of this phase (replacement {refreshes}; one every {RefreshEverySteps} steps)";
        return Checkpoint is null ? "the teacher at the start of this phase" : $"the checkpoint {Checkpoint}";
    }

    /// <summary>Whether an anchor that comes into use before a step is worth a line: the first of a phase, the first replacement, and every tenth, so that short intervals do not fill the log.</summary>
    internal bool IsWorthALine(long step) => step == 0 || (RefreshesBefore(step) is var now && now != RefreshesBefore(step - 1) && (now == 1 || now % 10 == 0));

    /// <summary>The step of the phase since which the anchor of a step is in use.</summary>
    internal long AnchoredSince(long step)
    {
        long refreshes = RefreshesBefore(step);
        if (refreshes == 0) return 0;
        long every = RefreshEverySteps!.Value, first = (Math.Max(1, FirstRefreshStep) + every - 1) / every * every;
        return first + ((refreshes - 1) * every);
    }

    /// <summary>Throws if the options contradict each other.</summary>
    /// <param name="totalSteps">Length of the run.</param>
    /// <param name="microBatches">Parts that a batch is processed in.</param>
    /// <exception cref="DinoSharpException">The message names the options and the reason.</exception>
    public void Validate(long totalSteps, int microBatches)
    {
        Weight.Validate("the Gram weight", totalSteps);
        Require(Mode != GramMode.Checkpoint || Checkpoint is not null, "mode Checkpoint needs the file in Checkpoint");
        Require(Mode is GramMode.Checkpoint or GramMode.Refreshed || Checkpoint is null, $"mode {Mode} uses no checkpoint, but Checkpoint is {Checkpoint}; use mode Checkpoint or Refreshed, or remove it");
        Require(Mode != GramMode.Refreshed || RefreshEverySteps is > 0, "mode Refreshed needs RefreshEverySteps above 0");
        Require(Mode == GramMode.Refreshed || RefreshEverySteps is null, $"mode {Mode} is never refreshed, but RefreshEverySteps is {RefreshEverySteps}; use mode Refreshed or remove it");
        Require(Mode == GramMode.Refreshed || (FirstRefreshStep == 0 && MaxRefreshes is null), $"FirstRefreshStep and MaxRefreshes belong to mode Refreshed, not {Mode}");
        Require(FirstRefreshStep >= 0 && MaxRefreshes is null or > 0, "FirstRefreshStep must not be negative and MaxRefreshes must be above 0");
        Require(Tokens == GramTokens.All || !Loss.PerImage, $"Tokens {Tokens} take a different number of patches from each image, so one matrix per image is impossible; set PerImage to false");
        Require(Loss.PerImage || microBatches == 1, "one Gram matrix over the whole batch is impossible with micro-batches; set PerImage to true or MicroBatches to 1");

        static void Require(bool condition, string problem)
        {
            if (!condition) throw new DinoSharpException($"Gram anchoring: {problem}");
        }
    }
}
