namespace DinoSharp.Evaluation;

/// <summary>Scores of a segmentation as fractions. A class that occurs nowhere has not-a-number, which the means leave out.</summary>
public sealed record SegmentationScores
{
    /// <summary>Share of all labelled pixels that are right (aAcc).</summary>
    public required double PixelAccuracy { get; init; }

    /// <summary>Intersection over union. [K]</summary>
    public required IReadOnlyList<double> Iou { get; init; }

    /// <summary>Dice coefficient, 2I / (P + L). [K]</summary>
    public required IReadOnlyList<double> Dice { get; init; }

    /// <summary>Share of the predicted pixels that are right. [K]</summary>
    public required IReadOnlyList<double> Precision { get; init; }

    /// <summary>Share of the labelled pixels that were found; the class accuracy. [K]</summary>
    public required IReadOnlyList<double> Recall { get; init; }

    /// <summary>Harmonic mean of precision and recall. [K]</summary>
    public required IReadOnlyList<double> FScore { get; init; }

    /// <summary>Mean intersection over union (mIoU).</summary>
    public double MeanIou => Mean(Iou);

    /// <summary>Mean Dice coefficient.</summary>
    public double MeanDice => Mean(Dice);

    /// <summary>Mean precision.</summary>
    public double MeanPrecision => Mean(Precision);

    /// <summary>Mean recall (mAcc).</summary>
    public double MeanRecall => Mean(Recall);

    /// <summary>Mean F-score.</summary>
    public double MeanFScore => Mean(FScore);

    private static double Mean(IEnumerable<double> values) => values.Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();
}
