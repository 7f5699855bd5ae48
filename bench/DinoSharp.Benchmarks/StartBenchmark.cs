using System.Diagnostics;
using DinoSharp.Weights;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>What a user waits for before the first number: the start of the tool, and the loading of weights.</summary>
internal static class StartBenchmark
{
    /// <summary>Argument that makes this program load libtorch and end.</summary>
    public const string OnlyLibtorch = "--only-libtorch";

    public static void Run(Report report)
    {
        string folder = Directory.CreateTempSubdirectory("dinosharp-bench-").FullName;
        try
        {
            Start(report, folder);
            Load(report, folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Start(Report report, string folder)
    {
        string root = Report.Root(), tool = Path.Combine(root, "src", "DinoSharp.Cli", "bin", "Release", "publish", "dino.dll"), picture = Path.Combine(root, "samples", "images", "still-life.jpg");
        if (!File.Exists(tool)) throw new DinoSharpException($"{tool} is not there; bench/run builds it");
        string weights = Write("dinov3-vits16", folder);
        IReadOnlyList<Timing> times = Measure.Interleaved(
            8,
            new Subject("a program that makes one tensor", () => Dotnet(Path.Combine(AppContext.BaseDirectory, "DinoSharp.Benchmarks.dll"), OnlyLibtorch)),
            new Subject("dino --version", () => Dotnet(tool, "--version")),
            new Subject("dino embed one.jpg", () => Dotnet(tool, "embed", picture, "--model", weights, "--out", Path.Combine(folder, "one.npy"), "--overwrite")));
        report.Section("Start", "Whole processes with warm file caches; ViT-S in float32 from an 86 MB safetensors file. Milliseconds.");
        report.Table(["", "best", "median", "of loading libtorch"], new[] { "a program that makes one tensor", "dino --version", "dino embed one.jpg" }.Select((name, i) =>
            new[] { name, Report.Number(times[i].Best), Report.Number(times[i].Median), Report.Number(times[i].Median / times[0].Median) }));
    }

    private static void Load(Report report, string folder)
    {
        var rows = new List<string[]>();
        foreach (string preset in new[] { "dinov3-vits16", "dinov3-vitb16" })
        {
            string file = Write(preset, folder);
            double megabytes = new FileInfo(file).Length / 1e6;
            byte[] buffer = new byte[1 << 20];
            IReadOnlyList<Timing> times = Measure.Interleaved(3, new Subject("read", () => Read(file, buffer)), new Subject("load", () => DinoModel.Load(file).Dispose()));
            rows.Add([preset, Report.Number(megabytes), Report.Number(1000 * megabytes / times[0].Best), Report.Number(1000 * megabytes / times[1].Best), (times[0].Best / times[1].Best).ToString("P0", System.Globalization.CultureInfo.InvariantCulture)]);
        }

        report.Section("Loading", "`DinoModel.Load` (reading, checking, packing for the kernels) against reading the same file in pieces of 1 MiB. The file cache is warm: a disk would slow the reading, not the rest.");
        report.Table(["network", "MB", "read MB/s", "load MB/s", "share"], rows);
    }

    private static string Write(string preset, string folder)
    {
        string file = Path.Combine(folder, $"{preset}.safetensors");
        if (File.Exists(file)) return file;
        using var scope = NewDisposeScope();
        using DinoModel model = DinoModel.Load($"random:{preset}");
        SafetensorsWriter.Write(file, model.Backbone.state_dict());
        return file;
    }

    private static void Read(string file, byte[] buffer)
    {
        using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read, 0);
        while (stream.Read(buffer) > 0)
        {
        }
    }

    private static void Dotnet(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true }) ?? throw new DinoSharpException("dotnet does not start");
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0) throw new DinoSharpException($"{string.Join(' ', arguments)} ended with {process.ExitCode}: {error}{output.Result}");
    }
}
