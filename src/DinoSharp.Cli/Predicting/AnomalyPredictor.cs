using DinoSharp.Cli.Pictures;
using DinoSharp.Heads.Anomaly;
using DinoSharp.Images;

namespace DinoSharp.Cli.Predicting;

/// <summary>How unusual pictures are, with maps of where in a folder.</summary>
internal sealed class AnomalyPredictor(AnomalyDetector head, string folder) : Predictor
{
    private readonly OutputNames _names = new();

    public override Prediction Predict(string name, ImageBuffer image, CancellationToken cancel)
    {
        ImageBuffer picture = image.ToRgb8();
        AnomalyMap answer = head.Predict(picture, cancel);
        Directory.CreateDirectory(folder);
        string map = _names.For(name, "anomaly.png", folder);
        answer.Overlay(picture).Save(map);
        return new Prediction(
            new { path = name, map, answer.Score, answer.Threshold, anomalous = answer.IsAnomalous },
            FormattableString.Invariant($"{name}  {(answer.IsAnomalous ? "unusual" : "normal")}  {answer.Score:0.0000}"));
    }

    public override IEnumerable<string> Summary(int count) => [$"{count} maps in {folder}"];
}
