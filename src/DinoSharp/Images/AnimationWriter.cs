using DinoSharp.Images.Decoding;
using NetVips;

namespace DinoSharp.Images;

/// <summary>Pictures → one animated file.</summary>
internal static class AnimationWriter
{
    /// <summary>Writes an animated GIF or WebP that repeats for ever.</summary>
    /// <param name="path">Where to; ends in .gif or .webp. An existing file is replaced.</param>
    /// <param name="frames">8-bit RGB of equal size.</param>
    /// <param name="framesPerSecond">Speed.</param>
    /// <exception cref="ImageException">Another extension, or a file that cannot be written.</exception>
    public static void Save(string path, IReadOnlyList<ImageBuffer> frames, double framesPerSecond)
    {
        string extension = Path.GetExtension(path).ToUpperInvariant();
        if (extension is not (".GIF" or ".WEBP")) throw new ImageException(path, "animations are written as .gif or .webp");
        if (frames.Count == 0 || frames.Any(f => f.Channels != 3 || f.SampleType != SampleType.UInt8 || (f.Width, f.Height) != (frames[0].Width, frames[0].Height)))
            throw new ArgumentException("an animation needs at least one frame, all 8-bit RGB of one size", nameof(frames));
        VipsDecoder.RequireLibrary(path);
        (int width, int height) = (frames[0].Width, frames[0].Height);
        byte[] strip = new byte[checked((long)width * height * 3 * frames.Count)]; // the frames one below the other, as the library wants them
        for (int i = 0; i < frames.Count; i++) frames[i].Bytes.CopyTo(strip.AsSpan(i * width * height * 3));
        try
        {
            using Image pixels = Image.NewFromMemory(strip, width, height * frames.Count, 3, Enums.BandFormat.Uchar);
            using Image animation = pixels.Copy(interpretation: Enums.Interpretation.Srgb).Mutate(image =>
            {
                image.Set(GValue.GIntType, "page-height", height);
                image.Set(GValue.GIntType, "loop", 0);
                image.Set(GValue.ArrayIntType, "delay", Enumerable.Repeat((int)Math.Round(1000 / framesPerSecond), frames.Count).ToArray());
            });
            ImageWriter.WriteWhole(path, extension == ".GIF" ? animation.GifsaveBuffer() : animation.WebpsaveBuffer(q: 80));
        }
        catch (VipsException error)
        {
            throw new ImageException(path, $"the animation cannot be encoded: {error.Message.Trim()}", error);
        }
    }
}
