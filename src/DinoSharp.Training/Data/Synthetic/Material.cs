using System.Numerics;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>What a surface is made of: a pattern, turned and scaled, coloured by a ramp of linear light, with some wear and some shine.</summary>
internal sealed class Material
{
    private const int RampLength = 64;

    private readonly Pattern _pattern;
    private readonly Vector3[] _ramp;
    private readonly Vector2 _across;
    private readonly Vector2 _along;
    private readonly Vector2 _shift;
    private readonly float _perMetre;
    private readonly float _wear;

    private Material(Pattern pattern, Vector3[] ramp, Vector2 across, Vector2 along, Vector2 shift, float wear, float shine, int hardness)
    {
        (_pattern, _ramp, _across, _along, _shift, _wear) = (pattern, ramp, across, along, shift, wear);
        _perMetre = MathF.Max(across.Length(), along.Length());
        (Shine, Hardness) = (shine, hardness);
    }

    public PatternKind Kind => _pattern.Kind;

    /// <summary>Strength of highlights, 0 … 1.</summary>
    public float Shine { get; }

    /// <summary>Highlights fall off with the cosine to the power of 2 to this.</summary>
    public int Hardness { get; }

    /// <summary>Share of light that is given back, per colour, linear.</summary>
    /// <param name="at">Surface coordinates in metres.</param>
    /// <param name="footprint">Metres per pixel.</param>
    public Vector3 Albedo(Vector2 at, float footprint)
    {
        var p = new Vector2(Vector2.Dot(at, _across), Vector2.Dot(at, _along)) + _shift;
        float tone = _pattern.Tone(p, footprint * _perMetre);
        float x = Math.Clamp(tone, 0, 1) * (RampLength - 1.001f);
        int i = (int)x;
        Vector3 color = Vector3.Lerp(_ramp[i], _ramp[i + 1], x - i);
        if (_wear > 0) color *= 1 + _wear * (NoiseBank.Rough.Sample(p.X * 0.4f + 0.5f, p.Y * 0.4f, footprint * _perMetre * 0.4f) - 0.5f);
        return color;
    }

    /// <summary>A random material.</summary>
    /// <param name="kind">Its pattern.</param>
    /// <param name="sizeMetres">Size of the thing it covers: a pattern shows 1 to 12 times on it.</param>
    /// <param name="random">The generator.</param>
    public static Material Draw(PatternKind kind, float sizeMetres, TorchRandom random)
    {
        float duty = random.Uniform(0.3f, 0.7f), softness = random.NextSingle() < 0.7f ? 0.02f : random.Uniform(0.05f, 0.5f);
        bool regular = kind is PatternKind.Stripes or PatternKind.Checks or PatternKind.Bricks or PatternKind.Dots or PatternKind.Weave;
        float wobble = !regular ? 0 : random.NextSingle() < 0.65f ? 0 : random.Uniform(0.2f, 1.5f);
        if (kind == PatternKind.Bricks) wobble = MathF.Min(wobble, 0.15f);
        NoiseField? field = kind == PatternKind.Fractal ? FractalField.Draw(random) : null;
        Vector3[] ramp = Palette.Ramp(kind, RampLength, random);

        // A regular pattern has 2 … 12 periods on the thing; noise has 6 small features to a period.
        float periods = regular || kind == PatternKind.Marble ? MathF.Exp(random.Uniform(MathF.Log(1.5f), MathF.Log(12))) : MathF.Exp(random.Uniform(MathF.Log(2), MathF.Log(14)));
        if (kind == PatternKind.Fractal) periods = random.Uniform(5, 14);
        float scale = periods / sizeMetres;
        float stretch = kind is PatternKind.Bricks or PatternKind.Fractal || random.NextSingle() < 0.6f ? 1 : MathF.Exp(random.Uniform(-0.9f, 0.9f));
        float turn = kind == PatternKind.Bricks ? random.Uniform(-0.03f, 0.03f) : random.NextSingle() < 0.4f ? 0 : random.Uniform(0, MathF.Tau);
        (float sin, float cos) = MathF.SinCos(turn);
        var shift = kind == PatternKind.Wood ? new Vector2(random.Uniform(-1, 1), random.Uniform(-3, 3)) : new Vector2(random.Uniform(0, 50), random.Uniform(0, 50));
        float wear = random.NextSingle() < 0.5f ? random.Uniform(0.1f, 0.7f) : 0;
        float shine = random.NextSingle() < 0.35f ? random.Uniform(0.1f, 0.8f) : 0;
        return new Material(new Pattern(kind, duty, softness, wobble, field), ramp, new Vector2(cos, -sin) * scale, new Vector2(sin, cos) * scale * stretch, shift, wear, shine, (int)random.Integer(3, 8));
    }

    /// <summary>A random pattern for a thing: plain ones are common, as they are among made things.</summary>
    public static PatternKind DrawKind(TorchRandom random) =>
        random.NextSingle() < 0.28f ? PatternKind.Plain : (PatternKind)random.Integer(0, (long)PatternKind.Grains + 1);
}
