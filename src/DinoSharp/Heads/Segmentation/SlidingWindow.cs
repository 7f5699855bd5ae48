using static TorchSharp.torch;

namespace DinoSharp.Heads.Segmentation;

/// <summary>How a large image is cut into overlapping windows.</summary>
/// <param name="CropHeight">Rows of a window in pixels.</param>
/// <param name="CropWidth">Columns of a window in pixels.</param>
/// <param name="StrideHeight">Rows from one window to the next.</param>
/// <param name="StrideWidth">Columns from one window to the next.</param>
/// <remarks>The last window of a row or column is moved back into the image. If both sides of the window exceed the image, the window becomes a square of the
/// image's shorter side, whose strides are no longer than itself; if only one does, the window is cut to the image.</remarks>
internal sealed record SlidingWindow(int CropHeight, int CropWidth, int StrideHeight, int StrideWidth)
{
    /// <summary>The mean, at each pixel, of the scores of all windows that cover it.</summary>
    /// <param name="image">[B, 3, H, W]</param>
    /// <param name="score">Gives the scores of a window at its own size: [B, 3, h, w] to [B, C, h, w].</param>
    /// <param name="cancellation">Asked before each window.</param>
    /// <returns>Scores on the CPU [B, C, H, W]</returns>
    /// <exception cref="DinoSharpException">A pixel lies in no window, because the stride is longer than the window.</exception>
    public Tensor Run(Tensor image, Func<Tensor, Tensor> score, CancellationToken cancellation = default)
    {
        using var scope = NewDisposeScope();
        int height = (int)image.shape[2], width = (int)image.shape[3];
        bool shrinks = CropHeight > height && CropWidth > width;
        int square = Math.Min(height, width);
        (int cropHeight, int cropWidth) = shrinks ? (square, square) : (CropHeight, CropWidth);
        // The published rule keeps the stride and fails where that leaves gaps; where it does not fail, the windows are the same.
        (int strideHeight, int strideWidth) = shrinks ? (Math.Min(StrideHeight, square), Math.Min(StrideWidth, square)) : (StrideHeight, StrideWidth);
        Tensor? sum = null;
        Tensor count = zeros(1, 1, height, width); // [1, 1, H, W]
        foreach (int top in Starts(height, cropHeight, strideHeight))
        {
            foreach (int left in Starts(width, cropWidth, strideWidth))
            {
                cancellation.ThrowIfCancellationRequested();
                using var window = NewDisposeScope();
                long h = Math.Min(cropHeight, height - top), w = Math.Min(cropWidth, width - left);
                Tensor scores = score(image.narrow(2, top, h).narrow(3, left, w)).cpu(); // [B, C, h, w]
                sum ??= zeros([scores.shape[0], scores.shape[1], height, width]).MoveToOtherDisposeScope(scope); // [B, C, H, W]
                sum.narrow(2, top, h).narrow(3, left, w).add_(scores, Num(1));
                count.narrow(2, top, h).narrow(3, left, w).add_(Num(1), Num(1));
            }
        }

        if (count.min().item<float>() == 0) throw new DinoSharpException($"windows of {cropWidth}x{cropHeight} pixels every {StrideWidth}x{StrideHeight} pixels leave parts of a {width}x{height} image uncovered; choose a stride not longer than the window");
        return sum!.div_(count).MoveToOuterDisposeScope();
    }

    /// <summary>First pixels of the windows along one side.</summary>
    internal static IEnumerable<int> Starts(int size, int crop, int stride)
    {
        int count = (Math.Max(size - crop, 0) + stride - 1) / stride + 1;
        return Enumerable.Range(0, count).Select(i => Math.Max(Math.Min(i * stride + crop, size) - crop, 0));
    }
}
