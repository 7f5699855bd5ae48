using DinoSharp.Benchmarks;

// Each benchmark is a name here and a file beside this one; it writes its results to bench/results/<processor>/<name>.md.
var benchmarks = new Dictionary<string, Action<Report>>
{
    ["forward"] = ForwardBenchmark.Run,
    ["heads"] = HeadBenchmark.Run,
    ["images"] = ImageBenchmark.Run,
    ["views"] = ViewsBenchmark.Run,
};

if (args.Length == 0 || args.Any(name => !benchmarks.ContainsKey(name)))
{
    Console.Error.WriteLine($"usage: dotnet run -c Release --project bench/DinoSharp.Benchmarks -- NAME…   names: {string.Join(", ", benchmarks.Keys)}");
    return 2;
}

foreach (string name in args)
{
    var report = new Report(name);
    benchmarks[name](report);
    Console.WriteLine($"written: {report.Save()}");
}

return 0;
