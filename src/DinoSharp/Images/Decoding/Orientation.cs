using System.Buffers;
using System.Runtime.CompilerServices;

namespace DinoSharp.Images.Decoding;

/// <summary>Turns a picture upright as its EXIF orientation asks.</summary>
internal static class Orientation
{
    // Pixels of a tile: source rows and target rows of a tile stay in the first-level cache together.
    private const int Tile = 32;

    /// <summary>The upright picture; a rented array of the stored one is given back.</summary>
    public static ImageBuffer Apply(ImageBuffer stored)
    {
        int orientation = stored.Info.Orientation;
        if (orientation is < 2 or > 8) return stored;
        bool swap = orientation >= 5;
        ImageInfo info = stored.Info with
        {
            Width = swap ? stored.Height : stored.Width,
            Height = swap ? stored.Width : stored.Height,
        };
        byte[] upright = stored.IsPooled ? ArrayPool<byte>.Shared.Rent((int)info.ByteCount) : GC.AllocateUninitializedArray<byte>((int)info.ByteCount);
        switch (info.Channels * info.BytesPerSample)
        {
            case 1: Turn<One>(stored, orientation, upright); break;
            case 2: Turn<Two>(stored, orientation, upright); break;
            case 3: Turn<Three>(stored, orientation, upright); break;
            case 4: Turn<Four>(stored, orientation, upright); break;
            case 6: Turn<Six>(stored, orientation, upright); break;
            case 8: Turn<Eight>(stored, orientation, upright); break;
            default: TurnAny(stored, orientation, upright); break;
        }

        stored.Return();
        return new ImageBuffer(info, upright, stored.IsPooled);
    }

    // Where the stored pixel (x, y) goes: index = origin + x·stepX + y·stepY.
    private static (int Origin, int StepX, int StepY) Map(int orientation, int w, int h) => orientation switch
    {
        2 => (w - 1, -1, w),
        3 => (w * h - 1, -1, -w),
        4 => ((h - 1) * w, 1, -w),
        5 => (0, h, 1),
        6 => (h - 1, h, -1),
        7 => (w * h - 1, -h, -1),
        _ => ((w - 1) * h, -h, 1),
    };

    private static void Turn<TPixel>(ImageBuffer stored, int orientation, byte[] upright)
        where TPixel : unmanaged
    {
        int w = stored.Width, h = stored.Height;
        (int origin, int stepX, int stepY) = Map(orientation, w, h);
        ref TPixel from = ref Unsafe.As<byte, TPixel>(ref stored.Array[0]);
        ref TPixel to = ref Unsafe.As<byte, TPixel>(ref upright[0]);
        for (int top = 0; top < h; top += Tile)
        {
            for (int left = 0; left < w; left += Tile)
            {
                int bottom = Math.Min(h, top + Tile), right = Math.Min(w, left + Tile);
                for (int y = top; y < bottom; y++)
                {
                    for (int x = left; x < right; x++) Unsafe.Add(ref to, origin + x * stepX + y * stepY) = Unsafe.Add(ref from, y * w + x);
                }
            }
        }
    }

    private static void TurnAny(ImageBuffer stored, int orientation, byte[] upright)
    {
        int w = stored.Width, h = stored.Height, pixel = stored.Channels * stored.Info.BytesPerSample;
        (int origin, int stepX, int stepY) = Map(orientation, w, h);
        for (int y = 0; y < h; y++)
        {
            for (int x = 0; x < w; x++)
                stored.Array.AsSpan((y * w + x) * pixel, pixel).CopyTo(upright.AsSpan((origin + x * stepX + y * stepY) * pixel));
        }
    }

#pragma warning disable CS0169 // only their size matters
    private struct One { private readonly byte _a; }

    private struct Two { private readonly short _a; }

    [InlineArray(3)]
    private struct Three { private byte _a; }

    private struct Four { private readonly int _a; }

    [InlineArray(6)]
    private struct Six { private byte _a; }

    private struct Eight { private readonly long _a; }
#pragma warning restore CS0169
}
