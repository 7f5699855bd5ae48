namespace DinoSharp.Training.Data.Synthetic;

/// <summary>A flat figure: the points of a plane that belong to it.</summary>
internal abstract class Outline
{
    public abstract bool Contains(float x, float y);
}

/// <summary>The whole plane.</summary>
internal sealed class EndlessOutline : Outline
{
    public override bool Contains(float x, float y) => true;
}

/// <summary>Everything between an inner and an outer distance that depend on the direction: discs, hoops, stars, petals, blobs.</summary>
/// <param name="outer">Outer distance for equal steps of direction around the circle.</param>
/// <param name="hole">Inner distance as a share of the outer one.</param>
internal sealed class RadialOutline(float[] outer, float hole) : Outline
{
    private const float StepsPerTurn = 1 / MathF.Tau;
    private readonly float _most = outer.Max() * outer.Max();
    private readonly float _least = outer.Min() * outer.Min() * 0.98f;

    /// <summary>Samples a function of the direction in radians.</summary>
    public static RadialOutline Of(Func<float, float> distance, float hole = 0) =>
        new([.. Enumerable.Range(0, 256).Select(i => distance(i * MathF.Tau / 256))], hole);

    public override bool Contains(float x, float y)
    {
        float square = x * x + y * y;
        if (square > _most) return false;
        if (hole == 0 && square < _least) return true;
        float turn = MathF.Atan2(y, x) * StepsPerTurn, at = (turn - MathF.Floor(turn)) * outer.Length;
        int i = (int)at;
        float edge = outer[i % outer.Length] + (at - i) * (outer[(i + 1) % outer.Length] - outer[i % outer.Length]);
        return square <= edge * edge && square >= hole * hole * edge * edge;
    }
}

/// <summary>A rectangle, or a cross of two.</summary>
internal sealed class BarOutline(float halfWidth, float halfHeight, bool crossed) : Outline
{
    public override bool Contains(float x, float y) =>
        (MathF.Abs(x) <= halfWidth && MathF.Abs(y) <= halfHeight) || (crossed && MathF.Abs(y) <= halfWidth && MathF.Abs(x) <= halfHeight);
}

/// <summary>A disc without another one: a crescent.</summary>
internal sealed class CrescentOutline(float radius, float shift, float bite) : Outline
{
    public override bool Contains(float x, float y) => x * x + y * y <= radius * radius && (x - shift) * (x - shift) + y * y > bite * bite;
}

/// <summary>Everything below a wavy line: hills.</summary>
/// <param name="heights">Height for equal steps of x.</param>
/// <param name="step">Metres between the steps.</param>
internal sealed class HillOutline(float[] heights, float step) : Outline
{
    public override bool Contains(float x, float y)
    {
        float at = x / step + heights.Length / 2f;
        if (at < 0 || at >= heights.Length - 1) return false;
        int i = (int)at;
        return y <= heights[i] + (at - i) * (heights[i + 1] - heights[i]);
    }
}
