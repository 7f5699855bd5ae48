using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Training.Data;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>One training step of ViT-S in three ways, in turn on the same batches: as one writes it at first, ours in float32, ours in bfloat16.</summary>
internal static class StepBenchmark
{
    /// <summary>Argument that makes this program take two steps in one way, named by the next argument, and print its highest memory in MiB.</summary>
    public const string OnlySteps = "--only-steps";

    private const int Images = 4, Count = 8;

    private const string Plain = "plain", Exact = "ours, Float32", Half = "ours, BFloat16";

    private static readonly string[] Ways = [Plain, Exact, Half];

    /// <summary>The goals that the numbers decide.</summary>
    public static IReadOnlyList<Goal> Run(Report report, ImageDataset data)
    {
        PretrainBatch[] batches = Batches(data, Count);
        Stepper[] steppers = [.. Ways.Select(Create)];
        List<double>[] losses = [.. Ways.Select(_ => new List<double>())];
        IReadOnlyList<Timing> times = Measure.Interleaved(0, [.. Ways.Select((way, w) => new Subject(way, () => losses[w].Add(steppers[w].Step(batches[losses[w].Count % Count], losses[w].Count))))]);
        foreach (Stepper stepper in steppers) stepper.Dispose();
        foreach (PretrainBatch batch in batches) batch.Dispose();
        report.Section(
            "One step, in turn",
            $"ViT-S, 2×224 + 8×96, {Images} images, heads of 1024 prototypes, {get_num_threads()} threads, after a first step, every way on the same batches; no loading. {Measure.Words} \"Plain\": all products by libtorch, the patch head over all patches and the hidden "
            + "ones chosen afterwards, AdamW of TorchSharp and the moving average tensor by tensor. Ratios: plain to this, best to best / median to median by the clock, and by the mean processor time of all threads (which other work on the machine disturbs less). "
            + "Loss: relative difference to plain at the first step, and the largest in all steps that both took. MiB: highest memory of a process of its own that takes two steps.");
        report.Table(
            ["way", "ms, best / median", "repetitions", "processor ms", "ratio by the clock", "ratio by processor time", "loss, first / largest difference", "MiB"],
            Ways.Select((name, way) => new[]
            {
                name, $"{Report.Number(times[way].Best)} / {Report.Number(times[way].Median)}", $"{times[way].Count}", Report.Number(times[way].Cpu),
                $"{Report.Number(times[0].Best / times[way].Best)} / {Report.Number(times[0].Median / times[way].Median)}", Report.Number(times[0].Cpu / times[way].Cpu),
                $"{Difference(way, 0):E1} / {Enumerable.Range(0, Math.Min(losses[0].Count, losses[way].Count)).Max(step => Difference(way, step)):E1}", OwnProcess.Again(OnlySteps, name),
            }));
        return
        [
            new("bf16 step, ViT-S multi-crop", "times the plain float32 step", 2, [To(Half)]) { Classes = [Machine.Amx] },
            new("float32 step, ViT-S multi-crop", "times the plain float32 step", 1.25, [To(Exact)]) { Classes = [Machine.Avx2, Machine.Avx512, Machine.Other] },
        ];

        double Difference(int way, int step) => Math.Abs((losses[way][step] / losses[0][step]) - 1);

        Reached To(string way)
        {
            Timing time = times[Array.IndexOf(Ways, way)];
            return new(way, times[0].Best / time.Best, times[0].Median / time.Median);
        }
    }

    /// <summary>What <see cref="OnlySteps"/> does.</summary>
    public static void TakeSteps(string way)
    {
        PretrainBatch[] batches = Batches(TrainBenchmark.Source().Data, 2);
        using Stepper stepper = Create(way);
        for (int step = 0; step < batches.Length; step++) stepper.Step(batches[step], step);
        Console.WriteLine(OwnProcess.PeakMebibytes().ToString(CultureInfo.InvariantCulture));
    }

    private static PretrainBatch[] Batches(ImageDataset data, int count)
    {
        using var loader = new PretrainLoader(data, new ViewOptions(), new MaskOptions(), new LoaderOptions { BatchSize = Images, Workers = 1 });
        return [.. Enumerable.Range(0, count).Select(_ => loader.Next())];
    }

    private static Stepper Create(string way)
    {
        var head = new ProjectionHeadConfig { Prototypes = 1024, HiddenDim = 1024, BottleneckDim = 192 };
        var config = new StudentTeacherConfig
        {
            Backbone = (VisionTransformerConfig)Presets.Find("dinov3-vits16").Config,
            Heads = new HeadsConfig { Dino = head, Ibot = head },
            BatchImages = Images,
            Steps = 1000,
            Compute = way == Half ? TrainingComputeType.BFloat16 : TrainingComputeType.Float32,
        };
        var learner = new StudentTeacher(config);
        if (way == Plain)
        {
            using (learner)
            {
                var plain = new PlainStep(config, learner);
                return new Stepper(plain.Step, plain);
            }
        }

        return new Stepper((batch, step) => learner.Step(batch, step).Losses.Total, learner);
    }

    private sealed record Stepper(Func<PretrainBatch, long, double> Step, IDisposable Owner) : IDisposable
    {
        public void Dispose() => Owner.Dispose();
    }
}
