using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Features.Change;
using DinoSharp.Features.Clustering;
using DinoSharp.Images;
using DinoSharp.Probes;
using DinoSharp.Retrieval;
using DinoSharp.Training.Data.Annotations;
using DinoSharp.Training.Protocols;
using DinoSharp.Training.Protocols.Benchmarks;
using static TorchSharp.torch;

namespace DinoSharp.Tests.Evaluation;

/// <summary><c>toolbox DATA MODEL…</c>: every verb of the toolbox on data with known answers, small enough for one core. The figures are in docs/log.md.</summary>
internal sealed class ToolboxScores(string data, DinoModel model)
{
    private const int DenseHeight = 480, Height = 320, Tile = 512, ShorterSide = 320;

    public static int Run(string data, IReadOnlyList<string> models)
    {
        foreach (string name in models)
        {
            using DinoModel model = DinoModel.Load(name);
            var scores = new ToolboxScores(data, model);
            Console.WriteLine(name);
            foreach ((string verb, Func<string> score) in new (string, Func<string>)[]
            {
                ("match, homography", () => scores.Match("correspondence/homography")),
                ("match, Middlebury", () => scores.Match("depth/middlebury_motorcycle")),
                ("track, video", scores.Track),
                ("change, NAIP", scores.Change),
                ("segment, 4 examples", scores.Segment),
                ("cluster, street", scores.Cluster),
                ("discover, COCO", scores.Discover),
                ("similar, groceries", scores.Similar),
                ("index dedup, flowers", scores.Duplicates),
                ("index outliers, X-rays", scores.Outliers),
            })
            {
                Console.WriteLine($"  {verb,-24} {score()}");
            }
        }

        return 0;
    }

    private string Match(string folder) => Words(MatchingProtocol.Run(file => Patches(file, DenseHeight), CorrespondencePair.Open(Path.Combine(data, folder)), model.Name));

    private string Track() => Words(TrackingProtocol.Run(model, VideoObjects.Open(Path.Combine(data, "video")), ShorterSide));

    private string Change()
    {
        (HeatMap Distance, LabelMap Truth)[] train = Pairs("train"), held = Pairs("val");
        ChangeThreshold threshold = ChangeThreshold.Calibrate(train);
        SegmentationScores found = Score(threshold.Threshold), everything = Score(-1);
        return FormattableString.Invariant($"threshold {threshold.Threshold:0.0000} of the training pairs (F1 {100 * threshold.F1:0.0}); held out: F1 {100 * found.FScore[1]:0.0} IoU {100 * found.Iou[1]:0.0}; all called changed: F1 {100 * everything.FScore[1]:0.0}");

        (HeatMap, LabelMap)[] Pairs(string split) =>
        [
            .. Files($"satellite/change_naip/{split}/A").Select(before => (
                ChangeDetection.Distance(Patches(before, Tile), Patches(before.Replace("/A/", "/B/"), Tile)), LabelMap.Read(Path.ChangeExtension(before.Replace("/A/", "/label/"), ".png")))),
        ];

        SegmentationScores Score(float limit) => SegmentationAreas.Sum(held.Select(pair => SegmentationAreas.Measure<byte, byte>(
            ChangeThreshold.Mask(pair.Distance, limit, pair.Truth.Width, pair.Truth.Height).Values, Array.ConvertAll(pair.Truth.Values.ToArray(), v => v == 0 ? (byte)0 : (byte)1), 2, ignoreIndex: null))).Score();
    }

    private string Segment()
    {
        using PatchClassifier classifier = PatchClassifier.Fit([.. Street("train").Take(4).Select(s => new MaskExample(Patches(s.Image, Height), s.Truth))], new() { UnlabelledId = 11 });
        SegmentationScores plain = Score((map, _) => classifier.Segment(map)), guided = Score((map, picture) => classifier.Segment(map, picture));
        return FormattableString.Invariant($"mIoU {100 * plain.MeanIou:0.0} pixels {100 * plain.PixelAccuracy:0.0}; guided: mIoU {100 * guided.MeanIou:0.0} pixels {100 * guided.PixelAccuracy:0.0} (11 classes, 8 pictures)");

        SegmentationScores Score(Func<PatchMap, ImageBuffer, LabelMap> segment) => SegmentationAreas.Sum(Street("val").Take(8).Select(s =>
            SegmentationAreas.Measure<byte, byte>(segment(Patches(s.Image, Height), ImageFile.Read(s.Image).ToRgb8()).Values, s.Truth.Values, 11, ignoreIndex: 11))).Score();
    }

    // Each cluster stands for the class that most of its patches show.
    private string Cluster()
    {
        (PatchMap Map, byte[] Truth)[] pictures = [.. Street("val").Take(8).Select(s => (Patches(s.Image, Height), s.Truth)).Select(s => (s.Item1, s.Truth.ResizeNearestExact(s.Item1.Width, s.Item1.Height).Values.ToArray()))];
        using var scope = NewDisposeScope();
        KMeans clusters = KMeans.Fit(tensor([.. pictures.SelectMany(p => p.Map.Values.ToArray())], [pictures.Sum(p => p.Map.Count), pictures[0].Map.Dim]), 11);
        (int Cluster, byte Truth)[] patches = [.. pictures.SelectMany(p => clusters.Similarities(p.Map) is var s ? Enumerable.Range(0, p.Map.Count).Select(i => ((int)PatchClasses.Largest(s[i / s.Width, i % s.Width]), p.Truth[i])) : []).Where(p => p.Item2 < 11)];
        double right = patches.GroupBy(p => p.Cluster).Sum(c => c.GroupBy(p => p.Truth).Max(t => t.Count())), largest = patches.GroupBy(p => p.Truth).Max(t => t.Count());
        return FormattableString.Invariant($"purity {100 * right / patches.Length:0.0} of 11 clusters; of one cluster {100 * largest / patches.Length:0.0}");
    }

    private string Discover() => Words(DiscoveryProtocol.Run(picture => Patches(picture.Name, Height), First(BoxAnnotations.ReadCoco(Path.Combine(data, "detection/coco/instances_val.json"), Path.Combine(data, "detection/coco/images")), 30), model.Name));

    // The place in the middle of a product; the best place of another picture should be on the same product.
    private string Similar()
    {
        (string Kind, PatchMap Map)[] pictures = [.. Classes("retail/grocery/val", 24, 2).Select(p => (p.Kind, Patches(p.File, 160)))];
        int right = pictures.Count(query =>
        {
            float[] place = query.Map[query.Map.Height / 2, query.Map.Width / 2].ToArray();
            return pictures.Where(p => p.Map != query.Map).MaxBy(p => p.Map.SimilarityTo(place).Range.High).Kind == query.Kind;
        });
        return FormattableString.Invariant($"the first of {pictures.Length - 1} shows the same product for {100.0 * right / pictures.Length:0.0} % (chance {100.0 / (pictures.Length - 1):0.0})");
    }

    // Twenty of forty pictures come a second time, smaller and as a poor JPEG.
    private string Duplicates()
    {
        using var folder = new TemporaryFolder();
        string[] files = [.. Classes("classification/flowers/val", 5, 8).Select(p => p.File)];
        var twins = new Dictionary<string, string>();
        foreach (string file in files.Where((_, i) => i % 2 == 0))
        {
            ImageBuffer picture = ImageFile.Read(file).ToRgb8();
            (int width, int height) = (picture.Width * 4 / 5, picture.Height * 4 / 5);
            byte[] pixels = new byte[width * height * 3];
            Resize.UInt8(picture.Samples<byte>(), picture.Width, picture.Height, 3, new PixelWindow(0, 0, picture.Width, picture.Height), pixels, width, height, Interpolation.Bilinear, ResizeArithmetic.Pillow);
            twins[folder.File(Path.GetFileName(file))] = file;
            ImageBuffer.FromSamples<byte>(width, height, 3, pixels).Save(folder.File(Path.GetFileName(file)), jpegQuality: 40);
        }

        using ImageIndex index = Index(folder.File("index"), [.. files, .. twins.Keys]);
        return string.Join("; ", new[] { 0.95f, 0.98f, 0.99f }.Select(limit =>
        {
            (string, string)[] found = [.. index.FindDuplicates(limit).SelectMany(g => g.Items.SelectMany((a, i) => g.Items.Skip(i + 1).Select(b => (a.Path, b.Path))))];
            int right = found.Count(pair => twins.GetValueOrDefault(pair.Item2) == pair.Item1 || twins.GetValueOrDefault(pair.Item1) == pair.Item2);
            return FormattableString.Invariant($"from {limit:0.00}: {right} of {twins.Count} pairs found, {found.Length - right} wrong");
        }));
    }

    // Five flowers among sixty chest X-rays.
    private string Outliers()
    {
        using var folder = new TemporaryFolder();
        string[] strangers = [.. Classes("classification/flowers/val", 5, 1).Select(p => p.File)];
        using ImageIndex index = Index(folder.File("index"), [.. Classes("medical/chest_xray/val", 2, 30).Select(p => p.File), .. strangers]);
        string[] first = [.. index.RankOutliers(5).Take(strangers.Length).Select(hit => hit.Item.Path)];
        return $"{first.Intersect(strangers).Count()} of the {strangers.Length} strangers among the first {strangers.Length}";
    }

    private ImageIndex Index(string folder, string[] files)
    {
        var options = new EmbedOptions { ImageSizePixels = 128 };
        using (IndexWriter writer = IndexWriter.Open(folder, new IndexSettings(model.Name, "", options.Pooling.ToString(), options.ImageSizePixels)))
            writer.Update(files, 8, batches => model.EmbedBatches(batches, options, default).Select(batch => (IReadOnlyList<(float[]?, ImageException?)>)[.. batch.Select(e => (e.Vector, e.Error))]), null, null, default);
        return ImageIndex.Open(folder);
    }

    private PatchMap Patches(string file, int height)
    {
        using ImageFeatures features = model.Extract(file, new ExtractOptions { ImageSizePixels = height });
        return features.PatchMap();
    }

    private IEnumerable<(string Image, LabelMap Truth)> Street(string split) =>
        Files($"segmentation/road_composite/images/{split}").Select(file => (file, LabelMap.Read(Path.Combine(data, "segmentation/road_composite/labels", split, Path.GetFileNameWithoutExtension(file) + ".png"))));

    private IEnumerable<(string Kind, string File)> Classes(string folder, int classes, int perClass) =>
        Directory.EnumerateDirectories(Path.Combine(data, folder)).Order(StringComparer.Ordinal).Take(classes).SelectMany(kind => Directory.EnumerateFiles(kind).Order(StringComparer.Ordinal).Take(perClass).Select(file => (kind, file)));

    private IEnumerable<string> Files(string folder) => Directory.EnumerateFiles(Path.Combine(data, folder)).Order(StringComparer.Ordinal);

    private static BoxAnnotations First(BoxAnnotations all, int count) => all with { Images = [.. all.Images.Where(i => i.Objects.Any(o => !o.Crowd)).Take(count)] };

    private static string Words(EvaluationResult result) => string.Join("  ", result.Metrics.Select(m => FormattableString.Invariant($"{m.Key} {100 * m.Value:0.0}"))) + $" ({result.Items.Count} items)";
}
