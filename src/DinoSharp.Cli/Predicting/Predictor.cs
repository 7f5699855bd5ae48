using DinoSharp.Heads;
using DinoSharp.Heads.Anomaly;
using DinoSharp.Heads.Classification;
using DinoSharp.Heads.Depth;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Heads.Detection;
using DinoSharp.Images;

namespace DinoSharp.Cli.Predicting;

/// <summary>What a head said about a picture.</summary>
/// <param name="Json">For <c>--json</c>.</param>
/// <param name="Line">For people.</param>
internal sealed record Prediction(object Json, string Line);

/// <summary>Asks a head about pictures one by one and writes what it answers.</summary>
internal abstract class Predictor
{
    /// <summary>The predictor of a kind of head.</summary>
    /// <param name="head">Any head.</param>
    /// <param name="look">How to look at pictures.</param>
    /// <param name="folder">Where pictures of the answers go.</param>
    /// <param name="minScore">Boxes less sure than this are left out.</param>
    public static Predictor For(Head head, DenseOptions look, string folder, double minScore) => head switch
    {
        ImageClassifier classifier => new ClassPredictor(classifier.Predict),
        DenseHead<SemanticSegmentation> segmentor => new MaskPredictor(segmentor, look, folder),
        DepthEstimator depth => new DepthPredictor(depth, look, folder),
        Detector detector => new BoxPredictor(detector, look.Size, folder, minScore),
        AnomalyDetector anomalies => new AnomalyPredictor(anomalies, folder),
        _ => throw new DinoSharpException($"dino predict does not know what to do with a {head.Kind} head"),
    };

    /// <summary>The answer for a picture.</summary>
    public abstract Prediction Predict(string name, ImageBuffer image, CancellationToken cancel);

    /// <summary>What to say at the end.</summary>
    public virtual IEnumerable<string> Summary(int count) => [];
}

/// <summary>Classes of pictures, in words.</summary>
internal sealed class ClassPredictor(Func<ImageBuffer, CancellationToken, Classification> ask) : Predictor
{
    private const int Shown = 5;

    public override Prediction Predict(string name, ImageBuffer image, CancellationToken cancel)
    {
        Classification answer = ask(image, cancel);
        string label = answer.IsUnknown ? "unknown" : answer.Top.Name;
        object json = new
        {
            path = name,
            label,
            probability = answer.Top.Probability,
            similarity = answer.Similarity,
            unknown = answer.IsUnknown,
            top = answer.Best(Shown).Select(s => new { label = s.Name, s.Probability }),
        };
        string sure = answer.IsUnknown ? FormattableString.Invariant($"nearest {answer.Top.Name}, similarity {answer.Similarity:0.000}") : FormattableString.Invariant($"{100 * answer.Top.Probability:0.0} %");
        return new Prediction(json, $"{name}  {label}  {sure}");
    }
}
