using DinoSharp.Training.Optimization;

namespace DinoSharp.Training.Pretraining;

/// <summary>The parts of the loss of one step, unweighted, averaged over micro-batches and processes.</summary>
/// <param name="Total">The weighted sum that was minimised.</param>
/// <param name="DinoGlobal">Image-level loss between global crops.</param>
/// <param name="DinoLocal">Image-level loss of local crops.</param>
/// <param name="Ibot">Patch-level loss.</param>
/// <param name="KoLeo">Spreading loss, mean over the global crops.</param>
/// <param name="Gram">Gram loss; null if there is no anchoring.</param>
/// <param name="GramMasked">Gram loss over hidden patches; null if not asked for.</param>
/// <param name="GramUnmasked">Gram loss over shown patches; null if not asked for.</param>
/// <param name="LocalWeight">Further weight of the local part of the image-level loss.</param>
/// <param name="GramWeight">Weight of the Gram loss; null if there is no anchoring.</param>
public sealed record LossTerms(
    double Total,
    double DinoGlobal,
    double DinoLocal,
    double Ibot,
    double KoLeo,
    double? Gram,
    double? GramMasked,
    double? GramUnmasked,
    double LocalWeight,
    double? GramWeight)
{
    /// <summary>1 − cosine between the student's and the teacher's class token; null if no features are distilled.</summary>
    public double? FeatureClass { get; init; }

    /// <summary>1 − cosine between the student's and the teacher's patch tokens; null if no features are distilled.</summary>
    public double? FeaturePatches { get; init; }
}

/// <summary>Gradient norms before clipping.</summary>
/// <param name="Backbone">Over the backbone.</param>
/// <param name="DinoHead">Over the head of the image-level loss.</param>
/// <param name="IbotHead">Over the head of the patch-level loss.</param>
public sealed record GradientNorms(double Backbone, double DinoHead, double IbotHead);

/// <summary>What one training step did.</summary>
/// <param name="Step">0 is the first step.</param>
/// <param name="Losses">Loss terms.</param>
/// <param name="GradientNorms">Before clipping.</param>
/// <param name="Values">What the schedules said.</param>
/// <param name="NonFinite">The first tensor that was not finite; the weights were then left as they were. Null: the step was made.</param>
public sealed record StepReport(long Step, LossTerms Losses, GradientNorms GradientNorms, StepValues Values, string? NonFinite);
