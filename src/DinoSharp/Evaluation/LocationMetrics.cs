using DinoSharp.Images;

namespace DinoSharp.Evaluation;

/// <summary>Scores of points and boxes.</summary>
public static class LocationMetrics
{
    /// <summary>Percentage of correct keypoints as a fraction: share of the errors within a threshold (Yang and Ramanan 2013).</summary>
    /// <param name="errors">Distance of each predicted point from the truth.</param>
    /// <param name="threshold">Largest distance that is right, in the same unit. PCK@α of SPair takes α times the longer side of the object's box.</param>
    public static double Pck(IReadOnlyCollection<double> errors, double threshold)
    {
        if (errors.Count == 0) throw new DinoSharpException("there is no point to score");
        return errors.Average(e => e <= threshold ? 1.0 : 0.0);
    }

    /// <summary>Share of images whose single predicted box overlaps an object with an IoU above 0.5 (correct localisation, Deselaers et al. 2010).</summary>
    /// <param name="predicted">One box per image; null if none was found.</param>
    /// <param name="objects">The boxes of all objects of each image.</param>
    public static double CorLoc(IReadOnlyList<Box?> predicted, IReadOnlyList<IReadOnlyList<Box>> objects)
    {
        if (predicted.Count != objects.Count) throw new DinoSharpException($"{predicted.Count} predictions are given for {objects.Count} images");
        if (predicted.Count == 0) throw new DinoSharpException("there is no image to score");
        return predicted.Zip(objects).Average(i => i.First is { } box && i.Second.Any(o => box.Iou(o) > 0.5) ? 1.0 : 0.0);
    }
}
