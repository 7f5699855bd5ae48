using DinoSharp.Benchmarks;
using static TorchSharp.torch;

// What is measured in a process of its own; see OwnProcess.
switch (args)
{
    case [StartBenchmark.OnlyLibtorch]:
        zeros(1).Dispose();
        return 0;
    case [StartBenchmark.OnlyMemory, var file]:
        StartBenchmark.EmbedOnce(file);
        return 0;
    case [StepBenchmark.OnlySteps, var way]:
        StepBenchmark.TakeSteps(way);
        return 0;
    case [TrainBenchmark.OnlyLine, var line]:
        TrainBenchmark.PrintLine(line);
        return 0;
    case [BatchBenchmark.OnlyBatch, var preset, var type, var batch, var routes]:
        BatchBenchmark.ComputeOnce(preset, type, batch, routes);
        return 0;
}

// Each benchmark is a name here and a file beside this one; it writes its results to bench/results/<processor>/<name>.md.
var benchmarks = new Dictionary<string, Action<Report>>
{
    ["convnext"] = ForwardBenchmark.RunConvNeXt,
    ["folder"] = FolderBenchmark.Run,
    ["forward"] = ForwardBenchmark.Run,
    ["forward-rest"] = ForwardBenchmark.RunRest,
    ["heads"] = HeadBenchmark.Run,
    ["images"] = ImageBenchmark.Run,
    ["start"] = StartBenchmark.Run,
    ["train"] = TrainBenchmark.Run,
    ["views"] = ViewsBenchmark.Run,
};

if (args.Length == 0 || args.Any(name => !benchmarks.ContainsKey(name)))
{
    Console.Error.WriteLine($"usage: bench/run NAME…   names: {string.Join(", ", benchmarks.Keys)}");
    return 2;
}

foreach (string name in args)
{
    var report = new Report(name);
    benchmarks[name](report);
    Console.WriteLine($"written: {report.Save()}");
}

return 0;
