using DinoSharp.Cli.Pictures;
using DinoSharp.Heads;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;

namespace DinoSharp.Cli.Predicting;

/// <summary>Label maps and tinted pictures in a folder.</summary>
internal sealed class MaskPredictor(DenseHead<SemanticSegmentation> head, DenseOptions options, string folder) : Predictor
{
    private readonly OutputNames _names = new();

    public override Prediction Predict(string name, ImageBuffer image, CancellationToken cancel)
    {
        ImageBuffer picture = image.ToRgb8();
        SemanticSegmentation answer = head.Predict(picture, options, cancel);
        Directory.CreateDirectory(folder);
        string mask = _names.For(name, "png", folder), overlay = _names.For(name, "overlay.png", folder);
        answer.Labels.Save(mask);
        answer.Overlay(picture, 0.6).Save(overlay);
        object json = new { path = name, mask, overlay, classes = answer.Shares.Select(s => new { id = s.Index, s.Name, share = s.Fraction }) };
        return new Prediction(json, $"{name}  {mask}  {string.Join(", ", answer.Shares.Take(4).Select(s => FormattableString.Invariant($"{s.Name} {100 * s.Fraction:0} %")))}");
    }

    public override IEnumerable<string> Summary(int count) => [$"{count} label maps and overlays in {folder}"];
}

/// <summary>Depth as 16-bit pictures and in colours in a folder: in millimetres, or in centimetres where the head sees farther than 65 m.</summary>
internal sealed class DepthPredictor(DepthEstimator head, DenseOptions options, string folder) : Predictor
{
    private double _step;
    private readonly OutputNames _names = new();

    public override Prediction Predict(string name, ImageBuffer image, CancellationToken cancel)
    {
        DepthMap answer = head.Predict(image.ToRgb8(), options, cancel);
        Directory.CreateDirectory(folder);
        string depth = _names.For(name, "depth.png", folder), colours = _names.For(name, "colours.png", folder);
        double step = 0.001 * Math.Pow(10, Math.Max(0, Math.Ceiling(Math.Log10(Math.Max(head.Bins.MaxMeters, answer.Range.High) * 1000 / ushort.MaxValue))));
        _step = Math.Max(_step, step);
        answer.ToGray16(step).Save(depth);
        answer.Save(colours);
        float[] sorted = [.. answer.Meters.ToArray().Order()];
        double nearest = sorted[0], median = sorted[sorted.Length / 2], farthest = sorted[^1];
        return new Prediction(
            new { path = name, depth, metersPerStep = step, colours, nearest, median, farthest },
            FormattableString.Invariant($"{name}  {depth}  {nearest:0.00} to {farthest:0.00} m, median {median:0.00} m"));
    }

    public override IEnumerable<string> Summary(int count) => [FormattableString.Invariant($"{count} depth maps (16 bit, {(_step > 0.001 ? $"steps of {_step:0.###} m" : "millimetres")}) in {folder}")];
}
