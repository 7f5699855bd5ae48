using NetVips;

namespace DinoSharp.Images.Decoding;

/// <summary>
/// JPEG, PNG, WebP, GIF, TIFF and AVIF through libvips. Only its decoders are used: its colour conversions, rotation, resizing and operation
/// cache differ from what the official pipeline does or keep state, so raw bands are taken and everything else happens here.
/// </summary>
internal sealed class VipsDecoder(DecoderInput input) : Decoder(input)
{
    // libvips collects error text in one buffer for the whole process. A decode that failed is repeated alone, so that the text is about this file.
    private static readonly ReaderWriterLockSlim ErrorText = new();

    // Warnings go to this delegate instead of standard error; it must stay alive as long as the process.
    private static readonly Log.LogDelegate Silence = (_, _, _) => { };

    private static readonly Lazy<Exception?> LoadError = new(() =>
    {
        try
        {
            if (!ModuleInitializer.VipsInitialized) return ModuleInitializer.Exception ?? new DllNotFoundException("libvips did not initialise");
            Log.SetLogHandler("VIPS", Enums.LogLevelFlags.All, Silence);
            return null;
        }
        catch (Exception error) when (error is TypeInitializationException or DllNotFoundException or VipsException or BadImageFormatException)
        {
            return error.InnerException ?? error;
        }
    });

    // What libjpeg warns of without the pixels being in doubt. Any other warning means that the data are damaged.
    private static readonly string[] HarmlessJpegWarnings = ["extraneous bytes before marker", "Invalid SOS parameters", "Adobe", "JFIF", "progression"];

    /// <summary>Why libvips does not load; null if it does.</summary>
    public static Exception? LoadFailure => LoadError.Value;

    public static string Describe()
    {
        return LoadError.Value is { } error
            ? $"libvips cannot be loaded: {error.Message}"
            : $"libvips {NetVips.NetVips.Version(0)}.{NetVips.NetVips.Version(1)}.{NetVips.NetVips.Version(2)}";
    }

    /// <summary>Throws, naming what was to be read or written and the package to add, if there is no libvips.</summary>
    public static void RequireLibrary(string name)
    {
        if (LoadError.Value is not { } error) return;
        throw new ImageException(name, $"the native library libvips cannot be loaded ({error.Message}). "
            + "Add the package NetVips.Native.<platform> to the program, for example NetVips.Native.linux-x64", error);
    }

    public override ImageInfo ReadInfo() => Run(failOn => WithImage(failOn, (_, info) => info));

    public override ImageBuffer Decode() => Run(failOn => WithImage(failOn, Pixels));

    private ImageBuffer Pixels(Image image, ImageInfo info)
    {
        byte[] data = Allocate(info, Input.Pooled);
        WritePixels(image, info, data);
        return new ImageBuffer(info, data, Input.Pooled);
    }

    private static unsafe void WritePixels(Image image, ImageInfo info, byte[] data)
    {
        Enums.BandFormat format = info.SampleType switch
        {
            SampleType.UInt8 => Enums.BandFormat.Uchar,
            SampleType.UInt16 => Enums.BandFormat.Ushort,
            _ => Enums.BandFormat.Float,
        };
        Image? cast = image.Format == format ? null : image.Cast(format);
        try
        {
            fixed (byte* pixels = data)
            {
                // libvips evaluates straight into our memory; nothing is copied.
                using Image target = Image.NewFromMemory((IntPtr)pixels, (ulong)info.ByteCount, info.Width, info.Height, info.Channels, format);
                (cast ?? image).Write(target);
            }
        }
        finally
        {
            cast?.Dispose();
        }
    }

    private T WithImage<T>(Enums.FailOn failOn, Func<Image, ImageInfo, T> use)
    {
        if (Input.Options.Frame != 0)
        {
            using Source first = Source.NewFromMemory(Input.Content.Span);
            using Image header = Load(first, 0, failOn);
            RequireFrame(Describe(header)); // libvips would only say "bad page number"
        }

        using Source source = Source.NewFromMemory(Input.Content.Span);
        using Image loaded = Load(source, Input.Options.Frame, failOn);
        ImageInfo info = Describe(loaded);
        if (info.Color != ColorModel.MultiBand || !IsDeviceIndependent(loaded)) return use(loaded, info);
        using Image rgb = loaded.Colourspace(Enums.Interpretation.Srgb);
        return use(rgb, Describe(rgb));
    }

    private Image Load(Source source, int frame, Enums.FailOn failOn)
    {
        const Enums.Access Access = Enums.Access.Sequential;
        return Input.Format switch
        {
            ImageFormat.Jpeg => Image.JpegloadSource(source, access: Access, failOn: failOn),
            ImageFormat.Png => Image.PngloadSource(source, access: Access, failOn: failOn),
            ImageFormat.WebP => Image.WebploadSource(source, page: frame, access: Access, failOn: failOn),
            ImageFormat.Gif => Image.GifloadSource(source, page: frame, access: Access, failOn: failOn),
            ImageFormat.Tiff => Image.TiffloadSource(source, page: frame, access: Access, failOn: failOn),
            ImageFormat.Avif => Image.HeifloadSource(source, page: frame, access: Access, failOn: failOn),
            _ => throw new InvalidOperationException($"{Input.Format} is not a libvips format"),
        };
    }

    private ImageInfo Describe(Image image)
    {
        int bands = image.Bands;
        ColorModel color = image.Interpretation switch
        {
            Enums.Interpretation.Srgb or Enums.Interpretation.Rgb or Enums.Interpretation.Rgb16 when bands is 3 or 4 => ColorModel.Rgb,
            Enums.Interpretation.Cmyk when bands >= 4 => ColorModel.Cmyk,
            Enums.Interpretation.Bw or Enums.Interpretation.Grey16 when bands <= 2 => ColorModel.Gray,
            _ when bands == 1 => ColorModel.Gray,
            _ => ColorModel.MultiBand, // GeoTIFFs call any number of bands "gray"
        };
        return new ImageInfo
        {
            Name = Input.Name,
            Format = Input.Format,
            Width = image.Width,
            Height = image.Height,
            Channels = image.Bands,
            SampleType = image.Format switch
            {
                Enums.BandFormat.Uchar => SampleType.UInt8,
                Enums.BandFormat.Ushort => SampleType.UInt16,
                Enums.BandFormat.Complex or Enums.BandFormat.Dpcomplex => throw Fail("the samples are complex numbers, which are not supported"),
                _ => SampleType.Float32,
            },
            Color = color,
            HasAlpha = color is ColorModel.Gray or ColorModel.Rgb && bands is 2 or 4,
            Frames = image.Contains("n-pages") ? Math.Max(1, (int)image.Get("n-pages")) : 1,
            Orientation = image.Contains("orientation") && (int)image.Get("orientation") is >= 1 and <= 8 and int o ? o : 1,
            HasIccProfile = image.Contains("icc-profile-data"),
            Damage = null,
        };
    }

    /// <summary>Lab, XYZ and the like: the bands are no light or ink, and models know nothing of them.</summary>
    private static bool IsDeviceIndependent(Image image) => image.Interpretation is
        Enums.Interpretation.Lab or Enums.Interpretation.Labq or Enums.Interpretation.Labs or Enums.Interpretation.Lch
        or Enums.Interpretation.Xyz or Enums.Interpretation.Yxy or Enums.Interpretation.Scrgb;

    /// <summary>First strictly; then, if that failed, alone, to learn why and to decide.</summary>
    private T Run<T>(Func<Enums.FailOn, T> decode)
    {
        RequireLibrary(Input.Name);
        // Anything less strict returns a tiled TIFF that was cut off, or a JPEG with overwritten data, as if it were complete.
        const Enums.FailOn Strict = Enums.FailOn.Warning;
        ErrorText.EnterReadLock();
        try
        {
            return decode(Strict);
        }
        catch (VipsException)
        {
        }
        finally
        {
            ErrorText.ExitReadLock();
        }

        ErrorText.EnterWriteLock();
        try
        {
            _ = new VipsException(""); // takes whatever text is in the buffer out of it
            return decode(Strict);
        }
        catch (VipsException failure)
        {
            string cause = Input.Format == ImageFormat.Png && PngChunks.FindDamage(Input.Content.Span) is { } chunk ? chunk : Explain(failure);
            bool harmless = Input.Format == ImageFormat.Jpeg && HarmlessJpegWarnings.Any(w => cause.Contains(w, StringComparison.Ordinal));
            if (!harmless && !Input.Options.AllowDamaged) throw Fail($"the {Input.Format.ToString().ToUpperInvariant()} file is truncated or damaged: {cause}", failure);
            T result = Again(decode, harmless ? Enums.FailOn.Error : Enums.FailOn.None);
            return harmless ? result : Damaged(result, cause);
        }
        finally
        {
            ErrorText.ExitWriteLock();
        }
    }

    private T Again<T>(Func<Enums.FailOn, T> decode, Enums.FailOn failOn)
    {
        try
        {
            return decode(failOn);
        }
        catch (VipsException failure)
        {
            throw Fail($"the {Input.Format.ToString().ToUpperInvariant()} file is truncated or damaged: {Explain(failure)}", failure);
        }
    }

    private static T Damaged<T>(T result, string cause)
    {
        return result switch
        {
            ImageInfo info => (T)(object)(info with { Damage = cause }),
            ImageBuffer image => (T)(object)image.With(image.Info with { Damage = cause }),
            _ => result,
        };
    }

    /// <summary>The decoder's own words, without the names of libvips' functions.</summary>
    private static string Explain(VipsException failure)
    {
        IEnumerable<string> lines = failure.Message.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Where(line => !line.StartsWith("unable to", StringComparison.Ordinal))
            .Select(line => line[(line.IndexOf(": ", StringComparison.Ordinal) is > 0 and int colon ? colon + 2 : 0)..])
            .Distinct();
        string text = string.Join("; ", lines);
        return text.Length > 0 ? text : "the data end early or make no sense";
    }
}
