using System.Diagnostics;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Benchmarks;

/// <summary><c>dino embed FOLDER</c>: what the pipeline of decoding and computing reaches, beside each of the two alone.</summary>
internal static class FolderBenchmark
{
    private const int Batch = 8, Rounds = 3;

    public static void Run(Report report)
    {
        string folder = Directory.CreateTempSubdirectory("dinosharp-bench-").FullName;
        try
        {
            report.Section("Folders of pictures", $"Best of {Rounds} rounds in turn, images per second, batches of {Batch}, float32. Decoding includes resizing and normalising and has half of the processors, as in the pipeline; "
                + "the model has all of them, and gives some up in the pipeline. A pipeline that reaches the smaller of the two numbers is as fast as it can be.");
            var rows = new List<string[]>();
            foreach ((int width, int height, int count) in new[] { (640, 480, 64), (4000, 3000, 16) })
            {
                ImageSource[] pictures = [.. Write(folder, width, height, count)];
                foreach (string name in new[] { "dino-tiny", "random:vits16" })
                {
                    using DinoModel model = DinoModel.Load(name);
                    rows.Add([$"{count} JPEGs of {width}×{height}", name, .. Measured(model, pictures)]);
                }
            }

            report.Table(["pictures", "network", "decoding alone", "model alone", "pipeline", "of the slower one", "bound by"], rows);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string[] Measured(DinoModel model, ImageSource[] pictures)
    {
        var options = new EmbedOptions { BatchSize = Batch };
        var half = new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, Environment.ProcessorCount / 2) };
        ImageTensor[] inputs = [.. pictures[..Batch].Select(picture => model.Preprocessing.Load(picture))];
        double decoding = 0, computing = 0, both = 0;
        model.Embed(inputs, options);
        for (int round = 0; round < Rounds; round++)
        {
            decoding = Math.Max(decoding, Rate(() => Parallel.ForEach(pictures, half, picture => model.Preprocessing.Load(picture).Dispose())));
            computing = Math.Max(computing, Rate(() =>
            {
                for (int i = 0; i < pictures.Length; i += Batch) model.Embed(inputs, options);
            }));
            both = Math.Max(both, Rate(() => model.EmbedBatches(pictures.Chunk(Batch), options, default).Count()));
        }

        foreach (ImageTensor input in inputs) input.Dispose();
        double slower = Math.Min(decoding, computing);
        return [Report.Number(decoding), Report.Number(computing), Report.Number(both), Report.Number(both / slower), decoding < computing ? "decoding" : "the model"];

        double Rate(Action run)
        {
            long start = Stopwatch.GetTimestamp();
            run();
            return pictures.Length / Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }

    // Pictures that differ, so that nothing can be remembered from one to the next.
    private static IEnumerable<ImageSource> Write(string folder, int width, int height, int count)
    {
        byte[] pixels = new byte[width * height * 3];
        var random = new Random(1);
        for (int at = 0; at < pixels.Length; at++)
        {
            int x = at / 3 % width, y = at / 3 / width, c = at % 3;
            pixels[at] = (byte)(128 + (60 * Math.Sin((x + (30 * c)) * 0.02)) + (40 * Math.Cos((y * 0.11) + (x * 0.003 * c))) + random.Next(-12, 13));
        }

        for (int i = 0; i < count; i++)
        {
            pixels = [.. pixels[(width * 3 * 7)..], .. pixels[..(width * 3 * 7)]]; // seven rows further down
            string file = Path.Combine(folder, $"{width}-{i:00}.jpg");
            ImageBuffer.FromSamples<byte>(width, height, 3, pixels).Save(file, 90);
            yield return ImageSource.FromPath(file);
        }
    }
}
