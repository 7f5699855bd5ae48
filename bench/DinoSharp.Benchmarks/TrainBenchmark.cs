using System.Diagnostics;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Training.Data;
using DinoSharp.Training.Optimization;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>The training step with everything around it: images from files through the loader, teacher, student, clipping, optimizer, moving average.</summary>
internal static class TrainBenchmark
{
    private const double ProcessorSeconds = 10; // for each line

    private static readonly (string Name, VisionTransformerConfig Backbone, ViewOptions Views, int Batch)[] Work =
    [
        ("tiny (D 192), 2×96 + 4×48", new VisionTransformerConfig { Width = 192, Depth = 12, Heads = 3, FeedForwardWidth = 768 }, new ViewOptions { GlobalSizePixels = 96, LocalSizePixels = 48, LocalCrops = 4 }, 32),
        ("ViT-S (D 384), 2×224 + 8×96", (VisionTransformerConfig)Presets.Find("dinov3-vits16").Config, new ViewOptions(), 4),
    ];

    public static void Run(Report report)
    {
        (string source, ImageDataset data) = Source();
        int threads = get_num_threads();
        report.Section(
            "Training step",
            $"Images from {source}, one thread of the loader beside {threads} of libtorch; heads of 1024 prototypes; {ProcessorSeconds:0} processor seconds a line or two steps, whichever is more, after a first step. "
            + "Images for each processor second are what one core does, loader and all, whatever else runs; images/s are those of the clock, under the load above. Shares are of the time of a step; \"waiting\" is what the "
            + "training waits for images. \"Loader idle\": the share of the time in which a loader thread with a core of its own has nothing to do, from the processor time of loading alone and of all of the step.");
        report.Table(
            ["network", "compute", "images a step", "images for each processor second", "images/s", "waiting", "teacher", "student, both passes", "clipping", "optimizer", "moving average", "loading alone, images for each processor second", "loader idle", "MiB"],
            Work.SelectMany(work => new[] { TrainingComputeType.Float32, TrainingComputeType.BFloat16 }.Select(compute => Row(work.Name, work.Backbone, work.Views, work.Batch, compute, data))));
        StepBenchmark.Run(report, data);
    }

    private static string[] Row(string name, VisionTransformerConfig backbone, ViewOptions views, int batch, TrainingComputeType compute, ImageDataset data)
    {
        var head = new ProjectionHeadConfig { Prototypes = 1024, HiddenDim = 1024, BottleneckDim = 192 };
        var config = new StudentTeacherConfig { Backbone = backbone, Heads = new HeadsConfig { Dino = head, Ibot = head }, BatchImages = batch, Compute = compute, Steps = 1000 };
        using var learner = new StudentTeacher(config);
        using var loader = new PretrainLoader(data, views, new MaskOptions(), new LoaderOptions { BatchSize = batch, Workers = 1 });
        double[] parts = new double[6];
        long step = 0;
        Step(learner, loader, step++, new double[6]);
        var clock = Stopwatch.StartNew();
        double before = Processor();
        while (step < 3 || Processor() - before < ProcessorSeconds) Step(learner, loader, step++, parts);
        double elapsed = clock.Elapsed.TotalSeconds, images = (step - 1) * batch, work = (Processor() - before) / images, loading = Alone(data, views, batch);
        return
        [
            name, compute.ToString(), $"{batch}", Report.Number(1 / work), Report.Number(images / elapsed), .. parts.Select(part => Share(part / elapsed)),
            Report.Number(1 / loading), Share(Math.Max(0, 1 - (loading / (work - loading)))), $"{Environment.WorkingSet >> 20}",
        ];
    }

    // StudentTeacher.Step, taken apart.
    private static void Step(StudentTeacher learner, PretrainLoader loader, long step, double[] parts)
    {
        long at = Stopwatch.GetTimestamp();
        void Lap(int part)
        {
            parts[part] += Stopwatch.GetElapsedTime(at).TotalSeconds;
            at = Stopwatch.GetTimestamp();
        }

        using PretrainBatch batch = loader.Next();
        Lap(0);
        using var scope = NewDisposeScope();
        StepValues values = learner.ValuesAt(step);
        PretrainBatch[] prepared = learner.Prepare(batch);
        Targets[] targets = learner.Teach(prepared, values.TeacherTemperature);
        Lap(1);
        StepReport report = learner.ForwardBackward(prepared, targets, step, values);
        if (report.NonFinite is not null) throw new DinoSharpException($"the step cannot be timed: {report.NonFinite} is not finite");
        Lap(2);
        learner.Clip(report);
        Lap(3);
        learner.Optimizer.Step(values);
        Lap(4);
        PretrainNetwork.Average(learner.StudentNetwork, learner.TeacherNetwork, values.Momentum);
        Lap(5);
    }

    // Processor seconds for each image.
    private static double Alone(ImageDataset data, ViewOptions views, int batch)
    {
        using var loader = new PretrainLoader(data, views, new MaskOptions(), new LoaderOptions { BatchSize = batch, Workers = 1 });
        loader.Next().Dispose();
        double before = Processor();
        int images = 0;
        for (; Processor() - before < ProcessorSeconds / 5; images += batch) loader.Next().Dispose();
        return (Processor() - before) / images;
    }

    private static double Processor() => Environment.CpuUsage.TotalTime.TotalSeconds;

    internal static (string Name, ImageDataset Data) Source()
    {
        string pool = Path.Combine(Report.Root(), "..", "shared", "data", "pretrain");
        return Directory.Exists(pool) ? ("a pool of 128-pixel JPEGs in tar shards", TarShards.Open(pool)) : ("`Synthetic:`", ImageDataset.Open("Synthetic:"));
    }

    private static string Share(double value) => value.ToString("P1", CultureInfo.InvariantCulture);
}
