namespace DinoSharp.Images;

/// <summary>A class or object id for every pixel, 0 … 255, as label maps and palette masks hold it. Immutable and safe to share between threads.</summary>
public sealed class LabelMap
{
    private readonly byte[] _values;

    /// <summary>Wraps values that stay as they are from here on.</summary>
    /// <param name="width">Width in pixels.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="values">One id per pixel, row-major; not copied.</param>
    /// <exception cref="ArgumentException">The count does not match the size.</exception>
    public LabelMap(int width, int height, byte[] values)
    {
        if (values.Length != (long)width * height) throw new ArgumentException($"{width}×{height} pixels need {(long)width * height} values, not {values.Length}", nameof(values));
        (Width, Height, _values) = (width, height, values);
    }

    /// <summary>Width in pixels.</summary>
    public int Width { get; }

    /// <summary>Height in pixels.</summary>
    public int Height { get; }

    /// <summary>One id per pixel, [H, W].</summary>
    public ReadOnlySpan<byte> Values => _values;

    /// <summary>The array behind <see cref="Values"/>.</summary>
    internal byte[] Array => _values;

    /// <summary>The ids that occur, ascending.</summary>
    public IReadOnlyList<byte> Ids => [.. _values.Distinct().Order()];

    /// <summary>Share of the pixels that have each id, 0 … 1. [256]</summary>
    internal double[] Shares()
    {
        double[] counts = new double[256];
        foreach (byte id in _values) counts[id]++;
        for (int id = 0; id < counts.Length; id++) counts[id] /= _values.Length;
        return counts;
    }

    /// <summary>The colour of an id in the palette that Pascal VOC and DAVIS use: 0 is black, 1 dark red, 2 green …</summary>
    /// <param name="id">The id.</param>
    public static (byte Red, byte Green, byte Blue) Color(byte id)
    {
        (int r, int g, int b) = (0, 0, 0);
        for (int bit = 7, rest = id; rest != 0; bit--, rest >>= 3)
        {
            r |= (rest & 1) << bit;
            g |= ((rest >> 1) & 1) << bit;
            b |= ((rest >> 2) & 1) << bit;
        }

        return ((byte)r, (byte)g, (byte)b);
    }

    /// <summary>Reads ids: the entries of a palette PNG, not its colours, or the values of a gray picture.</summary>
    /// <param name="source">A path, or bytes.</param>
    /// <exception cref="ImageException">Not an image, a colour picture, or values above 255.</exception>
    public static LabelMap Read(ImageSource source)
    {
        ArgumentNullException.ThrowIfNull(source);
        ReadOnlyMemory<byte> file = source.Read();
        bool palette = PalettePng.TryExposeIndices(file, out ReadOnlyMemory<byte> indices);
        ImageBuffer picture = ImageFile.Read(source.With(palette ? indices : file));
        byte[] values = new byte[picture.Width * picture.Height];
        int channels = picture.Channels;
        if (picture.SampleType == SampleType.Float32) throw new ImageException(source.Name, "the picture holds floating-point numbers; a label map holds ids from 0 to 255");
        for (int i = 0; i < values.Length; i++)
        {
            int value = Sample(picture, i * channels);
            if (!palette && picture.Info.Color == ColorModel.Rgb && (value != Sample(picture, (i * channels) + 1) || value != Sample(picture, (i * channels) + 2)))
                throw new ImageException(source.Name, $"the pixel {i % picture.Width},{i / picture.Width} is coloured; a label map is a PNG with a palette or a gray picture whose values are ids");
            if (value > byte.MaxValue) throw new ImageException(source.Name, $"the pixel {i % picture.Width},{i / picture.Width} has the id {value}; ids reach from 0 to 255");
            values[i] = (byte)value;
        }

        return new LabelMap(picture.Width, picture.Height, values);
    }

    /// <summary>Writes a PNG whose palette entries are the ids. The file appears complete or not at all.</summary>
    /// <param name="path">Where to; ends in .png. An existing file is replaced.</param>
    /// <exception cref="ImageException">Another extension, or a file that cannot be written.</exception>
    public void Save(string path)
    {
        if (!string.Equals(Path.GetExtension(path), ".png", StringComparison.OrdinalIgnoreCase)) throw new ImageException(path, "a label map is written as .png, the format that keeps ids exactly");
        ImageWriter.WriteWhole(path, PalettePng.Encode(this));
    }

    /// <summary>The same map in another size: each new pixel takes the pixel under its middle (<c>nearest-exact</c>).</summary>
    /// <param name="width">New width.</param>
    /// <param name="height">New height.</param>
    public LabelMap ResizeNearestExact(int width, int height)
    {
        byte[] resized = new byte[checked(width * height)];
        int[] rows = NearestPixel.UnderMiddle(Height, height), columns = NearestPixel.UnderMiddle(Width, width);
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++) resized[(y * width) + x] = _values[(rows[y] * Width) + columns[x]];
        }

        return new LabelMap(width, height, resized);
    }

    /// <summary>The picture with every object tinted and outlined in a bright colour of its own; background stays as it is.</summary>
    /// <param name="picture">8-bit RGB of the same size.</param>
    /// <param name="opacity">Share of the tint, 0 … 1.</param>
    public ImageBuffer Overlay(ImageBuffer picture, double opacity = 0.5)
    {
        if (picture.Width != Width || picture.Height != Height || picture.Channels != 3)
            throw new ArgumentException($"the picture must be RGB of {Width}×{Height}, found {picture.Width}×{picture.Height} with {picture.Channels} bands", nameof(picture));
        byte[] pixels = picture.Samples<byte>().ToArray();
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < Width; x++)
            {
                int i = (y * Width) + x;
                byte id = _values[i];
                if (id == 0) continue;
                bool edge = (x > 0 && _values[i - 1] != id) || (x + 1 < Width && _values[i + 1] != id) || (y > 0 && _values[i - Width] != id) || (y + 1 < Height && _values[i + Width] != id);
                (byte r, byte g, byte b) = Bright(id);
                double share = edge ? 1 : opacity;
                Mix(ref pixels[i * 3], r, share);
                Mix(ref pixels[(i * 3) + 1], g, share);
                Mix(ref pixels[(i * 3) + 2], b, share);
            }
        }

        return ImageBuffer.FromSamples<byte>(Width, Height, 3, pixels);
    }

    /// <summary>The colour that <see cref="Overlay"/> gives an id: hues a golden section apart, so that neighbouring ids differ most. The palette of the files is too dark to lay over a picture.</summary>
    internal static (byte Red, byte Green, byte Blue) Bright(byte id)
    {
        double hue = (0.58 + (id * 0.618034)) % 1 * 6;
        return (Channel(5), Channel(3), Channel(1));

        byte Channel(int offset)
        {
            double k = (offset + hue) % 6;
            return (byte)(255 * (1 - (0.9 * Math.Clamp(Math.Min(k, 4 - k), 0, 1))));
        }
    }

    private static void Mix(ref byte pixel, byte color, double share) => pixel = (byte)((pixel * (1 - share)) + (color * share) + 0.5);

    private static int Sample(ImageBuffer picture, int index) => picture.SampleType == SampleType.UInt8 ? picture.Samples<byte>()[index] : picture.Samples<ushort>()[index];
}
