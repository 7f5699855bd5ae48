using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Losses of segmentation heads. Logits are [B, C, H, W], labels [B, H, W]; pixels of the label 255 are ignored.</summary>
public static class SegmentationLosses
{
    /// <summary>Label of pixels that do not count.</summary>
    public const long IgnoredLabel = 255;

    /// <summary>Cross-entropy. The published protocol divides by all pixels, ignored ones included, so that images with few labels count less.</summary>
    /// <param name="logits">[B, C, H, W]</param>
    /// <param name="labels">[B, H, W]</param>
    /// <param name="meanOverKept">Divide by the kept pixels instead.</param>
    public static Tensor CrossEntropy(Tensor logits, Tensor labels, bool meanOverKept = false)
    {
        using var scope = NewDisposeScope();
        Tensor sum = nn.functional.cross_entropy(logits, labels, ignore_index: IgnoredLabel, reduction: nn.Reduction.Sum);
        if (!meanOverKept) return (sum / Num(labels.numel())).MoveToOuterDisposeScope();
        return (sum / labels.ne(Num(IgnoredLabel)).sum().to(sum.dtype).Plus(Num(1.1920929e-7))).MoveToOuterDisposeScope();
    }

    /// <summary>Dice loss of the softmax: per image and class 1 - (2·Σ p·t + s) / (Σ pᵉ + tᵉ + s), the mean of all.</summary>
    /// <remarks>As in the original, ignored pixels leave the numerator only, and in the denominator count as the last class.</remarks>
    /// <param name="logits">[B, C, H, W]</param>
    /// <param name="labels">[B, H, W]</param>
    /// <param name="smooth">s</param>
    /// <param name="exponent">e</param>
    /// <param name="classWeights">Factor of each class [C]; null: one.</param>
    public static Tensor Dice(Tensor logits, Tensor labels, double smooth = 1, double exponent = 2, Tensor? classWeights = null)
    {
        using var scope = NewDisposeScope();
        long classes = logits.shape[1];
        Tensor target = nn.functional.one_hot(labels.clamp(Num(0), Num(classes - 1)), classes).permute(0, 3, 1, 2).to(logits.dtype); // [B, C, H, W]
        Tensor valid = labels.ne(Num(IgnoredLabel)).unsqueeze(1).to(logits.dtype); // [B, 1, H, W]
        return Overlap(logits.softmax(1), target, valid, smooth, exponent, classWeights).MoveToOuterDisposeScope();
    }

    /// <summary>Dice loss of the sigmoid for classes that may overlap; no pixel is ignored.</summary>
    /// <param name="logits">[B, C, H, W]</param>
    /// <param name="targets">1 where a pixel has the class, else 0 [B, C, H, W].</param>
    /// <param name="smooth">s</param>
    /// <param name="exponent">e</param>
    /// <param name="classWeights">Factor of each class [C]; null: one.</param>
    public static Tensor MultilabelDice(Tensor logits, Tensor targets, double smooth = 1, double exponent = 2, Tensor? classWeights = null)
    {
        using var scope = NewDisposeScope();
        return Overlap(logits.sigmoid(), targets.to(logits.dtype), null, smooth, exponent, classWeights).MoveToOuterDisposeScope();
    }

    private static Tensor Overlap(Tensor p, Tensor t, Tensor? valid, double smooth, double exponent, Tensor? classWeights)
    {
        Tensor common = p * t;
        if (valid is not null) common = common * valid;
        Tensor shared = common.sum([2, 3]), total = p.pow(Num(exponent)).Plus(t.pow(Num(exponent))).sum([2, 3]); // [B, C]
        Tensor loss = (-((Num(2) * shared).Plus(Num(smooth)) / total.Plus(Num(smooth)))).Plus(Num(1)).mean([0]); // [C]
        return classWeights is null ? loss.mean() : (loss * classWeights).mean();
    }
}
