using DinoSharp.Backbones;
using DinoSharp.Heads.Segmentation;
using DinoSharp.Images;
using DinoSharp.Layers;
using static TorchSharp.torch;

namespace DinoSharp.Heads;

/// <summary>A head with an answer for each pixel: whole or in windows, mirrored and at several scales if asked to.</summary>
/// <typeparam name="TAnswer">What it says about a picture.</typeparam>
public abstract class DenseHead<TAnswer> : Head<TAnswer>
    where TAnswer : class
{
    private protected DenseHead(Backbone backbone, HeadInput input, nn.Module network, ClassNames? classes)
        : base(backbone, input, network, classes)
    {
    }

    /// <inheritdoc/>
    public override TAnswer Predict(ImageBuffer image, CancellationToken cancel = default) => Predict(image, null, cancel);

    /// <summary>The answer for a picture.</summary>
    /// <param name="image">A path; or <see cref="ImageSource.FromBytes"/>, <see cref="ImageSource.FromStream"/>.</param>
    /// <param name="options">Size, windows, test-time augmentation; null: as the head declares.</param>
    /// <param name="cancel">Checked before each pass of the backbone.</param>
    /// <exception cref="ImageException">The picture cannot be read, or not be brought to the size that the head needs.</exception>
    public TAnswer Predict(ImageSource image, DenseOptions? options, CancellationToken cancel = default) => Predict(ImageFile.Read(image), options, cancel);

    /// <summary>The answer for a decoded picture.</summary>
    /// <param name="image">Any picture; it is converted to 8-bit RGB.</param>
    /// <param name="options">Size, windows, test-time augmentation; null: as the head declares.</param>
    /// <param name="cancel">Checked before each pass of the backbone.</param>
    public TAnswer Predict(ImageBuffer image, DenseOptions? options, CancellationToken cancel = default)
    {
        options ??= new DenseOptions();
        options.Validate();
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        int passes = options.Scales.Count * (options.Flip ? 2 : 1);
        Tensor? mean = null;
        foreach (double scale in options.Scales)
        {
            using ImageTensor prepared = Prepare(image, Scaled(options, scale, image));
            foreach (bool mirrored in options.Flip ? (bool[])[false, true] : [false])
            {
                using var pass = NewDisposeScope();
                Tensor pixels = prepared.Tensor.unsqueeze(0); // [1, C, H, W]
                Tensor scores = Scores(mirrored ? pixels.flip(3) : pixels, options, cancel); // [1, C', H, W]
                if (mirrored) scores = scores.flip(3);
                (long height, long width) = mean is null ? Target(scores, image, options) : (mean.shape[2], mean.shape[3]);
                scores = Activate(MapResize.Bilinear(scores, height, width), passes); // [1, C', H_out, W_out]
                // Only a tensor of the inner scope may move: moved into its own scope it would belong to none, and its finalizer would end the process.
                if (mean is null) mean = (scores / Num(passes)).MoveToOtherDisposeScope(scope);
                else mean.add_(scores, Num(1.0 / passes));
            }
        }

        return Finish(mean!, image.Width, image.Height);
    }

    /// <summary>Scores of the fitted picture at any resolution. [B, C', h, w]</summary>
    internal abstract Tensor Score(HeadFeatures features);

    /// <summary>What is averaged over several passes.</summary>
    internal abstract Tensor Activate(Tensor scores, int passes);

    /// <summary>The answer at the size of the picture.</summary>
    internal abstract TAnswer Finish(Tensor scores, int width, int height);

    internal sealed override TAnswer Answer(HeadFeatures features, ImageGeometry geometry)
    {
        using var scope = NewDisposeScope();
        return Finish(Activate(features.Unfit(Score(features)), 1), geometry.OriginalWidth, geometry.OriginalHeight);
    }

    private Tensor Scores(Tensor pixels, DenseOptions options, CancellationToken cancel)
    {
        HeadWindows? windows = options.Whole ? null : options.Windows ?? Input.Windows;
        long height = pixels.shape[2], width = pixels.shape[3];
        bool cut = windows is not null && (height > windows.SizePixels || width > windows.SizePixels) && height * width > windows.AbovePixels;
        if (!cut) return ScoreOf(pixels);
        return new SlidingWindow(windows!.SizePixels, windows.SizePixels, windows.StridePixels, windows.StridePixels).Run(pixels, ScoreOf, cancel);

        Tensor ScoreOf(Tensor part)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            HeadFeatures features = HeadFeatures.Compute(Backbone, part, Input, Input.Layers);
            return features.Unfit(Score(features)).MoveToOuterDisposeScope(); // [1, C', h, w]
        }
    }

    // Sizes are scaled with the policy; a smaller picture is rounded up to a multiple of 32 as the published evaluation does.
    private Preprocessing Scaled(DenseOptions options, double scale, ImageBuffer image)
    {
        Preprocessing preprocessing = options.Size is { } size ? Input.Preprocessing with { Size = size } : Input.Preprocessing;
        if (scale == 1) return preprocessing;
        int multiple = scale < 1 ? 32 : 1;
        return preprocessing with { Size = preprocessing.Size.Scaled(scale, multiple, image.Width, image.Height) };
    }

    private static (long Height, long Width) Target(Tensor scores, ImageBuffer image, DenseOptions options)
    {
        long channels = scores.shape[1], full = channels * image.Height * image.Width * sizeof(float);
        return full <= options.MaxScoreBytes ? (image.Height, image.Width) : (scores.shape[2], scores.shape[3]);
    }
}
