using System.Diagnostics;
using DinoSharp.Training.Data;
using DinoSharp.Training.Data.Synthetic;
using DinoSharp.Training.Views;

namespace DinoSharp.Benchmarks;

/// <summary>Images → views → batches: what the training can be fed with; and the synthetic world alone.</summary>
internal static class ViewsBenchmark
{
    private const double Seconds = 6;

    private static readonly (string Name, ViewOptions Views, int Batch)[] Settings =
    [
        ("2×112 + 6×48", new ViewOptions { GlobalSizePixels = 112, LocalSizePixels = 48, LocalCrops = 6 }, 32),
        ("2×224 + 8×96", new ViewOptions(), 16),
    ];

    public static void Run(Report report)
    {
        (string Name, ImageDataset Data)[] sources = [.. Sources()];
        report.Section("Loader", "`PretrainLoader.Next` as fast as it goes, after a first batch. The processor time of all threads is counted: images for each CPU second is what one core does "
            + "when nothing else runs. \"waited\" is the share of the time in which the caller waited; here it does nothing else."
            + (sources.Length < 3 ? " The pool of JPEGs or the photographs of the shared folder (../shared/data) are not there and left out." : ""));
        var rows = new List<string[]>();
        foreach ((string name, ImageDataset data) in sources)
        {
            foreach ((string crops, ViewOptions views, int batch) in Settings)
            {
                foreach (int workers in new[] { 1, Environment.ProcessorCount }.Distinct()) rows.Add([name, crops, $"{workers}", .. Load(data, views, batch, workers)]);
            }
        }

        report.Table(["images", "views of each", "workers", "images/s", "crops/minute", "images per CPU second", "waited"], rows);
        Worlds(report);
    }

    private static IEnumerable<(string, ImageDataset)> Sources()
    {
        string pool = Path.Combine(Report.Root(), "..", "shared", "data", "pretrain");
        if (Directory.Exists(pool)) yield return ("pool of 128-pixel JPEGs in tar shards", TarShards.Open(pool));
        string photos = Path.Combine(Report.Root(), "..", "shared", "data", "detection", "coco");
        if (Directory.Exists(photos)) yield return ("photographs of up to 512 pixels", ImageFolder.Open(photos, labelled: false));
        yield return ("Synthetic:, 256 pixels", new SyntheticDataset());
    }

    private static string[] Load(ImageDataset data, ViewOptions views, int batch, int workers)
    {
        using var loader = new PretrainLoader(data, views, new MaskOptions(), new LoaderOptions { BatchSize = batch, Workers = workers });
        for (int i = 0; i < 3; i++) loader.Next().Dispose(); // compiled
        TimeSpan cpu = Environment.CpuUsage.TotalTime;
        LoaderReport before = loader.Report();
        var clock = Stopwatch.StartNew();
        int images = 0;
        for (; clock.Elapsed.TotalSeconds < Seconds; images += batch) loader.Next().Dispose();
        double seconds = clock.Elapsed.TotalSeconds, cpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
        LoaderReport after = loader.Report();
        int crops = 2 + views.LocalCrops;
        return [Report.Number(images / seconds), Report.Number(images * crops * 60 / seconds), Report.Number(images / cpuSeconds), Report.Number((after.Waited - before.Waited).TotalSeconds / seconds)];
    }

    private static void Worlds(Report report)
    {
        report.Section("Synthetic world", "Pictures drawn by one thread; \"with truth\" also collects masks, boxes and depth. Classes come in turn, so that every kind of scene has its share.");
        var rows = new List<string[]>();
        foreach (int size in (int[])[128, 256, 512])
        {
            var world = new SyntheticWorld(new SyntheticOptions { Width = size, Height = size });
            foreach ((string what, Action<long> draw) in ((string, Action<long>)[])[("picture", i => world.DrawPicture(i)), ("with truth", i => world.Draw(i))])
            {
                long index = 0;
                for (; index < 80; index++) draw(index);
                TimeSpan cpu = Environment.CpuUsage.TotalTime;
                var clock = Stopwatch.StartNew();
                long first = index;
                for (; clock.Elapsed.TotalSeconds < Seconds / 2 || (index - first) % 40 != 0; index++) draw(index);
                double cpuSeconds = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds;
                rows.Add([$"{size} × {size}", what, Report.Number((index - first) / clock.Elapsed.TotalSeconds), Report.Number((index - first) / cpuSeconds)]);
            }
        }

        report.Table(["size", "", "pictures/s", "pictures per CPU second"], rows);
    }
}
