using System.Buffers;

namespace DinoSharp.Images.Decoding;

/// <summary>One file to decode.</summary>
/// <param name="Name">For messages.</param>
/// <param name="Content">The file.</param>
/// <param name="Format">Its format.</param>
/// <param name="Options">How to read it.</param>
/// <param name="Pooled">Whether the pixels may lie in a rented array, because the caller gives it back with <see cref="ImageBuffer.Return"/>.</param>
internal sealed record DecoderInput(string Name, ReadOnlyMemory<byte> Content, ImageFormat Format, ImageReadOptions Options, bool Pooled);

/// <summary>A decoder of one or several formats, for one file. Pixels leave as they are stored: all bands, no orientation applied.</summary>
internal abstract class Decoder(DecoderInput input)
{
    protected DecoderInput Input { get; } = input;

    /// <summary>The header, with the stored size.</summary>
    public abstract ImageInfo ReadInfo();

    /// <summary>The pixels of the frame that the options name.</summary>
    public abstract ImageBuffer Decode();

    /// <summary>The only way a decoder gets memory for pixels: the limits of the options are checked here, so no decoder can forget them.</summary>
    protected byte[] Allocate(ImageInfo info, bool pooled = false)
    {
        if (info.Width < 1 || info.Height < 1 || info.Channels < 1) throw Fail($"the header gives an impossible size, {info.Width}×{info.Height} with {info.Channels} bands");
        RequireFrame(info);
        if (Math.Max(info.Width, info.Height) > Input.Options.MaxSidePixels)
        {
            throw Fail($"{info.Width}×{info.Height} has a side of more than the limit of {Input.Options.MaxSidePixels:N0} pixels; nothing was decoded. "
                + $"If the file is trusted, raise {nameof(ImageReadOptions)}.{nameof(ImageReadOptions.MaxSidePixels)}");
        }

        if (info.PixelCount > Input.Options.MaxPixels)
        {
            throw Fail($"{info.Width}×{info.Height} is {info.PixelCount:N0} pixels, more than the limit of {Input.Options.MaxPixels:N0}; nothing was decoded. "
                + $"If the file is trusted, raise {nameof(ImageReadOptions)}.{nameof(ImageReadOptions.MaxPixels)}");
        }

        if (info.ByteCount > Array.MaxLength)
            throw Fail($"{info.Width}×{info.Height} with {info.Channels} {info.SampleType} bands needs {info.ByteCount:N0} bytes; one picture may have 2 GiB. Cut it into tiles first");
        return pooled ? ArrayPool<byte>.Shared.Rent((int)info.ByteCount) : GC.AllocateUninitializedArray<byte>((int)info.ByteCount);
    }

    protected void RequireFrame(ImageInfo info)
    {
        if (Input.Options.Frame < 0 || Input.Options.Frame >= info.Frames)
            throw Fail($"there is no frame {Input.Options.Frame}; the file has {info.Frames}, counted from 0");
    }

    protected ImageException Fail(string cause, Exception? inner = null) => new(Input.Name, cause, inner);

    protected ImageException Truncated(long expected, long found) =>
        Fail($"the file is truncated: {expected:N0} bytes expected, {found:N0} found");

    /// <summary>The bytes that were found, zeros behind them, if damaged files are allowed; an error otherwise.</summary>
    protected ImageException? TruncatedUnlessAllowed(long expected, long found, ref string? damage)
    {
        if (found >= expected) return null;
        if (!Input.Options.AllowDamaged) return Truncated(expected, found);
        damage = $"truncated: {found:N0} of {expected:N0} bytes of pixel data";
        return null;
    }
}
