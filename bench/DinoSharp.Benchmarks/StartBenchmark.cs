using System.Diagnostics;
using DinoSharp.Backbones;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>What a user waits for before the first number: the start of the tool, and the loading of weights.</summary>
internal static class StartBenchmark
{
    /// <summary>Argument that makes this program load libtorch and end.</summary>
    public const string OnlyLibtorch = "--only-libtorch";

    /// <summary>Argument that makes this program embed a picture with a file of weights and say what that took of memory.</summary>
    public const string OnlyMemory = "--only-memory";

    public static void Run(Report report)
    {
        string folder = Directory.CreateTempSubdirectory("dinosharp-bench-").FullName;
        try
        {
            Start(report, folder);
            Load(report, folder);
            Memory(report, folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Loads a model, embeds a picture, prints the peak of the resident memory in bytes.</summary>
    public static void EmbedOnce(string file)
    {
        using (DinoModel model = DinoModel.Load(file)) model.Embed(Picture);
        Console.WriteLine(Process.GetCurrentProcess().PeakWorkingSet64);
    }

    private static string Picture => Path.Combine(Report.Root(), "samples", "images", "still-life.jpg");

    private static void Start(Report report, string folder)
    {
        string tool = Path.Combine(Report.Root(), "src", "DinoSharp.Cli", "bin", "Release", "publish", "dino.dll");
        if (!File.Exists(tool)) throw new DinoSharpException($"{tool} is not there; bench/run builds it");
        string weights = Write("dinov3-vits16", ScalarType.Float32, folder), result = Path.Combine(folder, "one.npy");
        Subject[] subjects =
        [
            new("a program that makes one tensor", () => Dotnet(Path.Combine(AppContext.BaseDirectory, "DinoSharp.Benchmarks.dll"), OnlyLibtorch)),
            new("dino --version", () => Dotnet(tool, "--version")),
            new("dino embed one.jpg (dino-tiny, the default)", () => Dotnet(tool, "embed", Picture, "--out", result, "--overwrite")),
            new("dino embed one.jpg --model dinov3-vits16 (86 MB)", () => Dotnet(tool, "embed", Picture, "--model", weights, "--out", result, "--overwrite")),
        ];
        IReadOnlyList<Timing> times = Measure.Interleaved(8, subjects);
        report.Section("Start", "Whole processes from start to end with warm file caches, in turn. Milliseconds; the ratios are best to best and median to median.");
        report.Table(["", "best", "median", "of loading libtorch, best", "median"], subjects.Select((subject, i) =>
            new[] { subject.Name, Report.Number(times[i].Best), Report.Number(times[i].Median), Report.Number(times[i].Best / times[0].Best), Report.Number(times[i].Median / times[0].Median) }));
    }

    private static void Load(Report report, string folder)
    {
        report.Section("Loading", "`DinoModel.Load` (reading, checking, converting to float32, packing for the kernels) against reading the same file from start to end in pieces of 4 MiB. "
            + "Cold: the system was told to forget the file before each round (`posix_fadvise`); what lies below the system, such as the cache of a virtual machine's host, cannot be told. The share is best to best.");
        var rows = new List<string[]>();
        foreach ((string preset, ScalarType type) in new[] { ("dinov3-vits16", ScalarType.Float32), ("dinov3-vitb16", ScalarType.Float32), ("dinov3-vitl16", ScalarType.BFloat16) })
        {
            string file = Write(preset, type, folder);
            double megabytes = new FileInfo(file).Length / 1e6;
            byte[] buffer = new byte[4 << 20];
            foreach (bool cold in OperatingSystem.IsLinux() ? new[] { true, false } : [false])
            {
                double[] reading = new double[6], loading = new double[6];
                for (int round = -1; round < reading.Length; round++)
                {
                    double read = Time(() => Read(file, buffer)), load = Time(() => DinoModel.Load(file).Dispose());
                    if (round >= 0) (reading[round], loading[round]) = (read, load); // the first round warms up
                }

                rows.Add([$"{preset}, {type}", cold ? "cold" : "warm", Report.Number(megabytes), Rate(reading.Min()), Rate(reading.Order().ElementAt(3)), Rate(loading.Min()), Rate(loading.Order().ElementAt(3)), Report.Number(reading.Min() / loading.Min())]);

                double Time(Action work)
                {
                    if (cold) FileCache.Forget(file);
                    long start = Stopwatch.GetTimestamp();
                    work();
                    return Stopwatch.GetElapsedTime(start).TotalSeconds;
                }

                string Rate(double seconds) => Report.Number(megabytes / seconds);
            }
        }

        report.Table(["network", "file cache", "MB", "read MB/s, best", "median", "load MB/s, best", "median", "share"], rows);
    }

    private static void Memory(Report report, string folder)
    {
        report.Section("Memory", "Peak of the resident memory of a process that loads a network and embeds one picture in float32: the libraries (about 0.2 GB), the weights twice (for libtorch and packed for our kernels), and buffers.");
        var rows = new List<string[]>();
        foreach ((string preset, ScalarType type) in new[] { ("dino-tiny", ScalarType.Float32), ("dinov3-vits16", ScalarType.Float32), ("dinov3-vitb16", ScalarType.Float32), ("dinov3-vitl16", ScalarType.BFloat16) })
        {
            string file = preset == "dino-tiny" ? preset : Write(preset, type, folder);
            double bytes = double.Parse(Dotnet(Path.Combine(AppContext.BaseDirectory, "DinoSharp.Benchmarks.dll"), OnlyMemory, file), System.Globalization.CultureInfo.InvariantCulture);
            rows.Add([preset, Report.Number(bytes / 1e6)]);
        }

        report.Table(["network", "MB"], rows);
    }

    private static string Write(string preset, ScalarType type, string folder)
    {
        string file = Path.Combine(folder, $"{preset}.safetensors");
        if (File.Exists(file)) return file;
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using Backbone network = Backbone.Create(Presets.Find(preset).Config);
        network.Initialize(new Generator(0));
        SafetensorsWriter.Write(file, network.state_dict().Select(pair => new KeyValuePair<string, Tensor>(pair.Key, pair.Value.to(type))));
        return file;
    }

    private static void Read(string file, byte[] buffer)
    {
        using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, 0, FileOptions.SequentialScan);
        while (stream.Read(buffer) > 0)
        {
        }
    }

    private static string Dotnet(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true }) ?? throw new DinoSharpException("dotnet does not start");
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new DinoSharpException($"{string.Join(' ', arguments)} ended with {process.ExitCode}: {error}{output.Result}");
        return output.Result;
    }
}
