using DinoSharp.Cli.Pictures;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;

namespace DinoSharp.Cli.Predicting;

/// <summary>Boxes in words, and drawn on the pictures in a folder.</summary>
internal sealed class BoxPredictor(Detector head, SizePolicy? size, string folder, double minScore) : Predictor
{
    private readonly OutputNames _names = new();

    public override Prediction Predict(string name, ImageBuffer image, CancellationToken cancel)
    {
        ImageBuffer picture = image.ToRgb8();
        Detections answer = head.Predict(picture, size, cancel);
        Detection[] found = [.. answer.Above(minScore)];
        Directory.CreateDirectory(folder);
        string drawing = _names.For(name, "boxes.png", folder);
        answer.Draw(picture, minScore).Save(drawing);
        object json = new
        {
            path = name,
            drawing,
            picture.Width,
            picture.Height,
            objects = found.Select(d => new { label = d.Name, id = d.Label, d.Score, box = (double[])[Math.Round(d.Box.X, 2), Math.Round(d.Box.Y, 2), Math.Round(d.Box.Width, 2), Math.Round(d.Box.Height, 2)] }),
        };
        return new Prediction(json, $"{name}  {found.Length} objects  {string.Join(", ", found.GroupBy(d => d.Name).Select(g => $"{g.Count()} {g.Key}"))}");
    }

    public override IEnumerable<string> Summary(int count) => [$"{count} drawings in {folder}"];
}
