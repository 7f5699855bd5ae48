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
            MapRegion original = MapRegion.Of(prepared.Geometry, Backbone.Config.PatchSizePixels);
            foreach (bool mirrored in options.Flip ? (bool[])[false, true] : [false])
            {
                using var pass = NewDisposeScope();
                Tensor pixels = prepared.Tensor.unsqueeze(0); // [1, C, H, W]
                (Tensor scores, MapRegion input) = See(mirrored ? pixels.flip(3) : pixels, image, options, cancel); // [1, C', h, w]
                if (mirrored) (scores, input) = (scores.flip(3), input.Mirrored);
                MapRegion region = input.Within(original);
                if (passes == 1) return Finish(Activate(scores, 1), region, image.Width, image.Height);
                (long height, long width) = mean is null ? Target(scores.shape[1], prepared.Geometry, options) : (mean.shape[2], mean.shape[3]);
                scores = Activate(MapResize.Bilinear(scores, region, height, width), passes); // [1, C', H_out, W_out]
                // Only a tensor of the inner scope may move: moved into its own scope it would belong to none, and its finalizer would end the process.
                if (mean is null) mean = (scores / Num(passes)).MoveToOtherDisposeScope(scope);
                else mean.add_(scores, Num(1.0 / passes));
            }
        }

        return Finish(mean!, MapRegion.Whole, image.Width, image.Height);
    }

    internal sealed override bool Cuts(ImageBuffer image)
    {
        if (Input.Windows is not { } windows) return false;
        PixelWindow seen = Input.Preprocessing.Plan(image.Width, image.Height, "").Cut;
        return (long)seen.Width * seen.Height > windows.AbovePixels;
    }

    /// <summary>Scores of the fitted picture at any resolution. [B, C', h, w]</summary>
    internal abstract Tensor Score(HeadFeatures features);

    /// <summary>Numbers for each pixel that <see cref="Score"/> gives, C'.</summary>
    internal abstract int Channels { get; }

    /// <summary>Bytes that are held at the peak while a part of a picture is scored, at the resolution of the network and those of the backbone not counted.</summary>
    internal abstract long ScoringBytes(long pixels);

    /// <summary>The features of all layers side by side, before and after a norm.</summary>
    internal double GatheredPerPixel => 2.0 * Input.Layers.Sum(Backbone.Config.LayerWidth) / (Backbone.Config.PatchSizePixels * Backbone.Config.PatchSizePixels);

    /// <summary>What is averaged over several passes.</summary>
    internal abstract Tensor Activate(Tensor scores, int passes);

    /// <summary>What is averaged over windows, at the size of a window.</summary>
    internal virtual Tensor ActivateWindow(Tensor scores) => scores;

    /// <summary>The answer at the size of the picture, which lies in a region of the scores.</summary>
    internal abstract TAnswer Finish(Tensor scores, MapRegion region, int width, int height);

    internal sealed override TAnswer Answer(HeadFeatures features, ImageGeometry geometry)
    {
        using var scope = NewDisposeScope();
        MapRegion region = features.Region(Backbone.Config.PatchSizePixels).Within(MapRegion.Of(geometry, Backbone.Config.PatchSizePixels));
        return Finish(Activate(Score(features), 1), region, geometry.OriginalWidth, geometry.OriginalHeight);
    }

    // Scores of the prepared picture, and where it lies in them. Whole, they have the resolution of the network, so that they are interpolated only once.
    private (Tensor Scores, MapRegion Region) See(Tensor pixels, ImageBuffer image, DenseOptions options, CancellationToken cancel)
    {
        HeadWindows? windows = HeadMemory.WindowsOf(this, (int)pixels.shape[2], (int)pixels.shape[3], image, options);
        if (windows is null) return ScoreOf(pixels);
        var cut = new SlidingWindow(windows.SizePixels, windows.SizePixels, windows.StridePixels, windows.StridePixels);
        return (cut.Run(pixels, OfWindow, cancel), MapRegion.Whole); // [1, C', H, W]

        Tensor OfWindow(Tensor window)
        {
            using var scope = NewDisposeScope();
            (Tensor scores, MapRegion region) = ScoreOf(window);
            return ActivateWindow(MapResize.Bilinear(scores, region, window.shape[2], window.shape[3])).MoveToOuterDisposeScope(); // [1, C', H_w, W_w]
        }

        (Tensor Scores, MapRegion Region) ScoreOf(Tensor part)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            HeadFeatures features = HeadFeatures.Compute(Backbone, part, Input, Input.Layers);
            return (Score(features).MoveToOuterDisposeScope(), features.Region(Backbone.Config.PatchSizePixels)); // [1, C', h, w]
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

    private static (long Height, long Width) Target(long channels, ImageGeometry geometry, DenseOptions options)
    {
        long full = channels * geometry.OriginalHeight * geometry.OriginalWidth * sizeof(float);
        return full <= options.ScoreBytes ? (geometry.OriginalHeight, geometry.OriginalWidth) : (geometry.Height, geometry.Width);
    }
}
