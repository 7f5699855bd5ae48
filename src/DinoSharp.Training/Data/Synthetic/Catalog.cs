using System.Numerics;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Builds the objects of the world, with random proportions and materials, standing on y = 0 and about a metre in size.</summary>
internal sealed class Catalog(TorchRandom random)
{
    private readonly List<Part> _parts = [];

    /// <summary>The parts of a solid object (index into <see cref="SyntheticClasses.Names"/>).</summary>
    public IReadOnlyList<Part> Solid(int label)
    {
        _parts.Clear();
        AddSolid(label);
        return [.. _parts];
    }

    /// <summary>A flat figure (index into <see cref="SyntheticClasses.Names"/>) of a given radius.</summary>
    public IReadOnlyList<Part> Figure(int label, float radius)
    {
        int figure = label - SyntheticClasses.FirstFigure;
        (float sin, float cos) = MathF.SinCos(figure == 2 ? R(-0.4f, 0.4f) : R(0, MathF.Tau));
        var turned = new Pose(new Vector3(cos, sin, 0), new Vector3(-sin, cos, 0), Vector3.UnitZ, Vector3.Zero);
        return [new Part(new Card(Outline(figure), 1.02f, radius), turned, M(1.6f * radius))];
    }

    /// <summary>An outline for a class of figures, within a circle of radius 1.</summary>
    private Outline Outline(int figure)
    {
        float aspect = R(0.7f, 1);
        return figure switch
        {
            0 => RadialOutline.Of(t => MathF.Min(1, Ellipse(t, 1, aspect))),
            1 => RadialOutline.Of(t => Polygon(t, 3)),
            2 => new BarOutline(0.7f, 0.7f, false),
            3 => Star((int)random.Integer(4, 8), R(0.35f, 0.6f)),
            4 => new BarOutline(R(0.18f, 0.35f), 0.93f, true),
            5 => RadialOutline.Of(t => Ellipse(t, 1, aspect), R(0.45f, 0.75f)),
            6 => new CrescentOutline(1, R(0.35f, 0.6f), R(0.75f, 0.95f)),
            _ => Blob(),
        };
    }

    private void AddSolid(int label)
    {
        float s = R(0.75f, 1.3f), t = R(0.75f, 1.3f);
        Material a = M(1), b = M(1);
        switch (label)
        {
            case 0: Add(new Ellipsoid(new Vector3(0.5f)), 0, 0.5f, 0, a); break;
            case 1: Add(new Block(new Vector3(0.45f * s, 0.45f, 0.45f * t)), 0, 0.45f, 0, a); break;
            case 2: Add(new Frustum(0.32f * s, 0.32f * s, 0.5f * t), 0, 0.5f * t, 0, a); break;
            case 3: Add(new Frustum(0.45f * s, 0.001f, 0.5f * t), 0, 0.5f * t, 0, a); break;
            case 4:
                float tube = R(0.1f, 0.2f);
                if (random.NextSingle() < 0.5f) Add(new Torus(0.45f, tube), 0, tube, 0, a);
                else Add(new Torus(0.4f, tube), new Pose(Vector3.UnitX, Vector3.UnitZ, -Vector3.UnitY, new Vector3(0, 0.4f + tube, 0)), a);
                break;
            case 5: Add(new Ellipsoid(new Vector3(0.33f, 0.5f * s, 0.33f)), 0, 0.5f * s, 0, a); break;
            case 6: Add(Pyramid(0.5f * s, 0.9f * t), 0, 0, 0, a); break;
            case 7: Gem(a); break;
            case 8: Pill(0.2f, 0.35f * s, a, random.NextSingle() < 0.5f ? a : b); break;
            case 9: Table(s, t, a, random.NextSingle() < 0.5f ? a : b); break;
            case 10: Chair(s, a, random.NextSingle() < 0.5f ? a : b); break;
            case 11:
                Add(new Frustum(0.16f * s, 0.12f * s, 0.27f), 0, 0.27f, 0, a);
                Add(new Ellipsoid(new Vector3(0.46f * t, 0.26f, 0.46f * t)), 0, 0.62f, 0, b);
                break;
            case 12: Fir(s, a, b); break;
            case 13: Tree(a, b); break;
            case 14: House(s, t, a, b); break;
            case 15:
                Add(new Ellipsoid(new Vector3(0.34f)), 0, 0.32f, 0, a);
                Add(new Ellipsoid(new Vector3(0.25f)), 0, 0.78f, 0, a);
                Add(new Ellipsoid(new Vector3(0.17f)), 0, 1.12f, 0, a);
                Add(new Frustum(0.04f, 0.001f, 0.12f), new Pose(Vector3.UnitX, Vector3.UnitZ, -Vector3.UnitY, new Vector3(0, 1.13f, 0.26f)), b);
                Add(new Frustum(0.16f, 0.14f, 0.1f), 0, 1.35f, 0, b);
                break;
            case 16:
                Add(new Ellipsoid(new Vector3(0.27f * s)), -0.42f, 0.27f * s, 0, a);
                Add(new Ellipsoid(new Vector3(0.27f * s)), 0.42f, 0.27f * s, 0, a);
                Add(new Frustum(0.08f, 0.08f, 0.4f), new Pose(-Vector3.UnitY, Vector3.UnitX, Vector3.UnitZ, new Vector3(0, 0.27f * s, 0)), b);
                break;
            case 17: Car(a, b); break;
            case 18:
                Add(new Frustum(0.24f, 0.2f, 0.03f), 0, 0.03f, 0, a);
                Add(new Frustum(0.03f, 0.03f, 0.45f * s), 0, 0.06f + 0.45f * s, 0, a);
                Add(new Frustum(0.36f * t, 0.18f, 0.2f), 0, 0.06f + 0.9f * s, 0, b);
                break;
            case 19: Tower(a, b); break;
            case 20:
                Add(new Frustum(0.33f * s, 0.35f * s, 0.4f), 0, 0.4f, 0, a);
                Add(new Torus(0.22f, 0.055f), new Pose(Vector3.UnitX, Vector3.UnitZ, -Vector3.UnitY, new Vector3(0.33f * s, 0.42f, 0)), a);
                break;
            case 21:
                Add(new Block(new Vector3(0.12f, 0.45f * s, 0.15f)), -0.42f, 0.45f * s, 0, a);
                Add(new Block(new Vector3(0.12f, 0.45f * s, 0.15f)), 0.42f, 0.45f * s, 0, a);
                Add(new Block(new Vector3(0.6f, 0.11f, 0.17f)), 0, 0.9f * s + 0.11f, 0, b);
                break;
            case 22: Flower(a, b); break;
            default: Rocket(s, a, b); break;
        }
    }

    private void Pill(float radius, float half, Material a, Material b)
    {
        // Upright or lying.
        bool upright = random.NextSingle() < 0.5f;
        Pose middle = upright ? new Pose(Vector3.UnitX, Vector3.UnitY, Vector3.UnitZ, new Vector3(0, radius + half, 0))
            : new Pose(-Vector3.UnitY, Vector3.UnitX, Vector3.UnitZ, new Vector3(0, radius, 0));
        Add(new Frustum(radius, radius, half), middle, a);
        Add(new Ellipsoid(new Vector3(radius)), middle with { Origin = middle.Point(new Vector3(0, half, 0)) }, b);
        Add(new Ellipsoid(new Vector3(radius)), middle with { Origin = middle.Point(new Vector3(0, -half, 0)) }, a);
    }

    private void Table(float s, float t, Material a, Material b)
    {
        float x = 0.6f * s, z = 0.42f * t, height = R(0.5f, 0.75f), leg = R(0.03f, 0.06f);
        Add(new Block(new Vector3(x, 0.04f, z)), 0, height + 0.04f, 0, a);
        for (int i = 0; i < 4; i++) Add(new Block(new Vector3(leg, height / 2, leg)), (i % 2 * 2 - 1) * (x - leg * 1.2f), height / 2, (i / 2 * 2 - 1) * (z - leg * 1.2f), b);
    }

    private void Chair(float s, Material a, Material b)
    {
        float x = 0.3f * s, seat = R(0.38f, 0.5f), leg = R(0.025f, 0.045f), back = R(0.25f, 0.4f);
        Add(new Block(new Vector3(x, 0.035f, x)), 0, seat, 0, a);
        Add(new Block(new Vector3(x, back, 0.03f)), 0, seat + back, -x + 0.03f, a);
        for (int i = 0; i < 4; i++) Add(new Block(new Vector3(leg, seat / 2, leg)), (i % 2 * 2 - 1) * (x - leg), seat / 2, (i / 2 * 2 - 1) * (x - leg), b);
    }

    private void Fir(float s, Material a, Material b)
    {
        Add(new Frustum(0.08f, 0.07f, 0.12f), 0, 0.12f, 0, a);
        int tiers = (int)random.Integer(2, 5);
        for (int i = 0; i < tiers; i++)
        {
            float width = 0.42f * s * (1 - 0.7f * i / tiers), height = 0.5f * (1 - 0.3f * i / tiers);
            Add(new Frustum(width, 0.02f, height / 2), 0, 0.22f + i * 0.26f + height / 2, 0, b);
        }
    }

    private void Tree(Material a, Material b)
    {
        float height = R(0.3f, 0.6f);
        Add(new Frustum(0.09f, 0.06f, height / 2 + 0.05f), 0, height / 2, 0, a);
        int crowns = (int)random.Integer(2, 6);
        for (int i = 0; i < crowns; i++)
        {
            float r = R(0.2f, 0.36f);
            Add(new Ellipsoid(new Vector3(r, r * R(0.7f, 1), r)), R(-0.25f, 0.25f), height + 0.15f + R(0, 0.35f), R(-0.25f, 0.25f), b);
        }
    }

    private void House(float s, float t, Material a, Material b)
    {
        float x = 0.45f * s, z = 0.4f * t, h = R(0.28f, 0.42f), roof = R(0.2f, 0.42f);
        Add(new Block(new Vector3(x, h, z)), 0, h, 0, a);
        float run = z * 1.12f;
        Vector3 slope = Vector3.Normalize(new Vector3(0, run, roof));
        float d = slope.Z * run;
        Add(new Polyhedron([slope, new(0, slope.Y, -slope.Z), -Vector3.UnitY, Vector3.UnitX, -Vector3.UnitX], [d, d, 0, x * 1.06f, x * 1.06f], MathF.Sqrt(x * x + run * run + roof * roof) * 1.1f), 0, 2 * h, 0, b);
        Add(new Block(new Vector3(0.09f, 0.16f, 0.01f)), R(-0.5f, 0.5f) * x, 0.16f, z, M(0.4f));
        if (random.NextSingle() < 0.6f) Add(new Block(new Vector3(0.06f, 0.14f, 0.06f)), 0.5f * x, 2 * h + roof * 0.8f, 0, M(0.4f));
    }

    private void Car(Material a, Material b)
    {
        float length = R(0.55f, 0.8f), width = R(0.26f, 0.34f), wheel = R(0.11f, 0.15f), body = R(0.11f, 0.18f);
        Add(new Block(new Vector3(length, body, width)), 0, wheel + body, 0, a);
        float cabin = R(0.1f, 0.17f);
        Add(new Block(new Vector3(length * R(0.4f, 0.7f), cabin, width * 0.88f)), R(-0.3f, 0.1f) * length, wheel + 2 * body + cabin, 0, b);
        Material dark = M(0.4f);
        for (int i = 0; i < 4; i++)
        {
            var at = new Vector3((i % 2 * 2 - 1) * length * 0.62f, wheel, (i / 2 * 2 - 1) * width);
            Add(new Frustum(wheel, wheel, 0.05f), new Pose(Vector3.UnitX, Vector3.UnitZ, -Vector3.UnitY, at), dark);
        }
    }

    private void Tower(Material a, Material b)
    {
        int storeys = (int)random.Integer(2, 5);
        float y = 0, width = R(0.28f, 0.4f);
        bool round = random.NextSingle() < 0.5f;
        for (int i = 0; i < storeys; i++)
        {
            float half = R(0.14f, 0.24f);
            Material m = i % 2 == 0 ? a : b;
            if (round) Add(new Frustum(width, width * 0.95f, half), 0, y + half, 0, m);
            else Add(new Block(new Vector3(width, half, width)), 0, y + half, 0, m);
            y += 2 * half;
            width *= R(0.7f, 0.95f);
        }

        Add(new Frustum(width * 1.1f, 0.001f, 0.2f), 0, y + 0.2f, 0, b);
    }

    private void Flower(Material a, Material b)
    {
        float height = R(0.3f, 0.45f), petal = R(0.13f, 0.2f);
        Add(new Frustum(0.03f, 0.025f, height), 0, height, 0, M(0.3f));
        int petals = (int)random.Integer(5, 9);
        for (int i = 0; i < petals; i++)
        {
            (float sin, float cos) = MathF.SinCos(i * MathF.Tau / petals);
            var outward = new Vector3(cos, sin, 0);
            Add(new Ellipsoid(new Vector3(petal, petal * 0.55f, 0.04f)), new Pose(outward, new Vector3(-sin, cos, 0), Vector3.UnitZ, new Vector3(0, 2 * height, 0) + outward * petal * 1.3f), a);
        }

        Add(new Ellipsoid(new Vector3(petal * 0.75f, petal * 0.75f, 0.07f)), 0, 2 * height, 0.02f, b);
    }

    private void Rocket(float s, Material a, Material b)
    {
        float r = 0.17f * s, half = R(0.3f, 0.45f);
        Add(new Frustum(r, r, half), 0, 0.12f + half, 0, a);
        Add(new Frustum(r, 0.001f, 0.17f), 0, 0.12f + 2 * half + 0.17f, 0, b);
        for (int i = 0; i < 3; i++)
        {
            (float sin, float cos) = MathF.SinCos(i * MathF.Tau / 3);
            var outward = new Vector3(cos, 0, sin);
            Add(new Block(new Vector3(0.13f, 0.16f, 0.02f)), new Pose(outward, Vector3.UnitY, Vector3.Cross(outward, Vector3.UnitY), new Vector3(0, 0.16f, 0) + outward * (r + 0.08f)), b);
        }
    }

    private static Polyhedron Pyramid(float half, float height)
    {
        Vector3 side = Vector3.Normalize(new Vector3(height, half, 0));
        float d = side.X * half;
        return new Polyhedron([side, new(-side.X, side.Y, 0), new(0, side.Y, side.X), new(0, side.Y, -side.X), -Vector3.UnitY], [d, d, d, d, 0], MathF.Sqrt(2 * half * half + height * height));
    }

    private void Gem(Material material)
    {
        int sides = (int)random.Integer(4, 9);
        float steep = R(0.5f, 1.1f);
        var planes = new List<Vector3>();
        for (int i = 0; i < 2 * sides; i++)
        {
            (float sin, float cos) = MathF.SinCos(i / 2 * MathF.Tau / sides);
            planes.Add(Vector3.Normalize(new Vector3(cos, i % 2 == 0 ? steep : -steep, sin)));
        }

        if (random.NextSingle() < 0.5f) planes.Add(Vector3.UnitY);
        float[] distances = [.. planes.Select((_, i) => i < 2 * sides ? 0.36f : 0.3f)];
        float apex = 0.36f * MathF.Sqrt(1 + 1 / (steep * steep));
        Add(new Polyhedron([.. planes], distances, MathF.Max(1.5f * steep, 1) * apex), 0, apex, 0, material);
    }

    private RadialOutline Blob()
    {
        float[] weight = [.. Enumerable.Range(0, 5).Select(i => R(0, 0.22f) / (1 + 0.3f * i))], phase = [.. Enumerable.Range(0, 5).Select(_ => R(0, MathF.Tau))];
        return RadialOutline.Of(t => Math.Clamp(0.7f + Enumerable.Range(0, 5).Sum(i => weight[i] * MathF.Sin((i + 2) * t + phase[i])), 0.25f, 1));
    }

    private static RadialOutline Star(int points, float inner)
    {
        // Straight edges between outer and inner corners, in polar form.
        float step = MathF.PI / points;
        return RadialOutline.Of(t =>
        {
            float a = t % (2 * step);
            a = a > step ? 2 * step - a : a;
            return inner * MathF.Sin(step) / (inner * MathF.Sin(step - a) + MathF.Sin(a));
        });
    }

    private static float Polygon(float t, int sides)
    {
        float step = MathF.Tau / sides, a = t % step - step / 2;
        return MathF.Cos(step / 2) / MathF.Cos(a);
    }

    private static float Ellipse(float t, float a, float b)
    {
        (float sin, float cos) = MathF.SinCos(t);
        return a * b / MathF.Sqrt(b * b * cos * cos + a * a * sin * sin);
    }

    private Material M(float size) => Material.Draw(Material.DrawKind(random), size, random);

    private float R(float low, float high) => random.Uniform(low, high);

    private void Add(Solid solid, float x, float y, float z, Material material) => Add(solid, Pose.Identity with { Origin = new Vector3(x, y, z) }, material);

    private void Add(Solid solid, Pose at, Material material) => _parts.Add(new Part(solid, at, material));
}
