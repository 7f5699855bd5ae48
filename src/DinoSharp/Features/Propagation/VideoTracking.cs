using DinoSharp.Features.HighResolution;
using DinoSharp.Images;

namespace DinoSharp.Features.Propagation;

/// <summary>Follows the objects of a first mask through the frames of a video: pictures in, masks out.</summary>
public static class VideoTracking
{
    /// <summary>The shorter side at which the original example sees the frames.</summary>
    public const int DefaultShorterSidePixels = 960;

    // Operations that only following needs, the animation, and what frames leave on the managed heap until it is collected; measured, see docs/log.md.
    private const long Overhead = 64 << 20;

    /// <summary>The mask of every frame after the first, each in the size of its frame. Lazy: a frame is read when its mask is asked for.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="frames">The frames; all of one size. The first is the one of which the mask is known.</param>
    /// <param name="mask">Objects of the first frame, of any size but of its shape: 0 is background.</param>
    /// <param name="shorterSidePixels">Length of the shorter side of the network's input; both sides are rounded up to whole patches.</param>
    /// <param name="options">How masks are carried on; null: as published.</param>
    /// <param name="maxMemoryBytes">The most memory that the process may hold; frames that would take more are computed in tiles. Null: no limit.</param>
    /// <param name="cancel">Checked before each frame.</param>
    /// <exception cref="DinoSharpException">A frame cannot be read or has another size, the mask has another shape, or the memory is too small for any tile.</exception>
    public static IEnumerable<LabelMap> Track(
        DinoModel model, IEnumerable<ImageBuffer> frames, LabelMap mask, int shorterSidePixels = DefaultShorterSidePixels, PropagationOptions? options = null, long? maxMemoryBytes = null, CancellationToken cancel = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shorterSidePixels, 1);
        MaskTracker? tracker = null;
        (int Width, int Height)? size = null;
        try
        {
            foreach (ImageBuffer frame in frames)
            {
                cancel.ThrowIfCancellationRequested();
                if (size is var (width, height) && (frame.Width, frame.Height) != (width, height))
                    throw new DinoSharpException($"{frame.Info.Name} has {frame.Width}x{frame.Height} pixels, the first frame {width}x{height}; all frames must have one size");
                if (size is null) PatchGeometry.Whole(frame.Width, frame.Height).RequireShape("the first mask", mask.Width, mask.Height);
                PatchMap patches = Patches(model, frame, shorterSidePixels, options, maxMemoryBytes, cancel);
                if (tracker is null)
                {
                    size = (frame.Width, frame.Height);
                    tracker = new MaskTracker(patches, mask, options);
                    continue;
                }

                tracker.Advance(patches);
                yield return tracker.Mask(frame.Width, frame.Height);
            }
        }
        finally
        {
            tracker?.Dispose();
        }
    }

    /// <summary>How frames will be computed, and the memory that following a mask takes at its peak.</summary>
    internal static ExtractionPlan Plan(DinoModel model, int frameWidth, int frameHeight, int shorterSidePixels, PropagationOptions? options, long? maxMemoryBytes)
    {
        options ??= new PropagationOptions();
        (int width, int height) = InputSize(model, frameWidth, frameHeight, shorterSidePixels, options);
        int w = width / model.Preprocessing.PatchSizePixels, h = height / model.Preprocessing.PatchSizePixels;
        long frame = (long)w * h * model.Backbone.Config.EmbedDim * sizeof(float), context = Overhead + ((options.ContextLength + 2) * frame);
        ExtractionPlan plan = model.Plan(width, height, new ExtractOptions { ImageSizePixels = null, MaxMemoryBytes = maxMemoryBytes, ReservedBytes = context });
        long step = (3 * frame) + LabelPropagation.StepBytes(h, w, model.Backbone.Config.EmbedDim, options) + model.ResidentBytes;
        if (context + step > maxMemoryBytes)
            throw new DinoSharpException($"following masks at {width}x{height} pixels with {options.ContextLength} recent frames takes about {ExtractionPlan.Words(context + step)}, the limit is {ExtractionPlan.Words(maxMemoryBytes.Value)}; use a smaller size, a shorter context or a higher limit");
        return plan with { PeakBytes = Math.Max(plan.PeakBytes, context + step), WholePeakBytes = Math.Max(plan.WholePeakBytes, context + step) };
    }

    // Shorter side given, both in whole patches; bicubic as Pillow does it.
    private static PatchMap Patches(DinoModel model, ImageBuffer frame, int shorterSide, PropagationOptions? options, long? maxMemoryBytes, CancellationToken cancel)
    {
        int? tile = Plan(model, frame.Width, frame.Height, shorterSide, options, maxMemoryBytes) is { IsTiled: true } plan ? Math.Max(plan.TileWidth, plan.TileHeight) : null; // before anything of that size is made
        (int width, int height) = InputSize(model, frame.Width, frame.Height, shorterSide, options);
        ImageBuffer rgb = frame.ToRgb8();
        byte[] pixels = new byte[checked(width * height * 3)];
        Resize.UInt8(rgb.Samples<byte>(), rgb.Width, rgb.Height, 3, new PixelWindow(0, 0, rgb.Width, rgb.Height), pixels, width, height, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        using ImageFeatures features = model.Extract(ImageBuffer.FromSamples<byte>(width, height, 3, pixels, frame.Info.Name), new ExtractOptions { ImageSizePixels = null, TileSizePixels = tile }, cancel);
        return features.PatchMap();
    }

    internal static (int Width, int Height) InputSize(DinoModel model, int frameWidth, int frameHeight, int shorterSide, PropagationOptions? options)
    {
        int patch = model.Preprocessing.PatchSizePixels, shorter = Whole(shorterSide), longer = Whole((double)Math.Max(frameWidth, frameHeight) * shorter / Math.Min(frameWidth, frameHeight));
        return frameWidth > frameHeight ? (longer, shorter) : (shorter, longer);

        int Whole(double length) => Math.Max(1, (int)(options?.Rounding == FrameRounding.Nearest ? Math.Round(length / patch, MidpointRounding.AwayFromZero) : Math.Ceiling(length / patch))) * patch;
    }
}
