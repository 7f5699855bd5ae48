using System.CommandLine;
using System.Globalization;
using DinoSharp.Features;
using DinoSharp.Images;

namespace DinoSharp.Cli.Pictures;

/// <summary>A part of a picture that was named on the command line: a pixel or a box.</summary>
/// <param name="X">First column.</param>
/// <param name="Y">First row.</param>
/// <param name="Width">Columns; 1 for a pixel.</param>
/// <param name="Height">Rows; 1 for a pixel.</param>
internal sealed record Region(int X, int Y, int Width, int Height)
{
    private const double Radius = 12, Thickness = 4;

    /// <summary>The option <c>--box</c>, repeated for several boxes.</summary>
    public static Option<Region[]> Boxes(string description) => new("--box")
    {
        Description = description,
        HelpName = "X,Y,W,H",
        CustomParser = result =>
        {
            var boxes = new List<Region>();
            foreach (string word in result.Tokens.Select(token => token.Value))
            {
                int[] numbers = [.. word.Split(',').Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1)];
                if (numbers is [>= 0 and var x, >= 0 and var y, > 0 and var width, > 0 and var height]) boxes.Add(new Region(x, y, width, height));
                else result.AddError($"--box {word}: expected left, top, width and height in whole pixels, such as --box 120,80,200,150");
            }

            return [.. boxes];
        },
    };

    /// <summary>One pixel.</summary>
    public static Region Of(Place place) => new(place.X, place.Y, 1, 1);

    /// <summary>Refuses what is not wholly on the picture.</summary>
    public void RequireInside(Photo photo)
    {
        if ((long)X + Width > photo.Pixels.Width || (long)Y + Height > photo.Pixels.Height)
            throw new DinoSharpException($"{this} is outside of the picture {photo.Path}, which has {photo.Pixels.Width}x{photo.Pixels.Height} pixels (0,0 to {photo.Pixels.Width - 1},{photo.Pixels.Height - 1})");
    }

    /// <summary>What its patches have in common. [D]</summary>
    public float[] Vector(PatchMap map) => map.MeanDirection(new Box(X, Y, Width, Height));

    /// <summary>A ring around the pixel, or the box.</summary>
    public void Draw(Canvas canvas, double scale, (byte Red, byte Green, byte Blue)? color)
    {
        if ((Width, Height) == (1, 1)) canvas.Ring((X + 0.5) * scale, (Y + 0.5) * scale, Radius, Thickness, color);
        else canvas.Rectangle(new Box(X * scale, Y * scale, Width * scale, Height * scale), Thickness, color ?? (byte.MaxValue, byte.MaxValue, byte.MaxValue));
    }

    public override string ToString() => (Width, Height) == (1, 1) ? $"the pixel {X},{Y}" : $"the box {X},{Y},{Width},{Height}";
}
