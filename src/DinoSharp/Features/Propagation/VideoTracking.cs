using DinoSharp.Images;

namespace DinoSharp.Features.Propagation;

/// <summary>Follows the objects of a first mask through the frames of a video: pictures in, masks out.</summary>
public static class VideoTracking
{
    /// <summary>The shorter side at which the original example sees the frames.</summary>
    public const int DefaultShorterSidePixels = 960;

    /// <summary>The mask of every frame after the first, each in the size of its frame. Lazy: a frame is read when its mask is asked for.</summary>
    /// <param name="model">The backbone.</param>
    /// <param name="frames">The frames; all of one size. The first is the one of which the mask is known.</param>
    /// <param name="mask">Objects of the first frame, of any size: 0 is background.</param>
    /// <param name="shorterSidePixels">Length of the shorter side of the network's input; both sides are rounded up to whole patches.</param>
    /// <param name="options">How masks are carried on; null: as published.</param>
    /// <param name="cancel">Checked before each frame.</param>
    /// <exception cref="DinoSharpException">A frame cannot be read, or has another size.</exception>
    public static IEnumerable<LabelMap> Track(
        DinoModel model, IEnumerable<ImageBuffer> frames, LabelMap mask, int shorterSidePixels = DefaultShorterSidePixels, PropagationOptions? options = null, CancellationToken cancel = default)
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
                PatchMap patches = Patches(model, frame, shorterSidePixels, cancel);
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

    // Shorter side given, both rounded up to whole patches; bicubic as Pillow does it.
    private static PatchMap Patches(DinoModel model, ImageBuffer frame, int shorterSide, CancellationToken cancel)
    {
        int patch = model.Preprocessing.PatchSizePixels, shorter = RoundUp(shorterSide), longer = RoundUp((double)Math.Max(frame.Width, frame.Height) * shorter / Math.Min(frame.Width, frame.Height));
        (int width, int height) = frame.Width > frame.Height ? (longer, shorter) : (shorter, longer);
        ImageBuffer rgb = frame.ToRgb8();
        byte[] pixels = new byte[checked(width * height * 3)];
        Resize.UInt8(rgb.Samples<byte>(), rgb.Width, rgb.Height, 3, new PixelWindow(0, 0, rgb.Width, rgb.Height), pixels, width, height, Interpolation.Bicubic, ResizeArithmetic.Pillow);
        using ImageFeatures features = model.Extract(ImageBuffer.FromSamples<byte>(width, height, 3, pixels, frame.Info.Name), new ExtractOptions { ImageSizePixels = null }, cancel);
        return features.PatchMap();

        int RoundUp(double length) => (int)Math.Ceiling(length / patch) * patch;
    }
}
