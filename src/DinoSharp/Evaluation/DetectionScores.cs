namespace DinoSharp.Evaluation;

/// <summary>The twelve COCO figures as fractions, and the average precision of each category. Not-a-number where no object counts.</summary>
public sealed record DetectionScores
{
    /// <summary>Average precision over IoU 0.50, 0.55 … 0.95.</summary>
    public required double Ap { get; init; }

    /// <summary>Average precision at IoU 0.50.</summary>
    public required double Ap50 { get; init; }

    /// <summary>Average precision at IoU 0.75.</summary>
    public required double Ap75 { get; init; }

    /// <summary>AP of objects below 32² pixels.</summary>
    public required double ApSmall { get; init; }

    /// <summary>AP of objects of 32² to 96² pixels.</summary>
    public required double ApMedium { get; init; }

    /// <summary>AP of objects above 96² pixels.</summary>
    public required double ApLarge { get; init; }

    /// <summary>Average recall with 1 detection per image.</summary>
    public required double Ar1 { get; init; }

    /// <summary>Average recall with 10 detections per image.</summary>
    public required double Ar10 { get; init; }

    /// <summary>Average recall with 100 detections per image.</summary>
    public required double Ar100 { get; init; }

    /// <summary>Average recall of objects below 32² pixels.</summary>
    public required double ArSmall { get; init; }

    /// <summary>Average recall of objects of 32² to 96² pixels.</summary>
    public required double ArMedium { get; init; }

    /// <summary>Average recall of objects above 96² pixels.</summary>
    public required double ArLarge { get; init; }

    /// <summary>AP of each category that has objects.</summary>
    public required IReadOnlyDictionary<int, double> ApByCategory { get; init; }
}
