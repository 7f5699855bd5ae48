using DinoSharp.Images;

namespace DinoSharp.Features;

/// <summary>A white RGB picture to put pictures, a ring and small labels on.</summary>
internal sealed class Canvas
{
    private const int GlyphWidth = 5;
    private const int GlyphHeight = 7;

    // Five columns by seven rows; each byte is a row, bit 4 its leftmost dot.
    private static readonly Dictionary<char, byte[]> Glyphs = new()
    {
        ['0'] = [0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E],
        ['1'] = [0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E],
        ['2'] = [0x0E, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1F],
        ['3'] = [0x1F, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0E],
        ['4'] = [0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02],
        ['5'] = [0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E],
        ['6'] = [0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E],
        ['7'] = [0x1F, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
        ['8'] = [0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E],
        ['9'] = [0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C],
        ['.'] = [0x00, 0x00, 0x00, 0x00, 0x00, 0x0C, 0x0C],
        ['-'] = [0x00, 0x00, 0x00, 0x1F, 0x00, 0x00, 0x00],
        ['a'] = [0x00, 0x00, 0x0E, 0x01, 0x0F, 0x11, 0x0F],
        ['d'] = [0x01, 0x01, 0x0D, 0x13, 0x11, 0x11, 0x0F],
        ['e'] = [0x00, 0x00, 0x0E, 0x11, 0x1F, 0x10, 0x0E],
        ['h'] = [0x10, 0x10, 0x16, 0x19, 0x11, 0x11, 0x11],
        ['m'] = [0x00, 0x00, 0x1A, 0x15, 0x15, 0x11, 0x11],
        ['n'] = [0x00, 0x00, 0x16, 0x19, 0x11, 0x11, 0x11],
    };

    private readonly byte[] _pixels;

    public Canvas(int width, int height)
    {
        (Width, Height) = (width, height);
        _pixels = new byte[checked(width * height * 3)];
        Array.Fill(_pixels, byte.MaxValue);
    }

    public int Width { get; }

    public int Height { get; }

    /// <summary>Height of a line of text.</summary>
    public static int TextHeight(int scale) => GlyphHeight * scale;

    /// <summary>Width of a line of text.</summary>
    public static int TextWidth(string text, int scale) => text.Length * (GlyphWidth + 1) * scale;

    /// <summary>Puts an 8-bit RGB picture with its upper left corner at a place; all of it must fit.</summary>
    public void Draw(ImageBuffer picture, int left, int top)
    {
        ReadOnlySpan<byte> source = picture.Samples<byte>();
        int row = picture.Width * 3;
        for (int y = 0; y < picture.Height; y++) source.Slice(y * row, row).CopyTo(_pixels.AsSpan((((top + y) * Width) + left) * 3));
    }

    /// <summary>A ring around a point, white between black, visible on any ground.</summary>
    public void Ring(double x, double y, double radius, double thickness)
    {
        int reach = (int)(radius + (2 * thickness)) + 1;
        for (int py = Math.Max(0, (int)y - reach); py < Math.Min(Height, (int)y + reach + 1); py++)
        {
            for (int px = Math.Max(0, (int)x - reach); px < Math.Min(Width, (int)x + reach + 1); px++)
            {
                double off = Math.Abs(Math.Sqrt(((px + 0.5 - x) * (px + 0.5 - x)) + ((py + 0.5 - y) * (py + 0.5 - y))) - radius);
                if (off < thickness) Set(px, py, off < thickness / 2 ? byte.MaxValue : byte.MinValue);
            }
        }
    }

    /// <summary>A straight line with a soft edge.</summary>
    /// <param name="from">One end.</param>
    /// <param name="to">The other end.</param>
    /// <param name="thickness">Width of the line in pixels.</param>
    /// <param name="color">Its colour.</param>
    public void Line((double X, double Y) from, (double X, double Y) to, double thickness, (byte Red, byte Green, byte Blue) color)
    {
        double reach = (thickness / 2) + 1, dx = to.X - from.X, dy = to.Y - from.Y, squared = Math.Max(1e-9, (dx * dx) + (dy * dy));
        for (int py = Math.Max(0, (int)(Math.Min(from.Y, to.Y) - reach)); py < Math.Min(Height, Math.Max(from.Y, to.Y) + reach); py++)
        {
            for (int px = Math.Max(0, (int)(Math.Min(from.X, to.X) - reach)); px < Math.Min(Width, Math.Max(from.X, to.X) + reach); px++)
            {
                double along = Math.Clamp((((px + 0.5 - from.X) * dx) + ((py + 0.5 - from.Y) * dy)) / squared, 0, 1);
                (double offX, double offY) = (px + 0.5 - from.X - (along * dx), py + 0.5 - from.Y - (along * dy));
                Blend(px, py, color, Math.Clamp((thickness / 2) + 0.5 - Math.Sqrt((offX * offX) + (offY * offY)), 0, 1));
            }
        }
    }

    /// <summary>A line of black text; characters without a glyph leave a gap.</summary>
    public void Text(string text, int left, int top, int scale)
    {
        for (int i = 0; i < text.Length; i++)
        {
            if (!Glyphs.TryGetValue(text[i], out byte[]? rows)) continue;
            for (int y = 0; y < GlyphHeight * scale; y++)
            {
                for (int x = 0; x < GlyphWidth * scale; x++)
                {
                    int px = left + (i * (GlyphWidth + 1) * scale) + x, py = top + y;
                    if (((rows[y / scale] >> (GlyphWidth - 1 - (x / scale))) & 1) == 1 && px < Width && py < Height) Set(px, py, byte.MinValue);
                }
            }
        }
    }

    /// <summary>The picture so far.</summary>
    public ImageBuffer ToPicture() => ImageBuffer.FromSamples<byte>(Width, Height, 3, _pixels);

    private void Blend(int x, int y, (byte Red, byte Green, byte Blue) color, double share)
    {
        Span<byte> pixel = _pixels.AsSpan(((y * Width) + x) * 3, 3);
        pixel[0] = (byte)((pixel[0] * (1 - share)) + (color.Red * share) + 0.5);
        pixel[1] = (byte)((pixel[1] * (1 - share)) + (color.Green * share) + 0.5);
        pixel[2] = (byte)((pixel[2] * (1 - share)) + (color.Blue * share) + 0.5);
    }

    private void Set(int x, int y, byte level) => _pixels.AsSpan(((y * Width) + x) * 3, 3).Fill(level);
}
