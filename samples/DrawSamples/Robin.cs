using System.Numerics;
using static DrawSamples.Shapes;

namespace DrawSamples;

/// <summary>A robin on a mossy stone in a meadow, trees behind, in the evening sun.</summary>
internal sealed class Robin : Scene
{
    private static readonly Vector3 Sun = Vector3.Normalize(new Vector3(-0.75f, 0.62f, 0.65f)), SunLight = new Vector3(1.0f, 0.83f, 0.6f) * 6.5f;
    private static readonly (Vector3 Foot, float Height)[] Trees = [(new(-9.5f, -0.6f, -17), 9), (new(-3.5f, -0.6f, -27), 11), (new(5.5f, -0.6f, -20), 8), (new(11.5f, -0.6f, -25), 12), (new(-17, -0.6f, -28), 12)];
    private static readonly (Vector3 Head, bool Poppy)[] Flowers = [.. Enumerable.Range(0, 26).Select(Flower)];

    private enum Part { Ground, Blade, Stone, Body, Wing, Tail, Beak, Eye, Leg, Trunk, Crown, Petal, PoppyPetal, Heart, Stalk }

    public override Vector3 Eye => new(-0.9f, 2.35f, 8.2f);

    public override Vector3 Target => new(-0.05f, 1.72f, 0.2f);

    public override float FieldOfView => 33;

    public override float Lens => 0.13f;

    public override float Exposure => 0.95f;

    public override float StepScale => 0.8f;

    public override float Distance(Vector3 p) => Nearest(p).Distance;

    public override Vector3 Background(Vector3 origin, Vector3 direction, bool withLights)
    {
        float up = Math.Max(direction.Y, 0.01f);
        Vector3 sky = Mix(new Vector3(0.78f, 0.86f, 0.95f), new Vector3(0.2f, 0.42f, 0.82f), MathF.Pow(up, 0.45f));
        Vector3 q = direction / (up + 0.12f) * 1.3f;
        float cloud = Smooth(0.48f, 0.78f, Fractal(new Vector3(q.X, 3, q.Z), 5)) * Smooth(0.0f, 0.15f, up);
        sky = Mix(sky, new Vector3(1.15f, 1.1f, 1.05f), cloud * 0.85f);
        float glow = Math.Max(0, Vector3.Dot(direction, Sun));
        sky += new Vector3(0.5f, 0.35f, 0.18f) * MathF.Pow(glow, 12);
        return withLights && glow > 0.999f ? sky + SunLight * 20 : sky;
    }

    public override (Vector3 Direction, float Distance, Vector3 Light) SampleLight(int light, Vector3 p, ref Dice dice)
    {
        Vector3 spread = new Vector3(dice.Next() - 0.5f, dice.Next() - 0.5f, dice.Next() - 0.5f) * 0.05f;
        return (Vector3.Normalize(Sun + spread), 60, SunLight);
    }

    public override Vector3 Haze(Vector3 colour, float distance) =>
        distance > 100 ? colour : Mix(colour, new Vector3(0.62f, 0.74f, 0.86f), 1 - MathF.Exp(-0.009f * Math.Max(0, distance - 8)));

    public override Material MaterialAt(Vector3 p, Vector3 normal)
    {
        switch (Nearest(p).Part)
        {
            case Part.Ground: return new(Mix(Rgb(0x41521E), Rgb(0x6E7F2E), Fractal(p * 0.7f, 4)) * (0.6f + 0.5f * Noise(p * 9)));
            case Part.Blade:
                float tip = Smooth(0, 0.65f, p.Y - Height(p.X, p.Z)), patch = Fractal(new Vector3(p.X * 0.8f, 2, p.Z * 0.8f), 3);
                return new(Mix(Mix(Rgb(0x33511A), Rgb(0x7E9A37), tip), Rgb(0xB8AE5E), Smooth(0.5f, 0.75f, patch) * tip * 0.8f), 0.35f, 0.5f);
            case Part.Stone:
                float grey = Fractal(p * 2.6f, 5), moss = Smooth(0.35f, 0.75f, normal.Y * 0.75f + 0.75f * Fractal(p * 1.7f + new Vector3(9), 4) - 0.22f);
                Vector3 rock = Mix(Rgb(0x6A6660), Rgb(0xA7A196), grey) * (0.75f + 0.35f * Noise(p * 24));
                rock = Mix(rock, Rgb(0xC9B46A), Smooth(0.66f, 0.72f, Fractal(p * 3.3f + new Vector3(4), 3)) * 0.6f); // lichen
                return new(Mix(rock, Mix(Rgb(0x4B6420), Rgb(0x7C9438), Noise(p * 13)), moss));
            case Part.Body: return Plumage(p);
            case Part.Wing:
                Vector3 w = ToBird(p);
                float edge = MathF.Abs((w.X * 4.2f + w.Y * 1.6f + 40) % 1 - 0.5f);
                return new(Mix(Rgb(0x5B4A34), Rgb(0x8A7350), edge * 1.5f) * Feather(w));
            case Part.Tail: return new(Mix(Rgb(0x57452F), Rgb(0x7B6141), Noise(new Vector3(p.X, p.Y * 3, p.Z * 22))));
            case Part.Beak: return new(Rgb(0x2B2622), 1, 0.3f);
            case Part.Eye: return new(Rgb(0x0A0808), 1, 0.03f);
            case Part.Leg: return new(Rgb(0x7A4A3A) * (0.8f + 0.4f * Noise(p * 20)), 0.5f, 0.4f);
            case Part.Trunk: return new(Mix(Rgb(0x4B3826), Rgb(0x76604A), Noise(new Vector3(p.X * 6, p.Y, p.Z * 6))));
            case Part.Crown: return new(Mix(Rgb(0x2F4F1C), Rgb(0x7C9A3C), Fractal(p * 1.3f, 4)));
            case Part.Petal: return new(Rgb(0xF2EFE6));
            case Part.PoppyPetal: return new(Rgb(0xC8281E));
            case Part.Heart: return new(Rgb(0xE0A81C));
            default: return new(Rgb(0x4E6B26));
        }
    }

    private static float Feather(Vector3 q) => 0.82f + 0.36f * Noise(new Vector3(q.X * 9 + q.Y * 4, q.Y * 26, q.Z * 26)) * Noise(q * 5);

    /// <summary>The robin's colours by place: rust face and breast with a grey border, white belly, olive back.</summary>
    private static Material Plumage(Vector3 p)
    {
        Vector3 q = ToBird(p);
        float ragged = 0.07f * (Fractal(q * 7, 3) - 0.5f);
        float face = Ellipsoid(q - new Vector3(-1.02f, 2.62f, 0), new(0.5f, 0.36f, 0.62f)) + ragged, breast = Ellipsoid(q - new Vector3(-0.92f, 2.0f, 0), new(0.62f, 0.62f, 0.72f)) + ragged;
        float rust = Blend(face, breast, 0.3f);
        Vector3 back = Mix(Rgb(0x6B5A3C), Rgb(0x8A7A55), Fractal(q * 3, 3)), belly = Rgb(0xE4DED2), grey = Rgb(0x8E9AA4);
        Vector3 colour = Mix(back, belly, Smooth(1.78f, 1.5f, q.Y + 0.28f * q.X + ragged * 2));
        colour = Mix(colour, grey, Smooth(0.2f, 0.04f, rust));
        return new(Mix(colour, Mix(Rgb(0xC9531A), Rgb(0xE2741F), Noise(q * 4)), Smooth(0.04f, -0.03f, rust)) * Feather(q));
    }

    /// <summary>The bird stands turned a little towards the camera.</summary>
    private static Vector3 ToBird(Vector3 p) => RotateY(p - new Vector3(0.15f, 0.1f, 0.1f), -0.42f);

    private static (Vector3, bool) Flower(int i)
    {
        float x = -5.5f + 11 * Hash(i, 3, 1), z = 3.6f - 9.5f * Hash(i, 5, 2);
        if (Math.Abs(x) < 2.2f && z < 1.9f) x += x < 0 ? -2.4f : 2.4f;
        return (new(x, Height(x, z) + 0.55f + 0.5f * Hash(i, 7, 3), z), i % 3 == 0);
    }

    private static float Height(float x, float z)
    {
        float hill = 5.5f * Smooth(-22, -75, z) * (0.55f + 0.6f * Noise(new Vector3(x * 0.045f, 1, z * 0.03f)));
        return -0.62f + 0.35f * (Noise(new Vector3(x * 0.35f, 4, z * 0.35f)) - 0.5f) + hill;
    }

    private static (float Distance, Part Part) Nearest(Vector3 p)
    {
        float ground = p.Y - Height(p.X, p.Z);
        (float Distance, Part Part) best = (ground * 0.9f, Part.Ground);
        void Offer(float distance, Part part)
        {
            if (distance < best.Distance) best = (distance, part);
        }

        bool Near(Vector3 centre, float radius, Part part)
        {
            float outside = Vector3.Distance(p, centre) - radius;
            if (outside < 0.3f) return true;
            Offer(outside, part);
            return false;
        }

        if (ground > 1.0f) best = ((ground - 0.8f) * 0.9f, Part.Ground);
        else if (p.Z > -9) Offer(Grass(p, ground), Part.Blade); // farther away the lens blurs them

        if (Near(new(0.1f, -0.1f, 0), 2.6f, Part.Stone)) Offer(StoneAt(p), Part.Stone);
        if (Near(new(0.15f, 2.0f, 0.1f), 2.35f, Part.Body)) OfferBird(ToBird(p));
        if (p.Z > -10) Offer(p.Z + 10.5f, Part.Crown); // all trees are behind that
        else
        {
            foreach ((Vector3 foot, float height) in Trees) OfferTree(foot, height);
        }

        if (ground < 2)
        {
            foreach ((Vector3 head, bool poppy) in Flowers) OfferFlower(head, poppy);
        }

        return best;

        void OfferTree(Vector3 foot, float height)
        {
            if (!Near(foot + new Vector3(0, height * 0.55f, 0), height * 0.62f, Part.Crown)) return;
            Vector3 q = p - foot;
            Offer(Rod(q, new(0, -1, 0), new(0.2f, height * 0.7f, 0), 0.035f * height + 0.12f, 0.1f), Part.Trunk);
            float crown = float.MaxValue;
            for (int i = 0; i < 7; i++)
            {
                float angle = i * 2.4f, out_ = i == 6 ? 0 : 0.22f * height;
                var centre = new Vector3(out_ * MathF.Cos(angle), height * (0.55f + 0.06f * i), out_ * MathF.Sin(angle));
                crown = Blend(crown, Sphere(q, centre, height * (0.24f - 0.012f * i)), 0.5f);
            }

            Offer((crown + (crown < 2 ? 0.75f * (Fractal(p * 0.9f, 4) - 0.5f) : -0.4f)) * 0.75f, Part.Crown);
        }

        void OfferFlower(Vector3 head, bool poppy)
        {
            if (!Near(head - new Vector3(0, 0.5f, 0), 0.85f, Part.Stalk)) return;
            Vector3 q = RotateX(p - head, -0.5f);
            Offer(Rod(p, head, new(head.X + 0.1f, head.Y - 1.2f, head.Z), 0.022f, 0.03f), Part.Stalk);
            float petals = poppy ? 1 : 0.72f + 0.28f * MathF.Abs(MathF.Cos(6 * MathF.Atan2(q.Z, q.X)));
            q.Y -= (poppy ? 2.2f : 0.5f) * (q.X * q.X + q.Z * q.Z);
            Offer(Ellipsoid(q, new Vector3(0.24f * petals, 0.025f, 0.24f * petals)) * 0.6f, poppy ? Part.PoppyPetal : Part.Petal);
            Offer(Ellipsoid(q - new Vector3(0, 0.03f, 0), new(0.075f, 0.05f, 0.075f)), poppy ? Part.Eye : Part.Heart);
        }

        void OfferBird(Vector3 q)
        {
            Vector3 tilted = RotateZ(q - new Vector3(0, 1.98f, 0), 0.38f);
            float body = Blend(Ellipsoid(tilted, new(1.0f, 0.76f, 0.74f)), Ellipsoid(q - new Vector3(-0.42f, 2.02f, 0), new(0.72f, 0.74f, 0.7f)), 0.35f);
            body = Blend(body, Sphere(q, new(-0.74f, 2.72f, 0), 0.53f), 0.42f);
            body = Blend(body, Ellipsoid(RotateZ(q - new Vector3(0.95f, 1.62f, 0), 0.3f), new(0.5f, 0.26f, 0.3f)), 0.4f);
            Offer(body + (body < 0.1f ? 0.03f * (Noise(new Vector3(q.X * 8, q.Y * 20, q.Z * 20)) - 0.5f) : 0), Part.Body);
            Vector3 side = new(q.X, q.Y, Math.Abs(q.Z));
            Vector3 wing = RotateZ(RotateX(side - new Vector3(0.3f, 1.95f, 0.62f), 0.18f), 0.42f);
            Offer(Blend(Ellipsoid(wing, new(0.86f, 0.4f, 0.13f)), Ellipsoid(wing - new Vector3(0.75f, -0.12f, -0.08f), new(0.6f, 0.14f, 0.06f)), 0.2f) * 0.8f, Part.Wing);
            Vector3 tail = RotateZ(q - new Vector3(1.72f, 1.42f, 0), 0.24f);
            Offer(Box(tail, new(0.68f, 0.05f, 0.15f + 0.06f * Math.Clamp(tail.X, 0, 1)), 0.04f) * 0.9f, Part.Tail);
            Offer(Rod(q, new(-1.2f, 2.7f, 0), new(-1.5f, 2.66f, 0), 0.085f, 0.015f), Part.Beak);
            Offer(Sphere(side, new(-1.0f, 2.82f, 0.41f), 0.1f), Part.Eye);
            Vector3 heel = new(-0.02f, 1.12f, 0.27f), foot = new(-0.12f, 0.78f, 0.3f);
            Offer(Math.Min(Rod(side, new(0.02f, 1.4f, 0.24f), heel, 0.08f, 0.035f), Rod(side, heel, foot, 0.035f, 0.035f)), Part.Leg);
            for (int i = -1; i <= 1; i++) Offer(Rod(side, foot, foot + new Vector3(-0.27f, -0.05f, 0.12f * i), 0.034f, 0.022f), Part.Leg);
        }
    }

    private static float StoneAt(Vector3 p)
    {
        float d = Blend(Ellipsoid(p - new Vector3(0.05f, -0.15f, 0), new(2.0f, 0.95f, 1.4f)), Ellipsoid(p - new Vector3(1.2f, -0.45f, 0.55f), new(1.1f, 0.75f, 0.9f)), 0.5f);
        return d > 0.4f ? d - 0.15f : (d + 0.26f * (Fractal(p * 1.5f, 5) - 0.5f)) * 0.8f;
    }

    /// <summary>A bent blade in each cell of a grid; the blades of the neighbouring cells may reach in.</summary>
    private static float Grass(Vector3 p, float ground)
    {
        const float cell = 0.15f;
        int cx = (int)MathF.Floor(p.X / cell), cz = (int)MathF.Floor(p.Z / cell);
        float best = 0.16f + Math.Max(0, ground - 0.9f);
        for (int x = cx - 1; x <= cx + 1; x++)
        {
            for (int z = cz - 1; z <= cz + 1; z++)
            {
                float a = Hash(x, 11, z), b = Hash(x, 12, z), c = Hash(x, 13, z), tall = 0.28f + 0.5f * c * c;
                float t = Math.Clamp(ground / tall, 0, 1), bend = t * t * 0.34f;
                float rootX = (x + 0.2f + 0.6f * b) * cell, rootZ = (z + 0.2f + 0.6f * a) * cell;
                float dx = p.X - rootX - bend * (a - 0.5f), dz = p.Z - rootZ - bend * (c - 0.5f), dy = Math.Max(0, ground - tall);
                best = Math.Min(best, (MathF.Sqrt(dx * dx + dz * dz + dy * dy) - 0.022f * (1 - t * 0.85f)) * 0.8f);
            }
        }

        return best;
    }
}
