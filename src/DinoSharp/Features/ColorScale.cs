namespace DinoSharp.Features;

/// <summary>Numbers 0 … 1 as colours.</summary>
internal static class ColorScale
{
    // The viridis map of matplotlib (CC0) at ten equal steps; straight lines between them differ from the original by a few levels of 255.
    private static readonly (byte R, byte G, byte B)[] Steps =
    [
        (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37),
    ];

    /// <summary>Dark blue for 0 over green to yellow for 1. Values outside are clipped; not a number is 0.</summary>
    public static void Viridis(double value, Span<byte> rgb)
    {
        double position = (double.IsNaN(value) ? 0 : Math.Clamp(value, 0, 1)) * (Steps.Length - 1);
        int low = Math.Min((int)position, Steps.Length - 2);
        double t = position - low;
        (byte R, byte G, byte B) a = Steps[low], b = Steps[low + 1];
        rgb[0] = (byte)(a.R + ((b.R - a.R) * t) + 0.5);
        rgb[1] = (byte)(a.G + ((b.G - a.G) * t) + 0.5);
        rgb[2] = (byte)(a.B + ((b.B - a.B) * t) + 0.5);
    }
}
