using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>A shape with an exact answer to "where does this ray hit it", centred on the origin of its own axes; y is up, lengths are metres.</summary>
internal abstract class Solid
{
    /// <summary>Smallest distance of a hit, in lengths of the ray's direction.</summary>
    protected const float Near = 1e-3f;

    /// <summary>Radius of a ball around the origin that holds the shape; infinite if none does.</summary>
    public abstract float BoundingRadius { get; }

    /// <summary>How many times <paramref name="direction"/> the first hit is away; infinite if there is none.</summary>
    public abstract float Hit(Vector3 origin, Vector3 direction);

    /// <summary>The outward direction at a point of the surface, of length 1.</summary>
    public abstract Vector3 Normal(Vector3 point);

    /// <summary>Coordinates on the surface in metres.</summary>
    public abstract Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal);

    /// <summary>Coordinates of the plane that the surface faces most.</summary>
    protected static Vector2 BoxCoordinates(Vector3 p, Vector3 n)
    {
        Vector3 a = Vector3.Abs(n);
        return a.Y >= a.X && a.Y >= a.Z ? new(p.X, p.Z) : a.X >= a.Z ? new(p.Z + 3, p.Y) : new(p.X + 7, p.Y);
    }

    /// <summary>Coordinates on a body of revolution about y.</summary>
    protected static Vector2 RoundCoordinates(Vector3 p, float radius) => new(MathF.Atan2(p.X, p.Z) * radius, p.Y);
}

/// <summary>A ball, stretched along its axes.</summary>
internal sealed class Ellipsoid(Vector3 radii) : Solid
{
    private readonly Vector3 _inverse = Vector3.One / radii;

    public override float BoundingRadius => MathF.Max(radii.X, MathF.Max(radii.Y, radii.Z));

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        Vector3 o = origin * _inverse, d = direction * _inverse;
        float dd = Vector3.Dot(d, d), middle = -Vector3.Dot(o, d) / dd;
        Vector3 closest = o + d * middle; // from here the numbers are small and the root is accurate
        float room = 1 - Vector3.Dot(closest, closest);
        if (room < 0) return float.PositiveInfinity;
        float half = MathF.Sqrt(room / dd);
        return middle - half > Near ? middle - half : middle + half > Near ? middle + half : float.PositiveInfinity;
    }

    public override Vector3 Normal(Vector3 point) => Vector3.Normalize(point * _inverse * _inverse);

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) => MathF.Abs(normal.Y) > 0.8f ? new(point.X, point.Z) : RoundCoordinates(point, radii.X);
}

/// <summary>A block with flat faces.</summary>
internal sealed class Block(Vector3 half) : Solid
{
    public override float BoundingRadius => half.Length();

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        Vector3 inverse = Vector3.One / direction, a = (-half - origin) * inverse, b = (half - origin) * inverse;
        Vector3 enter = Vector3.Min(a, b), leave = Vector3.Max(a, b);
        float first = MathF.Max(enter.X, MathF.Max(enter.Y, enter.Z)), last = MathF.Min(leave.X, MathF.Min(leave.Y, leave.Z));
        return first > last || last < Near ? float.PositiveInfinity : first > Near ? first : last;
    }

    public override Vector3 Normal(Vector3 point)
    {
        Vector3 p = point / half, a = Vector3.Abs(p);
        return a.X >= a.Y && a.X >= a.Z ? new(MathF.Sign(p.X), 0, 0) : a.Y >= a.Z ? new(0, MathF.Sign(p.Y), 0) : new(0, 0, MathF.Sign(p.Z));
    }

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) => BoxCoordinates(point, normal);
}

/// <summary>A cylinder or cone about y, cut off flat at both ends.</summary>
/// <param name="bottom">Radius at the bottom.</param>
/// <param name="top">Radius at the top.</param>
/// <param name="halfHeight">Half the height.</param>
internal sealed class Frustum(float bottom, float top, float halfHeight) : Solid
{
    private readonly float _slope = (top - bottom) / (2 * halfHeight);
    private readonly float _middle = (top + bottom) / 2;

    public override float BoundingRadius => MathF.Sqrt(halfHeight * halfHeight + MathF.Max(bottom, top) * MathF.Max(bottom, top));

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        // Side: x² + z² = (m + s·y)², from the point of the ray nearest to the centre.
        float shift = -Vector3.Dot(origin, direction) / Vector3.Dot(direction, direction);
        Vector3 o = origin + direction * shift, d = direction;
        float ro = _middle + _slope * o.Y, rd = _slope * d.Y;
        float a = d.X * d.X + d.Z * d.Z - rd * rd, b = o.X * d.X + o.Z * d.Z - ro * rd, c = o.X * o.X + o.Z * o.Z - ro * ro;
        float best = float.PositiveInfinity, room = b * b - a * c;
        if (room >= 0 && MathF.Abs(a) > 1e-12f)
        {
            float root = MathF.Sqrt(room);
            Side((-b - root) / a);
            Side((-b + root) / a);
        }

        if (d.Y != 0)
        {
            Cap(halfHeight, top);
            Cap(-halfHeight, bottom);
        }

        return best;

        void Side(float t)
        {
            float y = o.Y + t * d.Y;
            if (t + shift > Near && t + shift < best && MathF.Abs(y) <= halfHeight && _middle + _slope * y >= 0) best = t + shift;
        }

        void Cap(float y, float radius)
        {
            float t = (y - o.Y) / d.Y;
            Vector3 p = o + d * t;
            if (t + shift > Near && t + shift < best && p.X * p.X + p.Z * p.Z <= radius * radius) best = t + shift;
        }
    }

    public override Vector3 Normal(Vector3 point)
    {
        float across = MathF.Sqrt(point.X * point.X + point.Z * point.Z), side = MathF.Abs(across - (_middle + _slope * point.Y));
        if (halfHeight - MathF.Abs(point.Y) < side || across == 0) return new(0, MathF.Sign(point.Y), 0);
        return Vector3.Normalize(new(point.X / across, -_slope, point.Z / across));
    }

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) =>
        MathF.Abs(normal.Y) == 1 ? new(point.X, point.Z) : RoundCoordinates(point, MathF.Max(bottom, top));
}

/// <summary>A ring about y.</summary>
/// <param name="major">Radius of the circle in the middle of the tube.</param>
/// <param name="minor">Radius of the tube.</param>
internal sealed class Torus(float major, float minor) : Solid
{
    private const float Step = 2e-3f;
    private const int Halvings = 12;

    public override float BoundingRadius => major + minor;

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        float length = direction.Length();
        Vector3 d = direction / length;
        float middle = -Vector3.Dot(origin, d), beside = (origin + d * middle).LengthSquared(), reach = (major + minor) * (major + minor) - beside;
        if (reach <= 0) return float.PositiveInfinity;
        float half = MathF.Sqrt(reach), t = MathF.Max(middle - half - Step * major, Near * length), end = middle + half, outside = t;
        while (t < end)
        {
            float distance = Distance(origin + d * t);
            if (distance <= 0) return outside == t ? float.PositiveInfinity : Between(outside, t) / length;
            outside = t;
            t += MathF.Max(distance, Step * major); // as far as nothing can be, but never so little that a ray along the surface takes forever
        }

        return float.PositiveInfinity;

        float Between(float before, float behind)
        {
            for (int i = 0; i < Halvings; i++)
            {
                float center = (before + behind) / 2;
                if (Distance(origin + d * center) > 0) before = center;
                else behind = center;
            }

            return before;
        }
    }

    public override Vector3 Normal(Vector3 point)
    {
        float across = MathF.Sqrt(point.X * point.X + point.Z * point.Z);
        var ring = new Vector3(point.X * major / across, 0, point.Z * major / across);
        return Vector3.Normalize(point - ring);
    }

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) =>
        new(MathF.Atan2(point.X, point.Z) * major, MathF.Atan2(point.Y, MathF.Sqrt(point.X * point.X + point.Z * point.Z) - major) * minor);

    private float Distance(Vector3 p)
    {
        float across = MathF.Sqrt(p.X * p.X + p.Z * p.Z) - major;
        return MathF.Sqrt(across * across + p.Y * p.Y) - minor;
    }
}

/// <summary>What lies behind all of some planes: pyramids, roofs, gems.</summary>
/// <param name="planes">Outward directions of length 1.</param>
/// <param name="distances">Distance of each plane from the origin.</param>
/// <param name="radius">A ball that holds it.</param>
internal sealed class Polyhedron(Vector3[] planes, float[] distances, float radius) : Solid
{
    public override float BoundingRadius => radius;

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        float first = float.NegativeInfinity, last = float.PositiveInfinity;
        for (int i = 0; i < planes.Length; i++)
        {
            float speed = Vector3.Dot(planes[i], direction), gap = distances[i] - Vector3.Dot(planes[i], origin);
            if (speed < 0) first = MathF.Max(first, gap / speed);
            else if (speed > 0) last = MathF.Min(last, gap / speed);
            else if (gap < 0) return float.PositiveInfinity;
        }

        return first > last || last < Near ? float.PositiveInfinity : first > Near ? first : last;
    }

    public override Vector3 Normal(Vector3 point)
    {
        int nearest = 0;
        float best = float.PositiveInfinity;
        for (int i = 0; i < planes.Length; i++)
        {
            float gap = MathF.Abs(distances[i] - Vector3.Dot(planes[i], point));
            if (gap < best) (nearest, best) = (i, gap);
        }

        return planes[nearest];
    }

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) => BoxCoordinates(point, normal);
}

/// <summary>The horizontal plane y = 0, seen from above.</summary>
internal sealed class Floor : Solid
{
    public override float BoundingRadius => float.PositiveInfinity;

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        float t = -origin.Y / direction.Y;
        return t > Near && direction.Y < 0 ? t : float.PositiveInfinity;
    }

    public override Vector3 Normal(Vector3 point) => Vector3.UnitY;

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) => new(point.X, point.Z);
}

/// <summary>A flat piece with an outline, in the plane z = 0, seen from both sides.</summary>
/// <param name="outline">Which points of the plane belong to it.</param>
/// <param name="radius">A circle that holds the outline, in its units; infinite for a whole plane.</param>
/// <param name="size">Metres per unit of the outline.</param>
internal sealed class Card(Outline outline, float radius, float size = 1) : Solid
{
    private readonly float _perMetre = 1 / size;

    public override float BoundingRadius => radius * size;

    public override float Hit(Vector3 origin, Vector3 direction)
    {
        float t = -origin.Z / direction.Z;
        if (!(t > Near)) return float.PositiveInfinity;
        Vector3 p = origin + direction * t;
        return outline.Contains(p.X * _perMetre, p.Y * _perMetre) ? t : float.PositiveInfinity;
    }

    public override Vector3 Normal(Vector3 point) => Vector3.UnitZ;

    public override Vector2 SurfaceCoordinates(Vector3 point, Vector3 normal) => new(point.X, point.Y);
}
