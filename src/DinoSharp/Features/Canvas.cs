using System.Text;
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
        ['A'] = [0x0E, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11],
        ['B'] = [0x1E, 0x11, 0x11, 0x1E, 0x11, 0x11, 0x1E],
        ['C'] = [0x0E, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0E],
        ['D'] = [0x1C, 0x12, 0x11, 0x11, 0x11, 0x12, 0x1C],
        ['E'] = [0x1F, 0x10, 0x10, 0x1E, 0x10, 0x10, 0x1F],
        ['F'] = [0x1F, 0x10, 0x10, 0x1E, 0x10, 0x10, 0x10],
        ['G'] = [0x0E, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0F],
        ['H'] = [0x11, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11],
        ['I'] = [0x0E, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E],
        ['J'] = [0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0C],
        ['K'] = [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11],
        ['L'] = [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1F],
        ['M'] = [0x11, 0x1B, 0x15, 0x15, 0x11, 0x11, 0x11],
        ['N'] = [0x11, 0x11, 0x19, 0x15, 0x13, 0x11, 0x11],
        ['O'] = [0x0E, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E],
        ['P'] = [0x1E, 0x11, 0x11, 0x1E, 0x10, 0x10, 0x10],
        ['Q'] = [0x0E, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0D],
        ['R'] = [0x1E, 0x11, 0x11, 0x1E, 0x14, 0x12, 0x11],
        ['S'] = [0x0F, 0x10, 0x10, 0x0E, 0x01, 0x01, 0x1E],
        ['T'] = [0x1F, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
        ['U'] = [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E],
        ['V'] = [0x11, 0x11, 0x11, 0x11, 0x11, 0x0A, 0x04],
        ['W'] = [0x11, 0x11, 0x11, 0x15, 0x15, 0x15, 0x0A],
        ['X'] = [0x11, 0x11, 0x0A, 0x04, 0x0A, 0x11, 0x11],
        ['Y'] = [0x11, 0x11, 0x11, 0x0A, 0x04, 0x04, 0x04],
        ['Z'] = [0x1F, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1F],
        ['b'] = [0x10, 0x10, 0x16, 0x19, 0x11, 0x11, 0x1E],
        ['c'] = [0x00, 0x00, 0x0E, 0x10, 0x10, 0x11, 0x0E],
        ['f'] = [0x06, 0x09, 0x08, 0x1C, 0x08, 0x08, 0x08],
        ['g'] = [0x00, 0x0F, 0x11, 0x11, 0x0F, 0x01, 0x0E],
        ['i'] = [0x04, 0x00, 0x0C, 0x04, 0x04, 0x04, 0x0E],
        ['j'] = [0x02, 0x00, 0x06, 0x02, 0x02, 0x12, 0x0C],
        ['k'] = [0x10, 0x10, 0x12, 0x14, 0x18, 0x14, 0x12],
        ['l'] = [0x0C, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E],
        ['o'] = [0x00, 0x00, 0x0E, 0x11, 0x11, 0x11, 0x0E],
        ['p'] = [0x00, 0x00, 0x1E, 0x11, 0x1E, 0x10, 0x10],
        ['q'] = [0x00, 0x00, 0x0D, 0x13, 0x0F, 0x01, 0x01],
        ['r'] = [0x00, 0x00, 0x16, 0x19, 0x10, 0x10, 0x10],
        ['s'] = [0x00, 0x00, 0x0E, 0x10, 0x0E, 0x01, 0x1E],
        ['t'] = [0x08, 0x08, 0x1C, 0x08, 0x08, 0x09, 0x06],
        ['u'] = [0x00, 0x00, 0x11, 0x11, 0x11, 0x13, 0x0D],
        ['v'] = [0x00, 0x00, 0x11, 0x11, 0x11, 0x0A, 0x04],
        ['w'] = [0x00, 0x00, 0x11, 0x11, 0x15, 0x15, 0x0A],
        ['x'] = [0x00, 0x00, 0x11, 0x0A, 0x04, 0x0A, 0x11],
        ['y'] = [0x00, 0x00, 0x11, 0x11, 0x0F, 0x01, 0x0E],
        ['z'] = [0x00, 0x00, 0x1F, 0x02, 0x04, 0x08, 0x1F],
        ['_'] = [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1F],
        ['/'] = [0x00, 0x01, 0x02, 0x04, 0x08, 0x10, 0x00],
        ['%'] = [0x18, 0x19, 0x02, 0x04, 0x08, 0x13, 0x03],
        ['('] = [0x02, 0x04, 0x08, 0x08, 0x08, 0x04, 0x02],
        [')'] = [0x08, 0x04, 0x02, 0x02, 0x02, 0x04, 0x08],
        [','] = [0x00, 0x00, 0x00, 0x00, 0x0C, 0x04, 0x08],
        [':'] = [0x00, 0x0C, 0x0C, 0x00, 0x0C, 0x0C, 0x00],
        ['+'] = [0x00, 0x04, 0x04, 0x1F, 0x04, 0x04, 0x00],
        ['='] = [0x00, 0x00, 0x1F, 0x00, 0x1F, 0x00, 0x00],
        ['?'] = [0x0E, 0x11, 0x01, 0x02, 0x04, 0x00, 0x04],
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

    /// <summary>A ring around a point, visible on any ground.</summary>
    /// <param name="x">The point, from the left.</param>
    /// <param name="y">The point, from the top.</param>
    /// <param name="radius">Of the middle of the line.</param>
    /// <param name="thickness">Half of the line's width, borders included.</param>
    /// <param name="color">Between white borders; null: white between black.</param>
    public void Ring(double x, double y, double radius, double thickness, (byte Red, byte Green, byte Blue)? color = null)
    {
        (byte, byte, byte) black = (0, 0, 0), white = (byte.MaxValue, byte.MaxValue, byte.MaxValue), border = color is null ? black : white;
        int reach = (int)(radius + (2 * thickness)) + 1;
        for (int py = Math.Max(0, (int)y - reach); py < Math.Min(Height, (int)y + reach + 1); py++)
        {
            for (int px = Math.Max(0, (int)x - reach); px < Math.Min(Width, (int)x + reach + 1); px++)
            {
                double off = Math.Abs(Math.Sqrt(((px + 0.5 - x) * (px + 0.5 - x)) + ((py + 0.5 - y) * (py + 0.5 - y))) - radius);
                if (off < thickness) Blend(px, py, off < 0.6 * thickness ? color ?? white : border, 1);
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

    /// <summary>The border of a rectangle.</summary>
    public void Rectangle(Box box, double thickness, (byte Red, byte Green, byte Blue) color)
    {
        (double, double)[] corners = [(box.X, box.Y), (box.X + box.Width, box.Y), (box.X + box.Width, box.Y + box.Height), (box.X, box.Y + box.Height)];
        for (int i = 0; i < 4; i++) Line(corners[i], corners[(i + 1) % 4], thickness, color);
    }

    /// <summary>A line of black text. Accents are left out; other characters without a glyph leave a gap.</summary>
    /// <param name="text">The line.</param>
    /// <param name="left">Left edge of the text as it lies on the picture.</param>
    /// <param name="top">Upper edge of the text as it lies on the picture.</param>
    /// <param name="scale">Pixels for each dot.</param>
    /// <param name="upwards">Turned to the left, so that it is read from below.</param>
    public void Text(string text, int left, int top, int scale, bool upwards = false)
    {
        int length = TextWidth(text, scale);
        for (int i = 0; i < text.Length; i++)
        {
            if (char.IsSurrogate(text[i])) continue;
            if (!Glyphs.TryGetValue(text[i], out byte[]? rows) && !Glyphs.TryGetValue(text[i..(i + 1)].Normalize(NormalizationForm.FormD)[0], out rows)) continue;
            for (int y = 0; y < GlyphHeight * scale; y++)
            {
                for (int x = 0; x < GlyphWidth * scale; x++)
                {
                    int along = (i * (GlyphWidth + 1) * scale) + x;
                    (int px, int py) = upwards ? (left + y, top + length - 1 - along) : (left + along, top + y);
                    bool inside = px >= 0 && py >= 0 && px < Width && py < Height;
                    if (inside && ((rows[y / scale] >> (GlyphWidth - 1 - (x / scale))) & 1) == 1) Blend(px, py, (0, 0, 0), 1);
                }
            }
        }
    }

    /// <summary>A filled rectangle; what lies outside of the canvas is left out.</summary>
    public void Fill(int left, int top, int width, int height, (byte Red, byte Green, byte Blue) color)
    {
        for (int y = Math.Max(0, top); y < Math.Min(Height, top + height); y++)
        {
            for (int x = Math.Max(0, left); x < Math.Min(Width, left + width); x++) Blend(x, y, color, 1);
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
}
