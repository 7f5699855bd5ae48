using System.Numerics;

namespace DrawSamples;

/// <summary>Signed distances of simple shapes, ways to combine them, and noise to roughen them (after the well-known formulas of Inigo Quilez).</summary>
internal static class Shapes
{
    public static float Sphere(Vector3 p, Vector3 centre, float radius) => Vector3.Distance(p, centre) - radius;

    /// <summary>A bound good enough for marching.</summary>
    public static float Ellipsoid(Vector3 p, Vector3 radii)
    {
        float k0 = (p / radii).Length(), k1 = (p / (radii * radii)).Length();
        return k1 < 1e-6f ? -Math.Min(radii.X, Math.Min(radii.Y, radii.Z)) : k0 * (k0 - 1) / k1;
    }

    public static float Box(Vector3 p, Vector3 half, float rounding)
    {
        Vector3 q = Vector3.Abs(p) - half + new Vector3(rounding);
        return Vector3.Max(q, Vector3.Zero).Length() + Math.Min(Math.Max(q.X, Math.Max(q.Y, q.Z)), 0) - rounding;
    }

    /// <summary>A rod from a to b whose radius goes from ra to rb.</summary>
    public static float Rod(Vector3 p, Vector3 a, Vector3 b, float ra, float rb)
    {
        Vector3 along = b - a;
        float h = Math.Clamp(Vector3.Dot(p - a, along) / along.LengthSquared(), 0, 1);
        return Vector3.Distance(p, a + along * h) - (ra + (rb - ra) * h);
    }

    /// <summary>A ring in the xz plane; with a radius smaller than its thickness a body dimpled at both poles, such as an apple.</summary>
    public static float Ring(Vector3 p, float radius, float thickness) => new Vector2(new Vector2(p.X, p.Z).Length() - radius, p.Y).Length() - thickness;

    /// <summary>The union with a rounded seam of width k.</summary>
    public static float Blend(float a, float b, float k)
    {
        float h = Math.Max(k - Math.Abs(a - b), 0) / k;
        return Math.Min(a, b) - h * h * k * 0.25f;
    }

    public static Vector3 RotateX(Vector3 p, float angle)
    {
        (float s, float c) = MathF.SinCos(angle);
        return new(p.X, c * p.Y - s * p.Z, s * p.Y + c * p.Z);
    }

    public static Vector3 RotateY(Vector3 p, float angle)
    {
        (float s, float c) = MathF.SinCos(angle);
        return new(c * p.X + s * p.Z, p.Y, c * p.Z - s * p.X);
    }

    public static Vector3 RotateZ(Vector3 p, float angle)
    {
        (float s, float c) = MathF.SinCos(angle);
        return new(c * p.X - s * p.Y, s * p.X + c * p.Y, p.Z);
    }

    public static float Smooth(float from, float to, float x)
    {
        float t = Math.Clamp((x - from) / (to - from), 0, 1);
        return t * t * (3 - 2 * t);
    }

    /// <summary>A number in [0, 1) that belongs to a cell of space.</summary>
    public static float Hash(int x, int y, int z)
    {
        uint h = (uint)x * 0x8DA6B343u ^ (uint)y * 0xD8163841u ^ (uint)z * 0xCB1AB31Fu;
        h = (h ^ (h >> 15)) * 0x2C1B3C6Du;
        h = (h ^ (h >> 12)) * 0x297A2D39u;
        return ((h ^ (h >> 15)) >> 8) * (1f / (1 << 24));
    }

    /// <summary>Smooth noise in [0, 1] with features of size one.</summary>
    public static float Noise(Vector3 p)
    {
        float fx = MathF.Floor(p.X), fy = MathF.Floor(p.Y), fz = MathF.Floor(p.Z);
        (int x, int y, int z) = ((int)fx, (int)fy, (int)fz);
        (float u, float v, float w) = (p.X - fx, p.Y - fy, p.Z - fz);
        (u, v, w) = (u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w));
        float Row(int j, int k) => Hash(x, y + j, z + k) + u * (Hash(x + 1, y + j, z + k) - Hash(x, y + j, z + k));
        float Plane(int k) => Row(0, k) + v * (Row(1, k) - Row(0, k));
        return Plane(0) + w * (Plane(1) - Plane(0));
    }

    /// <summary>Noise with finer and finer detail, in [0, 1].</summary>
    public static float Fractal(Vector3 p, int octaves)
    {
        float sum = 0, strength = 0.5f, total = 0;
        for (int i = 0; i < octaves; i++)
        {
            sum += strength * Noise(p);
            total += strength;
            strength *= 0.5f;
            p = p * 2.03f + new Vector3(17.1f, 3.7f, 9.2f);
        }

        return sum / total;
    }

    public static Vector3 Rgb(int hex)
    {
        static float Linear(int value) => MathF.Pow(value / 255f, 2.2f);
        return new(Linear(hex >> 16 & 255), Linear(hex >> 8 & 255), Linear(hex & 255));
    }

    public static Vector3 Mix(Vector3 a, Vector3 b, float t) => a + (b - a) * Math.Clamp(t, 0, 1);
}
