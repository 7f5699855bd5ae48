using DinoSharp.Training.Distributed;
using static TorchSharp.torch;

namespace DinoSharp.Training.Losses;

/// <summary>Symmetric contrastive loss between images and texts (CLIP, Radford et al. 2021), used to align a text tower to a backbone (dino.txt).</summary>
public static class ContrastiveLoss
{
    /// <summary>Mean cross-entropy of finding an image's text among all texts and a text's image among all images, in float32.</summary>
    /// <remarks>Feature gradients are those of the sum of the losses of all processes. The gradient of the scale covers the own images against all
    /// texts in both directions; its sum over the processes is that of the sum of the losses.</remarks>
    /// <param name="images">Features of the own images, used as given. [B, D]</param>
    /// <param name="texts">Features of their texts. [B, D]</param>
    /// <param name="scale">Factor on the similarities, after the exponential. One element.</param>
    /// <param name="collectives">Whose pairs are the negatives.</param>
    /// <returns>A scalar.</returns>
    public static Tensor Compute(Tensor images, Tensor texts, Tensor scale, Collectives collectives)
    {
        using var scope = NewDisposeScope();
        images = images.to(ScalarType.Float32);
        texts = texts.to(ScalarType.Float32);
        Tensor allImages = collectives.GatherRows(images), allTexts = collectives.GatherRows(texts); // [W·B, D]
        scale = scale.reshape([]);
        Tensor fixedScale = scale.detach();
        Tensor byImage = fixedScale * images.matmul(allTexts.t()); // [B, W·B]
        Tensor byText = fixedScale * texts.matmul(allImages.t()); // [B, W·B]
        long rows = images.shape[0];
        Tensor matches = arange(Num(collectives.Rank * rows), Num((collectives.Rank + 1) * rows), Num(1), ScalarType.Int64, device: images.device); // [B]
        Tensor loss = nn.functional.cross_entropy(byImage, matches).Plus(nn.functional.cross_entropy(byText, matches)) / Num(2);
        if (!scale.requires_grad) return loss.MoveToOuterDisposeScope();
        Tensor slope = ScaleGradient(byImage.detach(), byText.detach(), matches, collectives) / fixedScale;
        Tensor path = scale * slope;
        return (loss.Plus(path) - path.detach()).MoveToOuterDisposeScope();
    }

    // Σ over the own image rows of (P_row + P_column - 2·identity)·logits / 2B; the columns' normalisers come from the processes that own the texts.
    private static Tensor ScaleGradient(Tensor byImage, Tensor byText, Tensor matches, Collectives collectives)
    {
        Tensor columns = collectives.GatherRows(byText.logsumexp(1)); // [W·B]
        Tensor probabilities = byImage.softmax(1).Plus((byImage - columns.unsqueeze(0)).exp()); // [B, W·B]
        Tensor matched = byImage.gather(1, matches.unsqueeze(1)).sum() * Num(2);
        return ((probabilities * byImage).sum() - matched) / Num(2 * byImage.shape[0]);
    }
}
