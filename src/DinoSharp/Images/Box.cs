namespace DinoSharp.Images;

/// <summary>An axis-aligned box in pixels; the right and lower edges are exclusive.</summary>
/// <param name="X">Left edge.</param>
/// <param name="Y">Upper edge.</param>
/// <param name="Width">Width.</param>
/// <param name="Height">Height.</param>
public readonly record struct Box(double X, double Y, double Width, double Height)
{
    /// <summary>Area in pixels.</summary>
    public double Area => Width * Height;

    /// <summary>Area shared with another box.</summary>
    /// <param name="other">The other box.</param>
    public double Intersection(Box other) =>
        Math.Max(0, Math.Min(X + Width, other.X + other.Width) - Math.Max(X, other.X)) * Math.Max(0, Math.Min(Y + Height, other.Y + other.Height) - Math.Max(Y, other.Y));

    /// <summary>Intersection over union; 0 if both boxes are empty.</summary>
    /// <param name="other">The other box.</param>
    public double Iou(Box other)
    {
        double shared = Intersection(other), union = Area + other.Area - shared;
        return union > 0 ? shared / union : 0;
    }
}
