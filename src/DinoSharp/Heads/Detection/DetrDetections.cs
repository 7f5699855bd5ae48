using static TorchSharp.torch;

namespace DinoSharp.Heads.Detection;

/// <summary>Turns the last stage of the detector into a ranked list: no threshold, no suppression of overlaps (the network does that itself).</summary>
internal static class DetrDetections
{
    /// <param name="stage">Last stage of one batch.</param>
    /// <param name="image">Index in the batch.</param>
    /// <param name="height">Rows of the image without padding.</param>
    /// <param name="width">Columns of the image without padding.</param>
    /// <param name="count">How many query-class pairs to keep.</param>
    /// <param name="pixelBoxes">Boxes are in pixels (then cut to the image) or parts of the image.</param>
    /// <returns>Scores [K] falling, class ids [K], boxes (x1, y1, x2, y2) in pixels [K, 4]; in the current dispose scope</returns>
    public static (Tensor Scores, Tensor Labels, Tensor Boxes) Rank(DetrStage stage, int image, long height, long width, int count, bool pixelBoxes)
    {
        using var scope = NewDisposeScope();
        Tensor probabilities = stage.Logits[image].sigmoid(); // [Q, classes]
        long classes = probabilities.shape[1];
        (Tensor scores, Tensor index) = probabilities.flatten().topk((int)Math.Min(count, probabilities.numel())); // [K]
        Tensor labels = index % Num(classes), boxes = stage.Boxes[image].index_select(0, index.div(Num(classes), RoundingMode.floor)); // [K], [K, 4]
        Tensor center = boxes.narrow(1, 0, 2), half = boxes.narrow(1, 2, 2) * Num(0.5); // [K, 2]
        Tensor corners = cat([center - half, center.Plus(half)], 1); // [K, 4]
        Tensor size = tensor(new float[] { width, height, width, height }, device: corners.device); // [4]
        corners = pixelBoxes ? corners.clamp_min(Num(0)).minimum(size) : corners * size;
        return (scores.MoveToOuterDisposeScope(), labels.MoveToOuterDisposeScope(), corners.MoveToOuterDisposeScope());
    }
}
