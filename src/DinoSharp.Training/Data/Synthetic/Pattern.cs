using System.Numerics;
using System.Runtime.CompilerServices;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>What a surface pattern looks like. The first ones have names that people use; they are also the classes of pictures that show nothing but a surface.</summary>
internal enum PatternKind
{
    Stripes,
    Checks,
    Bricks,
    Dots,
    Wood,
    Marble,
    Cells,
    Fractal,
    Plain,
    Clouds,
    Soil,
    Creases,
    Flames,
    Spots,
    Cracks,
    Weave,
    Grains,
}

/// <summary>A pattern: a tone between 0 and 1 for every point of a surface. Regular ones soften as they shrink, so that they do not shimmer.</summary>
/// <param name="kind">Which pattern.</param>
/// <param name="duty">Share of the period that the first half of a regular pattern takes, 0 … 1.</param>
/// <param name="softness">Width of its edges, in periods.</param>
/// <param name="wobble">How far noise displaces it, in periods.</param>
/// <param name="field">The field of <see cref="PatternKind.Fractal"/>; null for others.</param>
internal sealed class Pattern(PatternKind kind, float duty, float softness, float wobble, NoiseField? field)
{
    // Noise repeats after this many periods of a regular pattern.
    private const float Stretch = 1 / 6f;

    public PatternKind Kind => kind;

    /// <param name="at">Surface coordinates in periods.</param>
    /// <param name="footprint">Periods per pixel.</param>
    public float Tone(Vector2 at, float footprint)
    {
        if (wobble > 0)
        {
            NoiseField soft = NoiseBank.Soft;
            float blur = footprint * Stretch;
            at += wobble * new Vector2(soft.Sample(at.X * Stretch, at.Y * Stretch, blur) - 0.5f, soft.Sample(at.Y * Stretch + 0.31f, at.X * Stretch, blur) - 0.5f);
        }

        float u = at.X * Stretch, v = at.Y * Stretch, f = footprint * Stretch;
        switch (kind)
        {
            case PatternKind.Stripes:
                return Edge(at.X, footprint);
            case PatternKind.Checks:
                float a = Edge(at.X * 0.5f, footprint * 0.5f), b = Edge(at.Y * 0.5f, footprint * 0.5f);
                return a + b - 2 * a * b;
            case PatternKind.Bricks:
                return Bricks(at, footprint);
            case PatternKind.Dots:
                Vector2 cell = new(at.X - MathF.Floor(at.X) - 0.5f, at.Y - MathF.Floor(at.Y) - 0.5f);
                float dot = Soften(0.15f + 0.3f * duty - cell.Length(), footprint);
                return footprint > 0.7f ? 0.3f : dot;
            case PatternKind.Wood:
                float rings = MathF.Sqrt(at.X * at.X + 0.02f * at.Y * at.Y) * 1.3f + 1.5f * NoiseBank.Soft.Sample(u * 0.7f, v * 0.1f, f);
                float ring = rings - MathF.Floor(rings);
                return Fade(0.25f + 0.5f * ring * ring, footprint * 1.3f) + 0.25f * (NoiseBank.Grain.Sample(u * 1.5f, v * 0.1f, f * 1.5f) - 0.5f) + 0.1f;
            case PatternKind.Marble:
                float vein = MathF.Abs(MathF.Sin(at.X * 1.5f + 9 * NoiseBank.Rough.Sample(u * 0.5f, v * 0.5f, f * 0.5f)));
                return Fade(MathF.Sqrt(vein), footprint);
            case PatternKind.Cells:
                return NoiseBank.Mosaic.Sample(u * 0.5f, v * 0.5f, f * 0.5f);
            case PatternKind.Fractal:
                return field!.Sample(u, v, f);
            case PatternKind.Clouds:
                return NoiseBank.Soft.Sample(u, v, f);
            case PatternKind.Soil:
                return NoiseBank.Rough.Sample(u, v, f);
            case PatternKind.Creases:
                return NoiseBank.Ridges.Sample(u, v, f);
            case PatternKind.Flames:
                return NoiseBank.Warped.Sample(u, v, f);
            case PatternKind.Spots:
                return Soften(NoiseBank.Spots.Sample(u, v, f) - duty, 0.1f);
            case PatternKind.Cracks:
                return Saturate(NoiseBank.Cracks.Sample(u, v, f) * (1 + 4 * duty));
            case PatternKind.Weave:
                float over = Edge(at.X, footprint), under = Edge(at.Y, footprint);
                float bend = 0.5f + 0.5f * MathF.Sin(MathF.PI * (at.X + MathF.Floor(at.Y))) * MathF.Sin(MathF.PI * at.Y);
                return Fade(0.3f * over + 0.3f * under + 0.4f * bend, footprint);
            case PatternKind.Grains:
                return NoiseBank.Grain.Sample(u, v, f);
            default:
                return 0.5f;
        }
    }

    private float Bricks(Vector2 at, float footprint)
    {
        float row = MathF.Floor(at.Y * 2), x = at.X + (((int)row & 1) == 0 ? 0 : 0.5f), y = at.Y * 2 - row;
        float column = MathF.Floor(x);
        x -= column;
        float mortar = 0.02f + 0.06f * duty, side = MathF.Min(x, 1 - x), end = MathF.Min(y, 1 - y) / 2;
        float inside = Soften(MathF.Min(side, end) - mortar, footprint);

        // Each brick has a tone of its own: an integer hash of its place.
        uint hash = ((uint)(int)column * 0x9e3779b1u) ^ ((uint)(int)row * 0x85ebca77u);
        hash = (hash ^ (hash >> 15)) * 0xc2b2ae3du;
        float tone = 0.45f + 0.5f * ((hash >> 16) & 0xff) / 255f;
        return footprint > 0.7f ? 0.6f : inside * tone;
    }

    /// <summary>0 and 1 by turns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private float Edge(float x, float footprint)
    {
        float phase = x - MathF.Floor(x), distance = MathF.Min(phase, duty - phase);
        if (phase > duty) distance = -MathF.Min(phase - duty, 1 - phase);
        float mean = duty, value = Soften(distance, footprint);
        float lost = Saturate((footprint - 0.35f) * 2.5f);
        return value + lost * (mean - value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private float Soften(float distance, float footprint) => Saturate(0.5f + distance / MathF.Max(softness, footprint));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Fade(float tone, float footprint) => tone + Saturate((footprint - 0.35f) * 2.5f) * (0.5f - tone);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Saturate(float x) => MathF.Min(MathF.Max(x, 0), 1);
}
