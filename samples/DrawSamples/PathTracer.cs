using System.Numerics;

namespace DrawSamples;

/// <summary>What light meets at a point.</summary>
/// <param name="Albedo">Share of light that the matt layer reflects, linear RGB.</param>
/// <param name="Gloss">Strength of the clear coat: 0 matt, 1 glazed.</param>
/// <param name="Roughness">Spread of the reflection of the coat: 0 mirror, 1 matt.</param>
internal readonly record struct Material(Vector3 Albedo, float Gloss = 0, float Roughness = 0.3f);

/// <summary>A picture as geometry, light and camera.</summary>
internal abstract class Scene
{
    /// <summary>Where the camera stands.</summary>
    public abstract Vector3 Eye { get; }

    /// <summary>What it looks at; also the plane of sharpness.</summary>
    public abstract Vector3 Target { get; }

    /// <summary>Vertical field of view in degrees.</summary>
    public virtual float FieldOfView => 32;

    /// <summary>Radius of the lens: the larger, the softer what is out of focus.</summary>
    public virtual float Lens => 0;

    /// <summary>Multiplier of all light before tone mapping.</summary>
    public virtual float Exposure => 1;

    /// <summary>A lower bound of the distance to the nearest surface, exact near it.</summary>
    public abstract float Distance(Vector3 p);

    /// <summary>The material of the surface at a point.</summary>
    public abstract Material MaterialAt(Vector3 p, Vector3 normal);

    /// <summary>Light that arrives along a ray that meets nothing; with the lights that <see cref="SampleLight"/> draws, or without.</summary>
    public abstract Vector3 Background(Vector3 origin, Vector3 direction, bool withLights);

    /// <summary>Number of lights.</summary>
    public virtual int Lights => 1;

    /// <summary>A direction to a point of a light, drawn at random, and what arrives from there divided by the density of the draw, if nothing is in between.</summary>
    public abstract (Vector3 Direction, float Distance, Vector3 Light) SampleLight(int light, Vector3 p, ref Dice dice);

    /// <summary>Light lost to the air: mixes a colour in with distance.</summary>
    public virtual Vector3 Haze(Vector3 colour, float distance) => colour;

    /// <summary>Share of the step that is safe; below 1 for bounds that are not quite lower bounds.</summary>
    public virtual float StepScale => 0.9f;
}

/// <summary>Small deterministic random numbers (PCG32).</summary>
internal struct Dice(ulong seed)
{
    private ulong _state = seed * 6364136223846793005UL + 1442695040888963407UL;

    /// <summary>Uniform in [0, 1).</summary>
    public float Next()
    {
        ulong old = _state;
        _state = old * 6364136223846793005UL + 1442695040888963407UL;
        uint shifted = (uint)(((old >> 18) ^ old) >> 27);
        return (uint.RotateRight(shifted, (int)(old >> 59)) >> 8) * (1f / (1 << 24));
    }
}

/// <summary>Unbiased path tracing of signed distance fields: sphere tracing, next-event estimation, a clear coat over a matt layer.</summary>
internal static class PathTracer
{
    private const int Bounces = 4;
    private const float Far = 120;

    /// <summary>Renders to sRGB bytes [H, W, 3].</summary>
    public static byte[] Render(Scene scene, int width, int height, int paths)
    {
        byte[] pixels = new byte[width * height * 3];
        Vector3 forward = Vector3.Normalize(scene.Target - scene.Eye), right = Vector3.Normalize(Vector3.Cross(forward, Vector3.UnitY)), up = Vector3.Cross(right, forward);
        float focus = Vector3.Distance(scene.Eye, scene.Target), scale = MathF.Tan(scene.FieldOfView * MathF.PI / 360);
        int side = Math.Max(1, (int)MathF.Sqrt(paths));
        Parallel.For(0, height, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, y =>
        {
            for (int x = 0; x < width; x++)
            {
                var dice = new Dice((ulong)(y * width + x) + 1);
                Vector3 sum = Vector3.Zero;
                for (int s = 0; s < side * side; s++)
                {
                    float px = x + (s % side + dice.Next()) / side, py = y + (s / side + dice.Next()) / side;
                    Vector3 aim = forward + right * ((2 * px / width - 1) * scale * width / height) + up * ((1 - 2 * py / height) * scale);
                    float angle = 2 * MathF.PI * dice.Next(), radius = scene.Lens * MathF.Sqrt(dice.Next());
                    Vector3 lens = right * (radius * MathF.Cos(angle)) + up * (radius * MathF.Sin(angle));
                    Vector3 light = Trace(scene, scene.Eye + lens, Vector3.Normalize(aim * focus - lens), 0, true, ref dice);
                    sum += Vector3.Min(light, new Vector3(12)); // a few rare bright paths would show as specks
                }

                Vector3 colour = ToneMap(sum * (scene.Exposure / (side * side)));
                int i = (y * width + x) * 3;
                (pixels[i], pixels[i + 1], pixels[i + 2]) = (ToByte(colour.X, ref dice), ToByte(colour.Y, ref dice), ToByte(colour.Z, ref dice));
            }
        });
        return pixels;
    }

    // Mirror: the ray comes from the camera or a reflection. What a matt surface sends out at random must not count lights that were drawn already.
    private static Vector3 Trace(Scene scene, Vector3 origin, Vector3 direction, int bounce, bool mirror, ref Dice dice)
    {
        float t = March(scene, origin, direction, Far);
        if (t >= Far) return scene.Background(origin, direction, mirror);
        Vector3 p = origin + direction * t, normal = Normal(scene, p, t), start = p + normal * (0.002f + 0.0005f * t), result = Vector3.Zero;
        Material material = scene.MaterialAt(p, normal);
        float cosine = Math.Clamp(-Vector3.Dot(direction, normal), 0, 1), coat = material.Gloss * (0.04f + 0.96f * MathF.Pow(1 - cosine, 5)), matt = 1 - coat;

        // The first surface shows both its layers, later ones one of them at random.
        bool both = bounce == 0 && coat > 0, onlyCoat = !both && dice.Next() < coat;
        if (both || onlyCoat)
        {
            Vector3 mirrored = Vector3.Normalize(Vector3.Reflect(direction, normal) + OnSphere(ref dice) * (material.Roughness * material.Roughness));
            if (bounce + 1 < Bounces && Vector3.Dot(mirrored, normal) > 0) result = Trace(scene, start, mirrored, bounce + 1, true, ref dice) * (both ? coat : 1);
            if (onlyCoat) return result;
        }

        Vector3 weight = material.Albedo * (both ? matt : 1);
        for (int i = 0; i < scene.Lights; i++)
        {
            (Vector3 toLight, float distance, Vector3 light) = scene.SampleLight(i, start, ref dice);
            float facing = Vector3.Dot(toLight, normal);
            if (facing > 0 && light != Vector3.Zero && March(scene, start, toLight, distance) >= distance) result += weight * light * (facing / MathF.PI);
        }

        if (bounce + 1 < Bounces) result += weight * Trace(scene, start, Vector3.Normalize(normal + OnSphere(ref dice) * 0.999f), bounce + 1, false, ref dice);
        return bounce == 0 ? scene.Haze(result, t) : result;
    }

    private static float March(Scene scene, Vector3 origin, Vector3 direction, float limit)
    {
        float t = 0;
        for (int i = 0; i < 220 && t < limit; i++)
        {
            float d = scene.Distance(origin + direction * t);
            if (d < 0.0004f + 0.0002f * t) return t;
            t += d * scene.StepScale;
        }

        return t < limit ? limit : t;
    }

    private static Vector3 Normal(Scene scene, Vector3 p, float t)
    {
        float e = 0.0008f + 0.0002f * t;
        Vector3 a = new(1, -1, -1), b = new(-1, -1, 1), c = new(-1, 1, -1), d = new(1, 1, 1);
        return Vector3.Normalize(a * scene.Distance(p + a * e) + b * scene.Distance(p + b * e) + c * scene.Distance(p + c * e) + d * scene.Distance(p + d * e));
    }

    private static Vector3 OnSphere(ref Dice dice)
    {
        float z = 2 * dice.Next() - 1, angle = 2 * MathF.PI * dice.Next(), r = MathF.Sqrt(Math.Max(0, 1 - z * z));
        return new(r * MathF.Cos(angle), r * MathF.Sin(angle), z);
    }

    /// <summary>Narkowicz's fit of the ACES film curve.</summary>
    private static Vector3 ToneMap(Vector3 x)
    {
        x *= 0.6f;
        return Vector3.Clamp(x * (2.51f * x + new Vector3(0.03f)) / (x * (2.43f * x + new Vector3(0.59f)) + new Vector3(0.14f)), Vector3.Zero, Vector3.One);
    }

    private static byte ToByte(float linear, ref Dice dice)
    {
        float srgb = linear <= 0.0031308f ? 12.92f * linear : 1.055f * MathF.Pow(linear, 1 / 2.4f) - 0.055f;
        return (byte)Math.Clamp(srgb * 255 + dice.Next(), 0, 255);
    }
}
