using System.Diagnostics;
using System.Globalization;
using DinoSharp.Backbones;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>What a user waits for before the first number: the start of the tool, and the loading of weights.</summary>
internal static class StartBenchmark
{
    /// <summary>Argument that makes this program load libtorch and end.</summary>
    public const string OnlyLibtorch = "--only-libtorch";

    /// <summary>Argument that makes this program embed a picture with a file of weights and say what that took of memory, in MiB.</summary>
    public const string OnlyMemory = "--only-memory";

    private const int Rounds = 7;

    private const string Largest = "dinov3-vitl16";

    public static void Run(Report report)
    {
        string folder = Directory.CreateTempSubdirectory("dinosharp-bench-").FullName;
        try
        {
            Goal start = Start(report, folder), load = Load(report, folder);
            Memory(report, folder);
            report.Goals("Loading: the cold file of ViT-L, against reading it.", start, load);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Loads a model, embeds a picture, prints the peak of the resident memory in MiB.</summary>
    public static void EmbedOnce(string file)
    {
        using (DinoModel model = DinoModel.Load(file)) model.Embed(Picture);
        Console.WriteLine(OwnProcess.PeakMebibytes().ToString(CultureInfo.InvariantCulture));
    }

    private static string Picture => Path.Combine(Report.Root(), "samples", "images", "still-life.jpg");

    private static Goal Start(Report report, string folder)
    {
        string tool = Path.Combine(Report.Root(), "src", "DinoSharp.Cli", "bin", "Release", "publish", "dino.dll");
        if (!File.Exists(tool)) throw new DinoSharpException($"{tool} is not there; bench/run builds it");
        string weights = Write("dinov3-vits16", ScalarType.Float32, folder), result = Path.Combine(folder, "one.npy");
        Subject[] subjects =
        [
            new("a program that makes one tensor", () => OwnProcess.Again(OnlyLibtorch)),
            new("dino --version", () => OwnProcess.Dotnet(tool, "--version")),
            new("dino embed one.jpg (dino-tiny, the default)", () => OwnProcess.Dotnet(tool, "embed", Picture, "--out", result, "--overwrite")),
            new("dino embed one.jpg --model dinov3-vits16 (86 MB)", () => OwnProcess.Dotnet(tool, "embed", Picture, "--model", weights, "--out", result, "--overwrite")),
        ];
        const int Embed = 2;
        IReadOnlyList<Timing> times = Measure.Interleaved(5, subjects);
        report.Section("Start", $"Whole processes from start to end with warm file caches, in turn. {Measure.Words} Milliseconds; the ratios are best to best and median to median.");
        report.Table(["", "best", "median", "repetitions", "of loading libtorch, best", "median"], subjects.Select((subject, i) =>
            new[] { subject.Name, Report.Number(times[i].Best), Report.Number(times[i].Median), $"{times[i].Count}", Report.Number(times[i].Best / times[0].Best), Report.Number(times[i].Median / times[0].Median) }));
        return new("`dino embed one.jpg` with the small default", "times loading libtorch alone", 1.5, [new(subjects[Embed].Name, times[Embed].Best / times[0].Best, times[Embed].Median / times[0].Median)]) { IsMost = true };
    }

    private static Goal Load(Report report, string folder)
    {
        report.Section("Loading", $"`DinoModel.Load` (reading, checking, converting to float32, packing for the kernels) against reading the same file from start to end in pieces of 4 MiB. "
            + $"Cold: the system was told to forget the file before each round (`posix_fadvise`); what lies below the system, such as the cache of a virtual machine's host, cannot be told. The share is best to best / median to median of {Rounds} rounds after a first.");
        var rows = new List<string[]>();
        var reached = new List<Reached>();
        foreach ((string preset, ScalarType type) in new[] { ("dinov3-vits16", ScalarType.Float32), ("dinov3-vitb16", ScalarType.Float32), (Largest, ScalarType.BFloat16) })
        {
            string file = Write(preset, type, folder);
            double megabytes = new FileInfo(file).Length / 1e6;
            byte[] buffer = new byte[4 << 20];
            foreach (bool cold in OperatingSystem.IsLinux() ? new[] { true, false } : [false])
            {
                double[] reading = new double[Rounds], loading = new double[Rounds];
                for (int round = -1; round < reading.Length; round++)
                {
                    double read = Time(() => Read(file, buffer)), load = Time(() => DinoModel.Load(file).Dispose());
                    if (round >= 0) (reading[round], loading[round]) = (read, load); // the first round warms up
                }

                Reached share = new($"{preset}, {type}", reading.Min() / loading.Min(), Measure.Median(reading) / Measure.Median(loading));
                if (cold && preset == Largest) reached.Add(share);
                rows.Add([share.Row, cold ? "cold" : "warm", Report.Number(megabytes), Rate(reading.Min()), Rate(Measure.Median(reading)), Rate(loading.Min()), Rate(Measure.Median(loading)), $"{Report.Number(share.Best)} / {Report.Number(share.Median)}"]);

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
        return new("loading ViT-L in bfloat16", "of the disk's sequential read", 0.7, reached) { IsShare = true };
    }

    private static void Memory(Report report, string folder)
    {
        report.Section("Memory", "Peak of the resident memory of a process that loads a network and embeds one picture in float32: the libraries (about 0.2 GB), the packed weights, and buffers.");
        var rows = new List<string[]>();
        foreach ((string preset, ScalarType type) in new[] { ("dino-tiny", ScalarType.Float32), ("dinov3-vits16", ScalarType.Float32), ("dinov3-vitb16", ScalarType.Float32), ("dinov3-vitl16", ScalarType.BFloat16) })
        {
            string file = preset == "dino-tiny" ? preset : Write(preset, type, folder);
            rows.Add([preset, OwnProcess.Again(OnlyMemory, file)]);
        }

        report.Table(["network", "MiB"], rows);
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
}
