using System.Diagnostics;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Inference;
using DinoSharp.Layers;
using DinoSharp.Training.Data;
using DinoSharp.Training.Pretraining;
using DinoSharp.Training.Views;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>One training step of ViT-S in four ways, in turn on the same batches: as one writes it at first, ours with libtorch's products, ours as the library chooses them, ours in bfloat16.</summary>
internal static class StepBenchmark
{
    /// <summary>Argument that makes this program take two steps in one way, named by the next argument, and print its highest memory in MiB.</summary>
    public const string OnlySteps = "--only-steps";

    private const int Images = 4, MostRounds = 6;

    private const double Seconds = 60;

    private static readonly string[] Ways = ["plain", "ours, products by libtorch", "ours, Float32", "ours, BFloat16"];

    public static void Run(Report report, ImageDataset data)
    {
        PretrainBatch[] batches = Batches(data, MostRounds + 1);
        Stepper[] steppers = [.. Ways.Select(Create)];
        var wall = Ways.Select(_ => new List<double>()).ToArray();
        var work = Ways.Select(_ => new List<double>()).ToArray();
        double[][] losses = [.. Ways.Select(_ => new double[batches.Length])];
        var clock = Stopwatch.StartNew();
        int rounds = 0;
        for (; rounds <= 3 || (rounds <= MostRounds && clock.Elapsed.TotalSeconds < Seconds); rounds++)
        {
            for (int way = 0; way < Ways.Length; way++)
            {
                (double before, long start) = (Processor(), Stopwatch.GetTimestamp());
                losses[way][rounds] = steppers[way].Step(batches[rounds], rounds);
                if (rounds == 0) continue; // cold code
                wall[way].Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
                work[way].Add(Processor() - before);
            }
        }

        foreach (Stepper stepper in steppers) stepper.Dispose();
        foreach (PretrainBatch batch in batches) batch.Dispose();
        report.Section(
            "One step, in turn",
            $"ViT-S, 2×224 + 8×96, {Images} images, heads of 1024 prototypes, {get_num_threads()} threads, {rounds - 1} rounds after a first, every way on the same batches; no loading. \"Plain\": all products by libtorch, the patch head over all patches and the hidden "
            + "ones chosen afterwards, AdamW of TorchSharp and the moving average tensor by tensor. Ratios: plain to this, by the medians of the clock and of the processor time of all threads (which other work on the machine disturbs less). "
            + "Loss: relative difference to plain at the first step, and the largest in all steps. MiB: highest memory of a process of its own that takes two steps.");
        report.Table(
            ["way", "seconds, best / median", "processor seconds, best / median", "ratio by the clock", "ratio by processor time", "loss, first / largest difference", "MiB"],
            Ways.Select((name, way) => new[]
            {
                name, $"{Number(wall[way].Min())} / {Number(Median(wall[way]))}", $"{Number(work[way].Min())} / {Number(Median(work[way]))}",
                Number(Median(wall[0]) / Median(wall[way])), Number(Median(work[0]) / Median(work[way])),
                $"{Difference(way, 0):E1} / {Enumerable.Range(0, rounds).Max(step => Difference(way, step)):E1}", Memory(name),
            }));

        double Difference(int way, int step) => Math.Abs((losses[way][step] / losses[0][step]) - 1);
    }

    /// <summary>What <see cref="OnlySteps"/> does.</summary>
    public static void TakeSteps(string way)
    {
        PretrainBatch[] batches = Batches(TrainBenchmark.Source().Data, 2);
        using Stepper stepper = Create(way);
        for (int step = 0; step < batches.Length; step++) stepper.Step(batches[step], step);
        using var process = Process.GetCurrentProcess();
        Console.WriteLine((process.PeakWorkingSet64 >> 20).ToString(CultureInfo.InvariantCulture));
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
            Compute = way == Ways[3] ? TrainingComputeType.BFloat16 : TrainingComputeType.Float32,
        };
        var learner = new StudentTeacher(config);
        if (way == Ways[0])
        {
            using (learner)
            {
                var plain = new PlainStep(config, learner);
                return new Stepper(plain.Step, plain);
            }
        }

        foreach (PretrainNetwork network in new[] { learner.StudentNetwork, learner.TeacherNetwork }) TileLinear.Use(network, way != Ways[1] && ProductChoice.OnTiles);
        return new Stepper((batch, step) => learner.Step(batch, step).Losses.Total, learner);
    }

    private static string Memory(string way)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "DinoSharp.Benchmarks.dll"), OnlySteps, way]) { RedirectStandardOutput = true }) ?? throw new DinoSharpException("dotnet does not start");
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output.Trim() : throw new DinoSharpException($"a process with one {way} step ended with {process.ExitCode}");
    }

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static double Processor() => Environment.CpuUsage.TotalTime.TotalSeconds;

    private static string Number(double value) => value.ToString("F2", CultureInfo.InvariantCulture);

    private sealed record Stepper(Func<PretrainBatch, long, double> Step, IDisposable Owner) : IDisposable
    {
        public void Dispose() => Owner.Dispose();
    }
}
