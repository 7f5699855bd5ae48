using DinoSharp.Images;

namespace DinoSharp.Evaluation;

/// <summary>An annotated object.</summary>
/// <param name="Image">Id of the image.</param>
/// <param name="Category">Id of the category.</param>
/// <param name="Box">Where it is.</param>
/// <param name="Area">Area in pixels that decides between small, medium and large; null: of the box. COCO gives the area of the mask.</param>
/// <param name="Crowd">A region of many objects (COCO): detections in it, by the share of their own area, count neither as right nor as wrong.</param>
/// <param name="Difficult">One object that need not be found (Pascal VOC): detections that overlap it as they would have to overlap any other count neither as right nor as wrong.</param>
public sealed record AnnotatedObject(int Image, int Category, Box Box, double? Area = null, bool Crowd = false, bool Difficult = false)
{
    /// <summary>Whether the object counts neither for nor against a detector.</summary>
    public bool Ignored => Crowd || Difficult;
}

/// <summary>A detected object.</summary>
/// <param name="Image">Id of the image.</param>
/// <param name="Category">Id of the category.</param>
/// <param name="Box">Where it is.</param>
/// <param name="Score">Confidence, any scale.</param>
/// <param name="Area">Area in pixels; null: of the box.</param>
public sealed record DetectedObject(int Image, int Category, Box Box, double Score, double? Area = null);

/// <summary>COCO average precision: detections are matched to objects once, then scored on all images or on any resample of them.</summary>
/// <remarks>Definition: https://cocodataset.org/#detection-eval. In the order of their scores, detections take the free object of highest IoU at or above the
/// threshold; precision is read at 101 recall levels from its decreasing envelope and averaged over thresholds and categories.</remarks>
public sealed class DetectionEvaluation
{
    private const int MaxDetections = 100;
    private static readonly double[] Thresholds = [.. Enumerable.Range(0, 10).Select(i => i == 9 ? 0.95 : 0.5 + (i * ((0.95 - 0.5) / 9)))];
    private static readonly (double Low, double High)[] AreaRanges = [(0, 1e10), (0, 32 * 32), (32 * 32, 96 * 96), (96 * 96, 1e10)];
    private readonly int[] _categories;
    private readonly Dictionary<(int Image, int Category, int AreaRange), ImageMatches> _matches = [];

    /// <summary>Matches detections to objects.</summary>
    /// <param name="objects">All annotated objects.</param>
    /// <param name="detections">All detections; only the 100 best of an image and category count.</param>
    /// <param name="images">Ids of the images that were looked at; null: those with an object or a detection.</param>
    /// <param name="iou">Overlap of a detection and an object, for masks instead of boxes. For a crowd: intersection over the area of the detection.</param>
    public DetectionEvaluation(
        IReadOnlyCollection<AnnotatedObject> objects, IReadOnlyCollection<DetectedObject> detections, IEnumerable<int>? images = null, Func<DetectedObject, AnnotatedObject, double>? iou = null)
    {
        iou ??= BoxIou;
        Images = [.. (images ?? objects.Select(o => o.Image).Concat(detections.Select(d => d.Image))).Distinct().Order()];
        _categories = [.. objects.Select(o => o.Category).Distinct().Order()];
        ILookup<(int, int), AnnotatedObject> objectsOf = objects.ToLookup(o => (o.Image, o.Category));
        ILookup<(int, int), DetectedObject> detectionsOf = detections.ToLookup(d => (d.Image, d.Category));
        foreach (int image in Images)
        {
            foreach (int category in _categories)
            {
                AnnotatedObject[] truths = [.. objectsOf[(image, category)]];
                DetectedObject[] found = [.. detectionsOf[(image, category)].OrderByDescending(d => d.Score).Take(MaxDetections)];
                if (truths.Length + found.Length == 0) continue;
                for (int range = 0; range < AreaRanges.Length; range++) _matches[(image, category, range)] = Match(truths, found, AreaRanges[range], iou);
            }
        }
    }

    /// <summary>Ids of the images, ascending.</summary>
    public IReadOnlyList<int> Images { get; }

    /// <summary>The scores on all images.</summary>
    public DetectionScores Score() => Score([.. Enumerable.Range(0, Images.Count)]);

    /// <summary>The scores on some images, for example on a bootstrap resample.</summary>
    /// <param name="indices">Indices into <see cref="Images"/>; an index may come several times.</param>
    public DetectionScores Score(IReadOnlyList<int> indices)
    {
        int[] images = Chosen(indices);
        var all = _categories.ToDictionary(c => c, c => Curve(images, c, 0, MaxDetections));
        double Recall(int range, int limit) => Mean(_categories.Select(c => Mean(Curve(images, c, range, limit).Recall)));
        double Precision(int range) => Mean(_categories.Select(c => Mean(Curve(images, c, range, MaxDetections).Precision)));
        return new DetectionScores
        {
            Ap = Mean(all.Values.Select(c => Mean(c.Precision))),
            Ap50 = Mean(all.Values.Select(c => c.Precision[0])),
            Ap75 = Mean(all.Values.Select(c => c.Precision[5])),
            ApSmall = Precision(1),
            ApMedium = Precision(2),
            ApLarge = Precision(3),
            Ar1 = Recall(0, 1),
            Ar10 = Recall(0, 10),
            Ar100 = Mean(all.Values.Select(c => Mean(c.Recall))),
            ArSmall = Recall(1, MaxDetections),
            ArMedium = Recall(2, MaxDetections),
            ArLarge = Recall(3, MaxDetections),
            ApByCategory = all.Where(c => !double.IsNaN(c.Value.Precision[0])).ToDictionary(c => c.Key, c => Mean(c.Value.Precision)),
        };
    }

    /// <summary>The average precision alone on some images: a ninth of the work of <see cref="Score(IReadOnlyList{int})"/>, for hundreds of resamples.</summary>
    /// <param name="indices">Indices into <see cref="Images"/>; an index may come several times.</param>
    public double AveragePrecision(IReadOnlyList<int> indices)
    {
        int[] images = Chosen(indices);
        return Mean(_categories.Select(c => Mean(Curve(images, c, 0, MaxDetections).Precision)));
    }

    private int[] Chosen(IReadOnlyList<int> indices) => [.. indices.Order().Select(i => Images[i])];

    private static double BoxIou(DetectedObject detection, AnnotatedObject truth)
    {
        if (!truth.Crowd) return detection.Box.Iou(truth.Box);
        return detection.Box.Area > 0 ? detection.Box.Intersection(truth.Box) / detection.Box.Area : 0;
    }

    private static double Mean(IEnumerable<double> values) => values.Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();

    private static ImageMatches Match(AnnotatedObject[] truths, DetectedObject[] detections, (double Low, double High) range, Func<DetectedObject, AnnotatedObject, double> iou)
    {
        bool Outside(double area) => area < range.Low || area > range.High;
        bool Ignored(AnnotatedObject o) => o.Ignored || Outside(o.Area ?? o.Box.Area);
        truths = [.. truths.OrderBy(Ignored)]; // objects that count come first, so that they are preferred
        bool[] ignored = [.. truths.Select(Ignored)];
        double[,] overlap = new double[detections.Length, truths.Length];
        for (int d = 0; d < detections.Length; d++)
        {
            for (int g = 0; g < truths.Length; g++) overlap[d, g] = iou(detections[d], truths[g]);
        }

        // Bit t of a mask belongs to threshold t.
        var outcomes = new Outcome[detections.Length];
        for (int t = 0; t < Thresholds.Length; t++)
        {
            bool[] taken = new bool[truths.Length];
            for (int d = 0; d < detections.Length; d++)
            {
                int best = -1;
                double bestOverlap = Math.Min(Thresholds[t], 1 - 1e-10);
                for (int g = 0; g < truths.Length; g++)
                {
                    if (taken[g] && !truths[g].Ignored) continue;
                    if (best >= 0 && !ignored[best] && ignored[g]) break;
                    if (overlap[d, g] < bestOverlap) continue;
                    (best, bestOverlap) = (g, overlap[d, g]);
                }

                bool leftOut = best >= 0 ? ignored[best] : Outside(detections[d].Area ?? detections[d].Box.Area);
                if (best >= 0) taken[best] = true;
                outcomes[d] = new Outcome(detections[d].Score, outcomes[d].Right | (best >= 0 ? 1 << t : 0), outcomes[d].LeftOut | (leftOut ? 1 << t : 0));
            }
        }

        return new ImageMatches(outcomes, ignored.Count(i => !i));
    }

    // Average precision and final recall at each threshold.
    private (double[] Precision, double[] Recall) Curve(int[] images, int category, int range, int limit)
    {
        ImageMatches[] matches = [.. images.Where(i => _matches.ContainsKey((i, category, range))).Select(i => _matches[(i, category, range)])];
        Outcome[] outcomes = [.. matches.SelectMany(m => m.Outcomes.Take(limit)).OrderByDescending(o => o.Score)];
        int objects = matches.Sum(m => m.Objects);
        (double[] precision, double[] recall) = (new double[Thresholds.Length], new double[Thresholds.Length]);
        for (int t = 0; t < Thresholds.Length; t++) (precision[t], recall[t]) = objects == 0 ? (double.NaN, double.NaN) : AveragePrecision(outcomes, 1 << t, objects);
        return (precision, recall);
    }

    private static (double Precision, double Recall) AveragePrecision(Outcome[] outcomes, int bit, int objects)
    {
        var curve = new List<(double Recall, double Precision)>(outcomes.Length);
        (int right, int wrong) = (0, 0);
        foreach (Outcome outcome in outcomes)
        {
            if ((outcome.LeftOut & bit) != 0) continue;
            if ((outcome.Right & bit) != 0) right++;
            else wrong++;
            curve.Add(((double)right / objects, (double)right / (right + wrong)));
        }

        double sum = 0, envelope = 0;
        int point = curve.Count;
        for (int level = 100; level >= 0; level--) // from the highest recall down, the envelope only grows
        {
            while (point > 0 && curve[point - 1].Recall >= level * 0.01) envelope = Math.Max(envelope, curve[--point].Precision);
            sum += envelope;
        }

        return (sum / 101, (double)right / objects);
    }

    private readonly record struct Outcome(double Score, int Right, int LeftOut);

    private sealed record ImageMatches(Outcome[] Outcomes, int Objects);
}
