using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>A solid of one material, placed on the thing it belongs to.</summary>
internal readonly record struct Part(Solid Solid, Pose Place, Material Material);

/// <summary>A thing: parts that move together.</summary>
internal sealed class Thing
{
    /// <summary>Its number in the truth maps, from 1; 0 for what is no object (ground, walls, hills).</summary>
    public required int Id { get; init; }

    /// <summary>Its value in semantic maps, see <see cref="SyntheticClasses"/>.</summary>
    public required int Semantic { get; init; }

    public required Pose Pose { get; init; }

    public required IReadOnlyList<Part> Parts { get; init; }

    /// <summary>Its size, for placing: a ball of this radius around its middle holds it.</summary>
    public float Radius => Parts.Max(p => p.Place.Origin.Length() + p.Solid.BoundingRadius);

    public Thing MovedTo(Pose pose) => new() { Id = Id, Semantic = Semantic, Pose = pose, Parts = Parts };
}

/// <summary>The light of a scene, linear.</summary>
/// <param name="ToSun">Direction to the sun, of length 1.</param>
/// <param name="Sun">Its light per colour.</param>
/// <param name="FromAbove">Light from the upper half of the surroundings.</param>
/// <param name="FromBelow">Light from the lower half.</param>
/// <param name="ShadowDepth">Share of the sun's light that a shadow takes away.</param>
internal sealed record Light(Vector3 ToSun, Vector3 Sun, Vector3 FromAbove, Vector3 FromBelow, float ShadowDepth);

/// <summary>What is seen where nothing is.</summary>
/// <param name="Horizon">Colour at the horizon, and of the fog.</param>
/// <param name="Zenith">Colour straight up.</param>
/// <param name="Clouds">Strength of clouds, 0 … 1.</param>
/// <param name="CloudShift">Which clouds.</param>
/// <param name="FogPerMetre">How fast things fade to the horizon's colour.</param>
internal sealed record Sky(Vector3 Horizon, Vector3 Zenith, float Clouds, Vector2 CloudShift, float FogPerMetre)
{
    public Vector3 Color(Vector3 direction)
    {
        Vector3 d = Vector3.Normalize(direction);
        float up = MathF.Max(d.Y, 0);
        Vector3 color = Vector3.Lerp(Horizon, Zenith, MathF.Sqrt(up));
        if (Clouds <= 0 || d.Y <= 0.02f) return color;
        Vector2 at = new Vector2(d.X, d.Z) * (0.25f / (d.Y + 0.15f)) + CloudShift;
        float cloud = Math.Clamp((NoiseBank.Rough.Sample(at.X, at.Y, 0.002f / (d.Y + 0.05f)) - 0.45f) * 3, 0, 1) * MathF.Min(1, d.Y * 6) * Clouds;
        return Vector3.Lerp(color, new Vector3(0.9f), cloud);
    }
}

/// <summary>Properties of the sensor.</summary>
/// <param name="MeanTone">What the average of the picture is exposed to, linear.</param>
/// <param name="Tint">White balance: factors per colour.</param>
/// <param name="Noise">Standard deviation in 8-bit levels.</param>
/// <param name="Vignette">Share of light lost in the corners.</param>
/// <param name="NoiseSeed">Which noise.</param>
internal sealed record Sensor(float MeanTone, Vector3 Tint, float Noise, float Vignette, uint NoiseSeed);

/// <summary>Everything there is to see.</summary>
internal sealed record Scene(IReadOnlyList<Thing> Things, Light Light, Sky Sky, Sensor Sensor);
