using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
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
    /// <summary>Argument that makes this program measure one line, numbered by the next argument, and print it.</summary>
    public const string OnlyLine = "--only-line";

    private const int Steps = 5;

    private const double LoadingSeconds = 1.5; // processor time

    private const string ViTS = "ViT-S";

    private static readonly (string Name, VisionTransformerConfig Backbone, ViewOptions Views, int Batch)[] Work =
    [
        ("tiny (D 192), 2×96 + 4×48", new VisionTransformerConfig { Width = 192, Depth = 12, Heads = 3, FeedForwardWidth = 768 }, new ViewOptions { GlobalSizePixels = 96, LocalSizePixels = 48, LocalCrops = 4 }, 32),
        ($"{ViTS} (D 384), 2×224 + 8×96", (VisionTransformerConfig)Presets.Find("dinov3-vits16").Config, new ViewOptions(), 4),
    ];

    public static void Run(Report report)
    {
        (string source, ImageDataset data) = Source();
        report.Section(
            "Training step",
            $"Images from {source}, one thread of the loader beside {get_num_threads()} of libtorch; heads of 1024 prototypes; {Steps} steps a line after a first one, each line in a process of its own, not in turn. "
            + "Images for each processor second are what one core does, loader and all, whatever else runs; images/s are those of the clock, under the load above. Shares are of the time of a step; \"waiting\" is what the "
            + "training waits for images. \"Loader idle\": the share of the time in which a loader thread with a core of its own has nothing to do, from the processor time of loading alone and of all of the step. MiB: the most that the process held.");
        Line[] lines = [.. Enumerable.Range(0, 2 * Work.Length).Select(i => JsonSerializer.Deserialize<Line>(OwnProcess.Again(OnlyLine, $"{i}"))!)];
        report.Table(
            ["network", "compute", "images a step", "images for each processor second", "images/s", "waiting", "teacher", "student, both passes", "clipping", "optimizer", "moving average", "loading alone, images for each processor second", "loader idle", "MiB"],
            lines.Select(line => line.Cells));
        IReadOnlyList<Goal> steps = StepBenchmark.Run(report, data);
        Line[] small = [.. lines.Where(line => line.Name.StartsWith(ViTS, StringComparison.Ordinal))];
        report.Goals(
            "Data loading counts as hidden if the training waits less than 1 % of the time.",
            [
                .. steps,
                new("optimizer, moving average and clipping, ViT-S", "of the step", 0.04, [.. small.Select(line => line.Update)]) { IsMost = true, IsShare = true },
                new("data loading hidden, ViT-S", "of the step", 0.01, [.. small.Select(line => line.Waiting)]) { IsMost = true, IsShare = true },
            ]);
    }

    /// <summary>What <see cref="OnlyLine"/> does.</summary>
    public static void PrintLine(string number)
    {
        int line = int.Parse(number, CultureInfo.InvariantCulture);
        Console.WriteLine(JsonSerializer.Serialize(Measured(Work[line / 2], line % 2 == 0 ? TrainingComputeType.Float32 : TrainingComputeType.BFloat16)));
    }

    private static Line Measured((string Name, VisionTransformerConfig Backbone, ViewOptions Views, int Batch) work, TrainingComputeType compute)
    {
        ImageDataset data = Source().Data;
        var head = new ProjectionHeadConfig { Prototypes = 1024, HiddenDim = 1024, BottleneckDim = 192 };
        var config = new StudentTeacherConfig { Backbone = work.Backbone, Heads = new HeadsConfig { Dino = head, Ibot = head }, BatchImages = work.Batch, Compute = compute, Steps = 1000 };
        using var learner = new StudentTeacher(config);
        using var loader = new PretrainLoader(data, work.Views, new MaskOptions(), new LoaderOptions { BatchSize = work.Batch, Workers = 1 });
        Step(learner, loader, 0);
        var clock = Stopwatch.StartNew();
        double before = Processor();
        double[][] steps = [.. Enumerable.Range(1, Steps).Select(step => Step(learner, loader, step))];
        double elapsed = clock.Elapsed.TotalSeconds, images = Steps * work.Batch, busy = (Processor() - before) / images;
        long memory = OwnProcess.PeakMebibytes();
        double loading = Alone(data, work.Views, work.Batch);
        string name = $"{work.Name}, {compute}";
        return new(
            name,
            [
                work.Name, compute.ToString(), $"{work.Batch}", Report.Number(1 / busy), Report.Number(images / elapsed), .. Enumerable.Range(0, steps[0].Length).Select(part => Share(steps.Sum(step => step[part]) / elapsed)),
                Report.Number(1 / loading), Share(Math.Max(0, 1 - (loading / (busy - loading)))), $"{memory}",
            ],
            Of(step => step[3] + step[4] + step[5]),
            Of(step => step[0]));

        Reached Of(Func<double[], double> part)
        {
            double[] shares = [.. steps.Select(step => part(step) / step.Sum())];
            return new(name, shares.Min(), Measure.Median(shares));
        }
    }

    // StudentTeacher.Step, taken apart: seconds of waiting, teacher, student, clipping, optimizer, moving average.
    private static double[] Step(StudentTeacher learner, PretrainLoader loader, long step)
    {
        double[] parts = new double[6];
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
        return parts;
    }

    // Processor seconds for each image.
    private static double Alone(ImageDataset data, ViewOptions views, int batch)
    {
        using var loader = new PretrainLoader(data, views, new MaskOptions(), new LoaderOptions { BatchSize = batch, Workers = 1 });
        loader.Next().Dispose();
        double before = Processor();
        int images = 0;
        for (; Processor() - before < LoadingSeconds; images += batch) loader.Next().Dispose();
        return (Processor() - before) / images;
    }

    private static double Processor() => Environment.CpuUsage.TotalTime.TotalSeconds;

    internal static (string Name, ImageDataset Data) Source()
    {
        string pool = Path.Combine(Report.Root(), "..", "shared", "data", "pretrain");
        return Directory.Exists(pool) ? ("a pool of 128-pixel JPEGs in tar shards", TarShards.Open(pool)) : ("drawn images (`Synthetic:`; the pool of JPEGs in ../shared is not there)", ImageDataset.Open("Synthetic:"));
    }

    private static string Share(double value) => value.ToString("P1", CultureInfo.InvariantCulture);

    private sealed record Line(string Name, string[] Cells, Reached Update, Reached Waiting);
}
