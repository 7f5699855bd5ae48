using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Layers;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Distributed;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Views;
using TorchSharp.Modules;
using static TorchSharp.torch;
using AdamW = DinoSharp.Training.Optimization.AdamW;

namespace DinoSharp.Training.Pretraining;

/// <summary>A student that learns from its own moving average, or from a frozen teacher: one training step after another (paper section 3.2).</summary>
/// <remarks>Stochastic numbers depend on (seed, step) alone, so nothing but weights and moments has to be kept between steps.</remarks>
public sealed class StudentTeacher : IDisposable
{
    private const ulong WeightStream = 1, StepStream = 2;
    private readonly Collectives _collectives;
    private readonly Device _device;
    private readonly AdamW _optimizer;
    private bool _backboneIsFrozen;

    /// <summary>Builds the networks and draws fresh weights; the teacher starts as a copy of the student.</summary>
    /// <param name="config">What a step computes.</param>
    /// <param name="frozen">Teacher to distill from; null: the student's own moving average teaches. Stays owned by the caller and may be shared.</param>
    /// <param name="collectives">The processes of the run; null: this one alone.</param>
    /// <param name="device">Where everything lives; null: CPU.</param>
    /// <exception cref="DinoSharpException">The configuration cannot work; the message says why.</exception>
    public StudentTeacher(StudentTeacherConfig config, FrozenTeacher? frozen = null, Collectives? collectives = null, Device? device = null)
    {
        _collectives = collectives ?? Collectives.Single;
        _device = device ?? CPU;
        config.Validate(_collectives.WorldSize);
        CheckFrozen(config, frozen);
        Config = config;
        Frozen = frozen;
        HeadsConfig heads = frozen is { Heads: null } ? HeadsConfig.ToFeatures(frozen.Backbone.Config.EmbedDim) : config.Heads;
        StudentNetwork = new PretrainNetwork(config.Backbone, heads, device);
        Initialize(heads);
        StudentNetwork.train();
        TeacherNetwork = new PretrainNetwork(config.Backbone, heads, device).Freeze();
        PretrainNetwork.Copy(StudentNetwork, TeacherNetwork);
        Gram = config.Losses.Gram is { } gram ? new GramTeacher(gram, config.Backbone, device) : null;
        ResetGramTeacher();
        Products products = config.Products ?? (_device.type == TorchSharp.DeviceType.CPU ? ProductChoice.Of(config.Compute.ToComputeType()) : Products.Libtorch);
        foreach (nn.Module network in new nn.Module?[] { StudentNetwork, TeacherNetwork, Gram?.Backbone, (nn.Module?)frozen?.Network ?? frozen?.Backbone }.OfType<nn.Module>()) TrainedLinear.Use(network, products);
        _optimizer = new AdamW(ParameterGroup.Of(StudentNetwork, config.Optimizer), config.Optimizer.Beta1, config.Optimizer.Beta2);
    }

    /// <summary>What a step computes.</summary>
    public StudentTeacherConfig Config { get; }

    /// <summary>The network that is trained.</summary>
    public Backbone Student => StudentNetwork.Backbone;

    /// <summary>The student's moving average: the product of training.</summary>
    public Backbone Teacher => TeacherNetwork.Backbone;

    internal FrozenTeacher? Frozen { get; }

    private bool LearnsFeatures => Frozen is { Heads: null };

    internal PretrainNetwork StudentNetwork { get; }

    internal PretrainNetwork TeacherNetwork { get; }

    internal GramTeacher? Gram { get; }

    internal AdamW Optimizer => _optimizer;

    /// <summary>Makes one training step; refuses it, and changes no weight, if a loss or a gradient is not finite.</summary>
    /// <param name="batch">The views, on any device; not disposed.</param>
    /// <param name="step">Number of the step, 0 is the first; decides schedules and random numbers.</param>
    public StepReport Step(PretrainBatch batch, long step) => StepTogether([this], batch, step)[0];

    /// <summary>Makes one step of several students that share a frozen teacher: it looks at the batch once. If one of them has to refuse the step, none changes a weight.</summary>
    /// <param name="students">Students of the same frozen teacher, or a single student.</param>
    /// <param name="batch">The views, on any device; not disposed.</param>
    /// <param name="step">Number of the step, 0 is the first.</param>
    /// <returns>One report for each student.</returns>
    public static StepReport[] StepTogether(IReadOnlyList<StudentTeacher> students, PretrainBatch batch, long step)
    {
        StudentTeacher first = students[0];
        if (students.Count > 1 && students.Any(s => s.Frozen is null || s.Frozen != first.Frozen)) throw new ArgumentException("students that step together must share a frozen teacher", nameof(students));
        StepValues[] values = [.. students.Select(s => s.ValuesAt(step))];
        using var scope = NewDisposeScope();
        PretrainBatch[] parts = first.Prepare(batch);
        Targets[] targets = first.Teach(parts, values[0].TeacherTemperature);
        StepReport[] reports = [.. students.Select((student, i) => student.ForwardBackward(parts, targets, step, values[i]))];
        bool refused = reports.Any(r => r.NonFinite is not null);
        for (int i = 0; i < students.Count; i++)
        {
            if (refused)
            {
                students[i].Gram?.AfterStep(step, students[i].Teacher); // a refresh is counted by the step, whatever came of it
                continue;
            }

            students[i].Clip(reports[i]);
            students[i].Update(step, values[i]);
        }

        return reports;
    }

    /// <summary>What the schedules say about a step.</summary>
    public StepValues ValuesAt(long step) => Config.Optimizer.At(step, Config.Steps, (long)Config.BatchImages * _collectives.WorldSize);

    /// <inheritdoc/>
    public void Dispose()
    {
        _optimizer.Dispose();
        Gram?.Dispose();
        TeacherNetwork.Dispose();
        StudentNetwork.Dispose();
    }

    /// <summary>Cuts a batch into parts on the device and in the compute type; they live in the caller's dispose scope.</summary>
    internal PretrainBatch[] Prepare(PretrainBatch batch)
    {
        if (Config.MicroBatches == 1) return [batch.To(_device, Config.ComputeScalar)];
        return [.. Enumerable.Range(0, Config.MicroBatches).Select(i =>
        {
            using PretrainBatch part = batch.Part(i, Config.MicroBatches);
            return part.To(_device, Config.ComputeScalar);
        })];
    }

    /// <summary>The teacher's half of a step; the targets live in the caller's dispose scope.</summary>
    internal Targets[] Teach(PretrainBatch[] parts, double temperature) => LearnsFeatures ? Teaching.Features(Frozen!.Backbone, parts, TeacherCropScale()) :
        Teaching.Run(Frozen?.Network ?? TeacherNetwork, parts, temperature, TeacherCropScale(), keepFeatures: Config.Losses.Gram?.Mode == GramMode.MovingTeacher, _collectives);

    /// <summary>The student's half of a step up to the gradients, which are the means over parts and processes. The only place in a step that waits for the device, once for each student
    /// (docs/decisions/0036-one-wait-a-step.md).</summary>
    internal StepReport ForwardBackward(PretrainBatch[] parts, Targets[] targets, long step, StepValues values)
    {
        using var scope = NewDisposeScope();
        LossWeights weights = LossWeights.At(Config.Losses, step, Config.Steps);
        double[] numbers = Differentiate(parts, targets, step, values, weights).cpu().data<double>().ToArray();
        string? problem = numbers.All(double.IsFinite) ? null : NonFinite.First(parts, StudentNetwork, Frozen is null ? TeacherNetwork : (nn.Module?)Frozen.Network ?? Frozen.Backbone, numbers);
        return new StepReport(step, Terms(numbers, weights), new GradientNorms(numbers[^3], numbers[^2], numbers[^1]), values, problem);
    }

    /// <summary>Computes the gradients.</summary>
    /// <returns>The loss terms as <see cref="StudentPass.TermNames"/> lists them and the gradient norms, float64 on the device. [13]</returns>
    internal Tensor Differentiate(PretrainBatch[] parts, Targets[] targets, long step, StepValues values, LossWeights weights)
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(TorchRandom.SeedOf(Config.Seed + (ulong)_collectives.Rank, StepStream, (ulong)step));
        var pass = new StudentPass(StudentNetwork, Config, Gram, _collectives);
        StudentNetwork.zero_grad();
        FreezeBackbone(values.BackboneFactor == 0);
        Tensor? terms = null;
        for (int i = 0; i < parts.Length; i++)
        {
            using var inner = NewDisposeScope();
            (Tensor total, Tensor found) = LearnsFeatures ? pass.RunFeatures(parts[i], targets[i], random) : pass.Run(parts[i], targets[i], weights, hidePatches: Frozen is null, random);
            (total / Num(parts.Length)).backward();
            terms = (terms is null ? found / Num(parts.Length) : terms.Plus(found / Num(parts.Length))).MoveToOuterDisposeScope();
        }

        (string Name, Parameter[] Parameters)[] modules = [.. StudentNetwork.Parts];
        _collectives.Mean([terms!, .. modules.SelectMany(m => m.Parameters).Select(p => p.grad).OfType<Tensor>()]);
        return cat([terms!, stack([.. modules.Select(m => Gradients.Norm(m.Parameters))])]).to(ScalarType.Float64).MoveToOuterDisposeScope(); // [13]
    }

    /// <summary>Limits the gradient norm of the backbone and of each head, separately.</summary>
    internal void Clip(StepReport report)
    {
        if (Config.Optimizer.ClipNorm is not double limit) return;
        double[] norms = [report.GradientNorms.Backbone, report.GradientNorms.DinoHead, report.GradientNorms.IbotHead];
        foreach (((_, Parameter[] parameters), double norm) in StudentNetwork.Parts.Zip(norms)) Gradients.Clip(parameters, norm, limit);
    }

    /// <summary>Applies the gradients: optimizer, moving average, Gram anchor, in this order.</summary>
    internal void Update(long step, StepValues values)
    {
        _optimizer.Step(values);
        PretrainNetwork.Average(StudentNetwork, TeacherNetwork, values.Momentum);
        Gram?.AfterStep(step, Teacher);
    }

    /// <summary>Makes the current teacher the Gram anchor.</summary>
    internal void ResetGramTeacher()
    {
        if (Gram?.Backbone is { } anchor) PretrainNetwork.Copy(Teacher, anchor);
    }

    // Drawn on the CPU wherever the network lives: generators belong to a device, and a seed gives the same weights everywhere.
    private void Initialize(HeadsConfig heads)
    {
        using var random = new Generator(TorchRandom.SeedOf(Config.Seed, WeightStream, 0));
        if (_device.type == TorchSharp.DeviceType.CPU)
        {
            StudentNetwork.Initialize(random);
            return;
        }

        using var drawn = new PretrainNetwork(Config.Backbone, heads, CPU);
        drawn.Initialize(random);
        PretrainNetwork.Copy(drawn, StudentNetwork);
    }

    // Without gradients the backbone costs a forward pass alone.
    private void FreezeBackbone(bool frozen)
    {
        if (frozen != _backboneIsFrozen) foreach (Parameter parameter in Student.parameters()) parameter.requires_grad_(!frozen);
        _backboneIsFrozen = frozen;
    }

    private LossTerms Terms(double[] numbers, LossWeights weights)
    {
        GramConfig? gram = Config.Losses.Gram;
        return new LossTerms(
            Total: numbers[0],
            DinoGlobal: numbers[1],
            DinoLocal: numbers[2],
            Ibot: numbers[3],
            KoLeo: numbers[4],
            Gram: gram is null ? null : numbers[5],
            GramMasked: gram?.ReportMaskedParts == true ? numbers[6] : null,
            GramUnmasked: gram?.ReportMaskedParts == true ? numbers[7] : null,
            LocalWeight: weights.Local,
            GramWeight: gram is null ? null : weights.Gram)
        {
            FeatureClass = LearnsFeatures ? numbers[8] : null,
            FeaturePatches = LearnsFeatures ? numbers[9] : null,
        };
    }

    private double TeacherCropScale() => Frozen is null ? 1 : (double)CellPixels(Frozen.Backbone.Config) / CellPixels(Config.Backbone);

    // Training uses a ConvNeXt's own map, whatever grid its dense features are resized to.
    internal static int CellPixels(BackboneConfig backbone) => backbone is ConvNeXtConfig ? 32 : backbone.PatchSizePixels;

    private static void CheckFrozen(StudentTeacherConfig config, FrozenTeacher? frozen)
    {
        if (frozen is null) return;
        if (frozen.Heads is { } heads && (heads.Dino.Prototypes != config.Heads.Dino.Prototypes || heads.Ibot.Prototypes != config.Heads.Ibot.Prototypes))
        {
            throw new DinoSharpException($"distillation: the teacher has {heads.Dino.Prototypes} and {heads.Ibot.Prototypes} prototypes, the student {config.Heads.Dino.Prototypes} and {config.Heads.Ibot.Prototypes}; they must be equal");
        }

        if (config.Losses.Gram is not null) throw new DinoSharpException("distillation: the teacher is frozen, so Gram anchoring has nothing to repair; remove one of the two");
    }
}
