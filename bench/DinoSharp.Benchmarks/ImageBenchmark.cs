using DinoSharp.Images;
using static TorchSharp.torch;

namespace DinoSharp.Benchmarks;

/// <summary>Image file → model input: the whole path, its parts, and the parts against libtorch's kernels.</summary>
internal static class ImageBenchmark
{
    private const double Seconds = 0.3;

    private static readonly (string Name, Preprocessing How)[] Ways =
    [
        ("224 float bilinear (Hugging Face)", Preprocessing.HuggingFace),
        ("256 → 224 uint8 bicubic (evaluation)", Preprocessing.Evaluation),
        ("768 high, Pillow bilinear (notebooks)", Preprocessing.Notebook),
        ("768 × 768 float bilinear", Preprocessing.HuggingFace with { Size = SizePolicy.Square(768) }),
    ];

    public static void Run(Report report)
    {
        int threads = get_num_threads();
        set_num_threads(1); // for libtorch's resizing, beside ours on one thread
        try
        {
            (string Name, byte[] File)[] pictures = [.. Pictures()];
            WholePath(report, pictures);
            Parts(report, pictures);
            Batches(report, pictures);
            Resizing(report);
            Distortions(report);
        }
        finally
        {
            set_num_threads(threads);
        }
    }

    // A 12-megapixel photograph if the shared data is there, else a drawn picture of that size; and the same at 640 × 480.
    private static IEnumerable<(string, byte[])> Pictures()
    {
        string photo = Path.Combine(Report.Root(), "..", "shared", "data", "highres", "canal_town.jpg");
        ImageBuffer large = File.Exists(photo) ? ImageFile.Read(photo) : Drawn(4000, 3000);
        string what = File.Exists(photo) ? "photo" : "drawn, the photograph of the shared folder is not there";
        byte[] small = new byte[640 * 480 * 3];
        Resize.UInt8(large.Bytes, large.Width, large.Height, 3, new(0, 0, large.Width, large.Height), small, 640, 480, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        yield return ($"640×480 JPEG ({what})", Encode(ImageBuffer.FromSamples<byte>(640, 480, 3, small)));
        yield return ($"{large.Width}×{large.Height} JPEG ({what})", File.Exists(photo) ? File.ReadAllBytes(photo) : Encode(large));

        static byte[] Encode(ImageBuffer image)
        {
            string file = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.jpg");
            image.Save(file, 90);
            byte[] bytes = File.ReadAllBytes(file);
            File.Delete(file);
            return bytes;
        }
    }

    private static void WholePath(Report report, (string Name, byte[] File)[] pictures)
    {
        report.Section("Whole path, one image at a time", "File content → decoded → resized → normalised tensor, called from one thread. "
            + $"CPU counts the threads of the native decoder, too; images for each CPU second is what one core does when all are busy. {Measure.Words}");
        foreach ((string name, byte[] file) in pictures)
        {
            Subject[] subjects = [.. Ways.Select(way => new Subject(way.Name, () => way.How.Load(ImageSource.FromBytes(file)).Dispose()))];
            IReadOnlyList<Timing> times = Measure.Interleaved(Seconds, subjects);
            report.Section(name, "");
            report.Table(["to", "best ms", "median ms", "images/s", "CPU ms", "images per CPU second"], subjects.Zip(times, (s, t) => new[]
            {
                s.Name, Report.Number(t.Best), Report.Number(t.Median), Report.Number(1000 / t.Median), Report.Number(t.Cpu), Report.Number(1000 / t.Cpu),
            }));
        }
    }

    private static void Parts(Report report, (string Name, byte[] File)[] pictures)
    {
        report.Section("Its parts", "Best of interleaved repetitions in ms. Resizing and normalising: what the whole from decoded pixels takes, and resizing alone.");
        var rows = new List<string[]>();
        foreach ((string name, byte[] file) in pictures)
        {
            ImageBuffer decoded = ImageFile.Read(file);
            foreach ((string way, Preprocessing how) in Ways)
            {
                (int w, int h) = Size(how, decoded);
                byte[] bytes = new byte[w * h * 3];
                float[] floats = new float[w * h * 3];
                var all = new PixelWindow(0, 0, decoded.Width, decoded.Height);
                var resize = new Subject("resize", () =>
                {
                    if (how.Order == ResizeOrder.ScaleThenResize) Resize.Float(decoded.Bytes, decoded.Width, decoded.Height, 3, all, floats, w, h, how.Interpolation);
                    else Resize.UInt8(decoded.Bytes, decoded.Width, decoded.Height, 3, all, bytes, w, h, how.Interpolation, how.Order == ResizeOrder.PillowThenScale ? ResizeArithmetic.Pillow : ResizeArithmetic.Tensor);
                });
                IReadOnlyList<Timing> t = Measure.Interleaved(
                    Seconds, new Subject("decode", () => ImageFile.Read(file)), resize, new Subject("apply", () => how.Apply(decoded).Dispose()));
                rows.Add([name, way, Report.Number(t[0].Best), Report.Number(t[1].Best), Report.Number(Math.Max(0, t[2].Best - t[1].Best)), Report.Number(t[0].Best + t[2].Best)]);
            }
        }

        report.Table(["picture", "to", "decode", "resize", "crop, normalise, tensor", "sum"], rows);
    }

    private static (int Width, int Height) Size(Preprocessing how, ImageBuffer image)
    {
        using ImageTensor tensor = how.Apply(image);
        return ((int)Math.Round(image.Width / tensor.Geometry.ScaleX), (int)Math.Round(image.Height / tensor.Geometry.ScaleY));
    }

    private static void Batches(Report report, (string Name, byte[] File)[] pictures)
    {
        report.Section("Many images", $"`Preprocessing.LoadAll`, {Ways[0].Name}, images per second at the median, for so many at once; in turn.");
        int[] threads = [.. new[] { 1, 2, 4, 8, 16, 32, 64 }.Where(n => n <= Environment.ProcessorCount)];
        var rows = new List<string[]>();
        foreach ((string name, byte[] file) in pictures)
        {
            int count = file.Length > 500_000 ? 16 : 150;
            IReadOnlyList<Timing> times = Measure.Interleaved(Seconds, [.. threads.Select(n => new Subject($"{n}", () =>
            {
                foreach (LoadedImage loaded in Ways[0].How.LoadAll(Enumerable.Repeat(ImageSource.FromBytes(file), count), parallelism: n)) loaded.Dispose();
            }))]);
            rows.Add([name, .. times.Select(time => Report.Number(1000 * count / time.Median))]);
        }

        report.Table(["picture", .. threads.Select(n => $"{n} at once")], rows);
    }

    private static void Resizing(Report report)
    {
        report.Section("Resizing alone, against libtorch", "Decoded RGB, one thread, best of interleaved repetitions in ms. libtorch's uint8 kernel gets channels-last strides, its fast form; "
            + "its float column includes the conversion of the bytes to float, which ours does not need.");
        var rows = new List<string[]>();
        foreach ((int width, int height, int w, int h) in new[] { (640, 480, 224, 224), (640, 480, 768, 768), (3984, 2988, 341, 256) })
        {
            byte[] pixels = Drawn(width, height).Bytes.ToArray(), bytes = new byte[w * h * 3];
            float[] floats = new float[w * h * 3];
            using Tensor planes = tensor(pixels, [height, width, 3]).permute(2, 0, 1); // [3, H, W]
            var all = new PixelWindow(0, 0, width, height);
            foreach (Interpolation how in new[] { Interpolation.Bilinear, Interpolation.Bicubic })
            {
                IReadOnlyList<Timing> t = Measure.Interleaved(
                    Seconds / 2,
                    new Subject("tensor", () => Resize.UInt8(pixels, width, height, 3, all, bytes, w, h, how, ResizeArithmetic.Tensor)),
                    new Subject("libtorch uint8", () => TensorResize.Resize(planes, h, w, how).Dispose()),
                    new Subject("pillow", () => Resize.UInt8(pixels, width, height, 3, all, bytes, w, h, how, ResizeArithmetic.Pillow)),
                    new Subject("float", () => Resize.Float(pixels, width, height, 3, all, floats, w, h, how)),
                    new Subject("libtorch float", () =>
                    {
                        using Tensor converted = planes.to(float32);
                        TensorResize.Resize(converted, h, w, how).Dispose();
                    }));
                rows.Add([$"{width}×{height} → {w}×{h} {how}", .. t.Select(x => Report.Number(x.Best))]);
            }
        }

        report.Table(["", "uint8, tensor arithmetic", "libtorch uint8", "uint8, Pillow arithmetic", "float", "libtorch float"], rows);
    }

    private static void Distortions(Report report)
    {
        report.Section("Training distortions of one 224 × 224 crop", "Pillow's arithmetic, in place, one thread, best in ms.");
        ImageBuffer source = Drawn(500, 375);
        byte[] crop = new byte[224 * 224 * 3];
        Subject[] subjects =
        [
            new("resized crop 300×250 → 224, bicubic", () => Resize.UInt8(source.Bytes, 500, 375, 3, new(60, 40, 300, 250), crop, 224, 224, Interpolation.Bicubic, ResizeArithmetic.Pillow)),
            new("flip", () => PillowColor.FlipHorizontal(crop, 224, 3)),
            new("brightness", () => PillowColor.Brightness(crop, 1.01f)),
            new("contrast", () => PillowColor.Contrast(crop, 3, 1.01f)),
            new("saturation", () => PillowColor.Saturation(crop, 1.01f)),
            new("hue", () => PillowColor.Hue(crop, 0.05f)),
            new("solarise", () => PillowColor.Solarize(crop)),
            new("blur", () => GaussianBlur.Apply(crop, 224, 224, 3, 1.2f)),
        ];
        report.Table(["operation", "ms"], subjects.Zip(Measure.Interleaved(Seconds / 2, subjects), (s, t) => new[] { s.Name, Report.Number(t.Best) }));
    }

    // Waves of several lengths and some noise: neither flat nor incompressible.
    private static ImageBuffer Drawn(int width, int height)
    {
        byte[] pixels = new byte[width * height * 3];
        var random = new Random(1);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                for (int c = 0; c < 3; c++)
                    pixels[(y * width + x) * 3 + c] = (byte)(128 + 60 * Math.Sin((x + 30 * c) * 0.02) + 40 * Math.Cos(y * 0.11 + x * 0.003 * c) + random.Next(-12, 13));
            }
        }

        return ImageBuffer.FromSamples<byte>(width, height, 3, pixels);
    }
}
