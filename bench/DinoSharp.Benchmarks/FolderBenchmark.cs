using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Benchmarks;

/// <summary><c>dino embed FOLDER</c>: what the pipeline of decoding and computing reaches, beside each of the two alone.</summary>
internal static class FolderBenchmark
{
    private const int Batch = 8;

    private static readonly (int Width, int Height, int Count)[] Sizes = [(640, 480, 64), (4000, 3000, 32)];

    public static void Run(Report report)
    {
        string folder = Directory.CreateTempSubdirectory("dinosharp-bench-").FullName;
        try
        {
            report.Section("Folders of pictures", $"Drawn pictures, best / median in images per second, batches of {Batch}, float32. Decoding (resizing and normalising included) is the pipeline with a network that does nothing; the model alone "
                + "gets pictures that are decoded already and has all processors, of which it gives some up in the pipeline. "
                + $"A pipeline that reaches the smaller of the two numbers is as fast as it can be; the first batch is decoded before anything can be computed, though. All of one network in turn. {Measure.Words}");
            ImageSource[][] pictures = [.. Sizes.Select(size => Write(folder, size.Width, size.Height, size.Count).ToArray())];
            report.Table(
                ["pictures", "network", "decoding alone", "model alone", "pipeline", "repetitions", "of the slower one, by the medians", "bound by"],
                new[] { "dino-tiny", "random:vits16" }.SelectMany(name => Rows(name, pictures)).ToArray());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<string[]> Rows(string name, ImageSource[][] pictures)
    {
        using DinoModel model = DinoModel.Load(name);
        var options = new EmbedOptions { BatchSize = Batch };
        ImageTensor[] inputs = [.. pictures[0][..Batch].Select(picture => model.Preprocessing.Load(picture))];
        int passes = pictures[0].Length / Batch;
        var subjects = new List<Subject> { new("model", () => Enumerable.Range(0, passes).Select(_ => model.Embed(inputs, options)).Count(vectors => vectors.Length > 0)) };
        foreach (ImageSource[] some in pictures)
        {
            subjects.Add(new("decoding", () => Decoding(model).Run(some.Chunk(Batch), default).Count(batch => batch.Count > 0)));
            subjects.Add(new("pipeline", () => model.EmbedBatches(some.Chunk(Batch), options, default).Count(batch => batch.Count > 0)));
        }

        IReadOnlyList<Timing> times = Measure.Interleaved(0, subjects);
        foreach (ImageTensor input in inputs) input.Dispose();
        for (int i = 0; i < pictures.Length; i++)
        {
            (Timing decoding, Timing both) = (times[1 + (2 * i)], times[2 + (2 * i)]);
            int count = pictures[i].Length, computed = passes * Batch;
            double slower = Math.Min(count / decoding.Median, computed / times[0].Median);
            yield return
            [
                $"{count} JPEGs of {Sizes[i].Width}×{Sizes[i].Height}", name, Rate(count, decoding), Rate(computed, times[0]), Rate(count, both), $"{both.Count}",
                Report.Number(count / both.Median / slower), count / decoding.Median < computed / times[0].Median ? "decoding" : "the model",
            ];
        }

        static string Rate(int images, Timing time) => $"{Report.Number(1000 * images / time.Best)} / {Report.Number(1000 * images / time.Median)}";
    }

    // As DinoModel.EmbedBatches decodes.
    private static EmbeddingPipeline<ImageSource> Decoding(DinoModel model) =>
        new(picture => picture.Name, picture => model.Preprocessing.Apply(ImageFile.Read(picture)), inputs => [.. inputs.Select(_ => Array.Empty<float>())]);

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
