using System.Globalization;
using DinoSharp.Evaluation;
using DinoSharp.Features;
using DinoSharp.Features.Discovery;
using DinoSharp.Images;
using DinoSharp.Training.Data.Annotations;

namespace DinoSharp.Training.Protocols;

/// <summary>Unsupervised object discovery (paper, appendix D.4): TokenCut finds one box in each picture, which is right if it overlaps any object with an IoU above 0.5 (CorLoc). Difficult objects of Pascal VOC are objects like any other; crowds of COCO are none.</summary>
public static class DiscoveryProtocol
{
    /// <summary>The thresholds that the paper sweeps, of which it reports the best.</summary>
    public static IReadOnlyList<double> PublishedThresholds { get; } = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4];

    /// <summary>Runs the protocol.</summary>
    /// <param name="extract">Patches of a picture.</param>
    /// <param name="images">Pictures with boxes; those without an object are left out.</param>
    /// <param name="model">What gives the patches, for the report.</param>
    /// <param name="thresholds">Similarities above which patches are joined; the best is reported. Null: the published ones.</param>
    /// <param name="progress">Told how many pictures are done.</param>
    /// <param name="cancel">Checked between pictures.</param>
    /// <param name="onPicture">Given every picture with the box found at each threshold.</param>
    /// <exception cref="DinoSharpException">No picture has an object.</exception>
    public static EvaluationResult Run(
        Func<ImageSource, PatchMap> extract, BoxAnnotations images, string model, IReadOnlyList<double>? thresholds = null, IProgress<long>? progress = null, CancellationToken cancel = default, Action<BoxedImage, IReadOnlyList<Box>>? onPicture = null)
    {
        thresholds ??= PublishedThresholds;
        if (thresholds.Count == 0) throw new DinoSharpException("at least one threshold is needed");
        BoxedImage[] withObjects = [.. images.Images.Where(i => i.Objects.Any(o => !o.Crowd))];
        if (withObjects.Length == 0) throw new DinoSharpException($"{images.Name}: no picture has an object, so nothing can be found");
        images.RequirePictures();
        var right = new bool[thresholds.Count][];
        for (int t = 0; t < thresholds.Count; t++) right[t] = new bool[withObjects.Length];
        for (int i = 0; i < withObjects.Length; i++)
        {
            cancel.ThrowIfCancellationRequested();
            PatchMap map = extract(withObjects[i].Source);
            Box[] found = [.. thresholds.Select(t => TokenCut.Find(map, new TokenCutOptions { Threshold = t })?.Box ?? new Box(0, 0, 0, 0))]; // none: a box that meets nothing
            Box[] objects = [.. withObjects[i].Objects.Where(o => !o.Crowd).Select(o => o.Box)];
            for (int t = 0; t < found.Length; t++) right[t][i] = LocationMetrics.CorLoc([found[t]], [objects]) == 1;
            onPicture?.Invoke(withObjects[i], found);
            progress?.Report(i + 1);
        }

        double[] shares = [.. right.Select(r => r.Average(hit => hit ? 1.0 : 0))];
        int best = Array.IndexOf(shares, shares.Max());
        var metrics = new Dictionary<string, double> { ["corloc"] = shares[best] };
        for (int t = 0; t < shares.Length; t++) metrics["corloc at " + thresholds[t].ToString(CultureInfo.InvariantCulture)] = shares[t];
        return new EvaluationResult
        {
            Task = "discover",
            Model = model,
            Data = new Dictionary<string, string>(),
            Settings = new Dictionary<string, string> { ["threshold"] = thresholds[best].ToString(CultureInfo.InvariantCulture), ["picturesWithoutObject"] = (images.Images.Count - withObjects.Length).ToString(CultureInfo.InvariantCulture) },
            Metrics = metrics,
            Headline = "corloc",
            Items = [.. withObjects.Select(i => i.Path)],
            Score = EvaluationResult.MeanOf([.. right[best].Select(hit => hit ? 1.0 : 0)]),
        };
    }
}
