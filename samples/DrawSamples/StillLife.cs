using System.Numerics;
using static DrawSamples.Shapes;

namespace DrawSamples;

/// <summary>Fruit, a bowl and a jug on a wooden table, in the morning sun that falls through a window on the left.</summary>
internal sealed class StillLife : Scene
{
    private static readonly Vector3 Sun = Vector3.Normalize(new Vector3(-1.0f, 0.5f, 0.3f));
    private static readonly Vector3 SunLight = new Vector3(1.0f, 0.84f, 0.62f) * 9f, SkyLight = new Vector3(0.7f, 0.82f, 1.0f) * 3.4f;

    // The window is an opening in a wall that the camera does not see.
    private const float WallX = -9, WindowBottom = 1.2f, WindowTop = 9.6f, WindowNear = 7.5f, WindowFar = -5.6f;

    private static readonly Vector3[] Oranges = [new(-2.55f, 1.1f, -0.75f), new(-0.95f, 1.1f, -0.55f), new(-1.75f, 1.1f, -2.0f), new(-1.72f, 2.22f, -1.05f)];
    private static readonly Vector3 Bowl = new(-1.75f, 0, -1.1f), Apple = new(1.35f, 0, 1.1f), GreenApple = new(3.0f, 0, -0.35f), Pear = new(0.75f, 0, -1.15f), Lemon = new(-0.75f, 0.62f, 2.0f);
    private static readonly Vector3 Jug = new(3.15f, 0, -3.0f), Grapes = new(-3.9f, 0, 1.55f);
    private static readonly (Vector3 Centre, float Radius)[] Berries = [.. Enumerable.Range(0, 23).Select(Berry)];

    private enum Part { Table, Wall, Cloth, Bowl, Orange, Apple, GreenApple, Stem, Leaf, Pear, Lemon, Jug, Grape }

    public override Vector3 Eye => new(0.4f, 5.6f, 12.2f);

    public override Vector3 Target => new(-0.1f, 1.25f, -0.3f);

    public override float FieldOfView => 36;

    public override float Lens => 0.06f;

    public override float Exposure => 1.15f;

    public override float Distance(Vector3 p) => Nearest(p).Distance;

    public override Vector3 Background(Vector3 origin, Vector3 direction, bool withLights)
    {
        if (direction.X < 0)
        {
            Vector3 hit = origin + direction * ((WallX - origin.X) / direction.X);
            if (InWindow(hit)) return withLights ? SkyLight * 1.6f : Vector3.Zero;
        }

        return new Vector3(0.34f, 0.3f, 0.26f) * (1 + 0.4f * direction.Y); // the rest of the room
    }

    public override int Lights => 2;

    public override (Vector3 Direction, float Distance, Vector3 Light) SampleLight(int light, Vector3 p, ref Dice dice)
    {
        if (light == 0)
        {
            Vector3 spread = new Vector3(dice.Next(), dice.Next(), dice.Next()) * 0.035f;
            Vector3 direction = Vector3.Normalize(Sun + spread);
            Vector3 hit = p + direction * ((WallX - p.X) / direction.X);
            return (direction, 60, InWindow(hit) ? SunLight : Vector3.Zero);
        }

        var point = new Vector3(WallX, WindowBottom + (WindowTop - WindowBottom) * dice.Next(), WindowFar + (WindowNear - WindowFar) * dice.Next());
        Vector3 to = point - p;
        float squared = to.LengthSquared(), distance = MathF.Sqrt(squared);
        if (!InWindow(point)) return (to / distance, distance, Vector3.Zero);
        float area = (WindowTop - WindowBottom) * (WindowNear - WindowFar);
        return (to / distance, distance * 0.98f, SkyLight * (area * -to.X / distance / squared));
    }

    public override Material MaterialAt(Vector3 p, Vector3 normal)
    {
        switch (Nearest(p).Part)
        {
            case Part.Table: return Wood(p);
            case Part.Wall: return new(Rgb(0xC9BBA0) * (0.86f + 0.2f * Fractal(p * 0.6f, 4)));
            case Part.Cloth: return Cloth(p);
            case Part.Bowl:
                bool rim = p.Y > 1.42f, inside = Vector3.Dot(normal, p - Bowl - new Vector3(0, 1.6f, 0)) < 0;
                Vector3 glaze = inside ? Rgb(0xE9E2D0) : Mix(Rgb(0x1F6F78), Rgb(0x2F97A0), Fractal(p * 1.3f, 3) * 1.6f - 0.4f);
                return new(rim ? Rgb(0xE3D3B0) : Math.Abs(p.Y - 0.98f) < 0.09f && !inside ? Rgb(0xE9DFC2) : glaze, 1, 0.12f);
            case Part.Orange:
                return new(Mix(Rgb(0xE8830C), Rgb(0xF59A1B), Fractal(p * 2, 3)) * (0.9f + 0.15f * Noise(p * 26)), 0.8f, 0.42f);
            case Part.Apple: return AppleSkin(p - Apple, Rgb(0xA8121A), Rgb(0xE9A534), 0.52f);
            case Part.GreenApple: return AppleSkin(p - GreenApple, Rgb(0x7FA82A), Rgb(0xB9C64A), 0.45f);
            case Part.Stem: return new(Rgb(0x4A3520) * (0.7f + 0.6f * Noise(p * 9)));
            case Part.Leaf: return new(Mix(Rgb(0x2F6B23), Rgb(0x5E9636), Fractal(p * 5, 3)), 0.6f, 0.35f);
            case Part.Pear:
                Vector3 q = p - Pear;
                float blush = Smooth(0.1f, 1, Vector3.Dot(normal, Vector3.Normalize(new Vector3(0.9f, 0.2f, 0.6f)))) * 0.65f;
                Vector3 skin = Mix(Mix(Rgb(0xA9A935), Rgb(0xC9C052), q.Y / 2.4f), Rgb(0xB9722C), blush);
                return new(skin * (Noise(p * 38) > 0.8f ? 0.72f : 1f), 0.6f, 0.4f);
            case Part.Lemon: return new(Mix(Rgb(0xE9C013), Rgb(0xF4DA3A), Fractal(p * 3, 3)) * (0.93f + 0.1f * Noise(p * 30)), 0.8f, 0.36f);
            case Part.Jug:
                float height = p.Y - Jug.Y;
                bool stripe = Math.Abs(height - 1.75f) < 0.32f, line = Math.Abs(Math.Abs(height - 1.75f) - 0.44f) < 0.04f;
                Vector3 clay = Rgb(0xEDE6D6) * (0.93f + 0.09f * Fractal(p * 2.5f, 3));
                if (stripe && Math.Abs(MathF.Sin(MathF.Atan2(p.Z - Jug.Z, p.X - Jug.X) * 8) * 0.22f - (height - 1.75f)) < 0.07f) return new(Rgb(0xEDE6D6), 1, 0.15f);
                return new(stripe || line ? Rgb(0x274B8F) : clay, 1, 0.15f);
            default: return new(Mix(Rgb(0x3A1A4A), Rgb(0x6A2C5E), Fractal(p * 2.2f, 3)) * (0.8f + 0.4f * Noise(p * 5)), 0.9f, 0.28f);
        }
    }

    private static bool InWindow(Vector3 hit)
    {
        if (hit.Y < WindowBottom || hit.Y > WindowTop || hit.Z > WindowNear || hit.Z < WindowFar) return false;
        float column = (hit.Z - WindowFar) / (WindowNear - WindowFar) * 3 % 1, row = (hit.Y - WindowBottom) / (WindowTop - WindowBottom) * 3 % 1;
        return column is > 0.05f and < 0.95f && row is > 0.05f and < 0.95f; // nine panes and the bars between
    }

    private static Material Wood(Vector3 p)
    {
        float plank = MathF.Floor((p.Z + 20) / 1.9f), across = (p.Z + 20) / 1.9f - plank;
        Vector3 q = new(p.X * 0.22f + plank * 7.3f, plank * 3.1f, p.Z * 2.4f);
        float grain = MathF.Sin((q.Z + 2.2f * Fractal(q, 4)) * 9) * 0.5f + 0.5f, fibre = Noise(new Vector3(p.X * 1.2f, plank, p.Z * 46));
        Vector3 colour = Mix(Rgb(0x6B4226), Rgb(0x9C6B3E), 0.55f * grain + 0.3f * fibre + 0.25f * Hash((int)plank, 5, 9));
        float gap = Smooth(0.0f, 0.018f, Math.Min(across, 1 - across));
        return new(colour * (0.35f + 0.65f * gap), 0.35f, 0.45f);
    }

    private static Material Cloth(Vector3 p)
    {
        Vector3 q = RotateY(p - new Vector3(1.7f, 0, 0.4f), 0.28f);
        float Stripe(float x) => Smooth(0.42f, 0.46f, Math.Abs((x * 1.15f + 50) % 1 - 0.5f)) > 0.5f ? 0 : Math.Abs((x * 1.15f + 50) % 1 - 0.5f) < 0.25f ? 1 : 0;
        float check = (Stripe(q.X) + Stripe(q.Z)) * 0.5f, weave = 0.9f + 0.1f * MathF.Sin(q.X * 95) * MathF.Sin(q.Z * 95);
        return new(Mix(Rgb(0xEFE8DA), Rgb(0x9E2B2F), check) * weave);
    }

    private static Material AppleSkin(Vector3 q, Vector3 sunny, Vector3 shaded, float edge)
    {
        float angle = MathF.Atan2(q.Z, q.X), streaks = Noise(new Vector3(angle * 11, q.Y * 1.3f, 4)) * 0.5f + Noise(new Vector3(angle * 27, q.Y * 2.2f, 8)) * 0.3f;
        float side = 0.5f + 0.35f * MathF.Sin(angle + 1.1f) + 0.25f * q.Y / 1.6f;
        Vector3 colour = Mix(shaded, sunny, Smooth(edge - 0.3f, edge + 0.25f, side * 0.6f + streaks * 0.75f));
        return new(Noise(q * 24) > 0.86f ? Mix(colour, Rgb(0xE8D9A0), 0.45f) : colour, 1, 0.22f);
    }

    private static (Vector3, float) Berry(int i)
    {
        float layer = i < 12 ? 0 : i < 20 ? 1 : 2, angle = i * 2.399963f;
        float spread = layer == 0 ? 0.95f * MathF.Sqrt((i + 0.5f) / 12) : layer == 1 ? 0.62f * MathF.Sqrt((i - 11.5f) / 8) : 0.25f;
        return (new(1.35f * spread * MathF.Cos(angle), 0.34f + 0.47f * layer, spread * MathF.Sin(angle)), 0.32f + 0.035f * Hash(i, 1, 2));
    }

    private static (float Distance, Part Part) Nearest(Vector3 p)
    {
        (float Distance, Part Part) best = (p.Y, Part.Table);
        void Offer(float distance, Part part)
        {
            if (distance < best.Distance) best = (distance, part);
        }

        // Farther than a ball around the thing, the distance to that ball is bound enough.
        bool Near(Vector3 centre, float radius, Part part)
        {
            float outside = Vector3.Distance(p, centre) - radius;
            if (outside < 0.25f) return true;
            Offer(outside, part);
            return false;
        }

        Offer(p.Z + 6.5f, Part.Wall);
        if (p.Y < 0.6f) Offer(ClothAt(p), Part.Cloth);
        if (Near(Bowl + new Vector3(0, 1.2f, 0), 2.75f, Part.Bowl))
        {
            Offer(BowlAt(p - Bowl), Part.Bowl);
            foreach (Vector3 orange in Oranges)
            {
                float d = Sphere(p, orange, 0.82f);
                Offer(d < 0.1f ? d + 0.012f * (Noise(p * 22) - 0.5f) : d, Part.Orange);
            }
        }

        if (Near(Apple + new Vector3(0, 0.9f, 0), 1.75f, Part.Apple)) OfferApple(p - Apple, Part.Apple, 1, 0.3f);
        if (Near(GreenApple + new Vector3(0, 0.9f, 0), 1.7f, Part.GreenApple)) OfferApple(p - GreenApple, Part.GreenApple, 0.94f, -0.5f);
        if (Near(Pear + new Vector3(0, 1.2f, 0), 2.05f, Part.Pear))
        {
            Vector3 q = RotateZ(p - Pear, 0.1f);
            Offer(Blend(Sphere(q, new(0, 0.88f, 0), 0.9f), Sphere(q, new(0.05f, 2.0f, 0), 0.47f), 0.95f), Part.Pear);
            Offer(Rod(q, new(0.05f, 2.35f, 0), new(0.24f, 2.95f, 0.08f), 0.05f, 0.07f), Part.Stem);
        }

        if (Near(Lemon, 1.2f, Part.Lemon))
        {
            Vector3 q = RotateY(RotateZ(p - Lemon, 0.12f), 0.5f);
            float body = Blend(Ellipsoid(q, new(0.86f, 0.64f, 0.64f)), Blend(Sphere(q, new(0.88f, 0, 0), 0.13f), Sphere(q, new(-0.86f, 0, 0), 0.17f), 0.1f), 0.35f);
            Offer(body + (body < 0.1f ? 0.008f * (Noise(q * 17) - 0.5f) : 0), Part.Lemon);
        }

        if (Near(Jug + new Vector3(0, 2.2f, 0), 3.1f, Part.Jug)) Offer(JugAt(p - Jug), Part.Jug);
        if (Near(Grapes + new Vector3(0, 0.7f, 0), 1.9f, Part.Grape))
        {
            Vector3 q = p - Grapes;
            foreach ((Vector3 centre, float radius) in Berries) Offer(Sphere(q, centre, radius), Part.Grape);
            Offer(Rod(q, new(0.1f, 1.35f, 0), new(0.75f, 1.75f, -0.35f), 0.05f, 0.07f), Part.Stem);
        }

        return best;

        void OfferApple(Vector3 q, Part part, float size, float turn)
        {
            q = RotateY(q, turn) / size;
            Vector3 tapered = q - new Vector3(0, 0.84f, 0);
            float taper = 1 - 0.11f * tapered.Y;
            tapered.X *= taper;
            tapered.Z *= taper;
            float lobes = 0.012f * MathF.Cos(5 * MathF.Atan2(q.Z, q.X)) * Smooth(0.2f, -0.9f, tapered.Y);
            Offer((Ring(tapered, 0.36f, 0.7f) + lobes) * 0.92f * size, part);
            Offer(Rod(q, new(0, 1.25f, 0), new(0.14f, 1.86f, 0.05f), 0.04f, 0.055f) * size, Part.Stem);
            Vector3 leaf = RotateZ(RotateY(q - new Vector3(0.1f, 1.66f, 0.03f), -0.5f), -0.35f) - new Vector3(0.48f, 0, 0);
            leaf.Y += 0.35f * leaf.X * leaf.X - 0.5f * Math.Abs(leaf.Z);
            Offer(Ellipsoid(leaf, new(0.5f, 0.03f, 0.21f)) * 0.7f * size, Part.Leaf);
        }
    }

    private static float ClothAt(Vector3 p)
    {
        Vector3 q = RotateY(p - new Vector3(1.7f, 0, 0.4f), 0.28f);
        float fold = 0.05f * MathF.Sin(q.X * 1.9f + 0.8f * MathF.Sin(q.Z * 1.3f)) * MathF.Sin(q.Z * 1.1f + 2) + 0.05f;
        return Box(q - new Vector3(0, fold, 0), new(3.3f, 0.03f, 2.7f), 0.03f) * 0.8f;
    }

    private static float BowlAt(Vector3 q)
    {
        Vector3 centre = q - new Vector3(0, 2.35f, 0);
        float shell = Math.Abs(centre.Length() - 2.3f) - 0.07f;
        float cut = Math.Max(shell, q.Y - 1.5f);
        float rim = Ring(q - new Vector3(0, 1.5f, 0), 2.14f, 0.1f), foot = Math.Max(Math.Abs(new Vector2(q.X, q.Z).Length() - 0.95f) - 0.1f, Math.Abs(q.Y - 0.1f) - 0.1f);
        return Math.Min(Math.Min(cut, rim), foot);
    }

    private static float JugAt(Vector3 q)
    {
        float r = new Vector2(q.X, q.Z).Length();
        float lip = 0.22f * Smooth(3.2f, 4.1f, q.Y) * Smooth(0.3f, 1, -q.X / Math.Max(r, 0.01f));
        float profile = 1.28f + 0.22f * MathF.Sin(q.Y * 1.05f + 0.1f) - 0.48f * Smooth(2.0f, 3.3f, q.Y) + 0.2f * Smooth(3.3f, 4.1f, q.Y) + lip;
        float body = Math.Max(Math.Max(Math.Abs(r - profile) - 0.08f, q.Y - 4.1f), -q.Y) * 0.75f;
        float floor = Math.Max(r - profile, Math.Abs(q.Y - 0.08f) - 0.08f) * 0.8f;
        Vector3 handle = q - new Vector3(1.35f, 2.5f, 0);
        float grip = Math.Max(new Vector2(new Vector2(handle.X, handle.Y * 0.78f).Length() - 0.85f, handle.Z).Length() - 0.15f, -(r - profile)) * 0.8f;
        return Blend(Math.Min(body, floor), grip, 0.15f);
    }
}
