using System.Numerics;
using DinoSharp.Training.Data.Sampling;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Composes random scenes around a main object of a given class.</summary>
internal sealed class SceneBuilder(TorchRandom random)
{
    private readonly Catalog _catalog = new(random);
    private readonly List<Thing> _things = [];
    private readonly Dictionary<int, Motion> _motions = [];

    /// <param name="label">Index into <see cref="SyntheticClasses.Names"/>.</param>
    /// <param name="crowd">How many more things there may be, as a share of the usual number.</param>
    public SceneScript Build(int label, float crowd)
    {
        _things.Clear();
        _motions.Clear();
        if (label >= SyntheticClasses.FirstSurface) return Surface(label);
        if (label >= SyntheticClasses.FirstFigure) return Leaves(label, crowd);
        float kind = random.NextSingle();
        return kind < 0.2f ? Floating(label, crowd) : Standing(label, crowd, room: kind < 0.45f, hills: kind > 0.75f);
    }

    /// <summary>Another solid for a scene that is there already: for changes.</summary>
    public Thing Extra(int id, Vector3 at) => Object((int)random.Integer(0, SyntheticClasses.SolidCount), id, Pose.Standing(at, R(0, MathF.Tau)));

    /// <summary>The light of a scene that may be inside.</summary>
    public Light DrawLight(bool inside)
    {
        float height = inside ? R(0.6f, 1.4f) : R(0.25f, 1.35f), turn = R(0, MathF.Tau);
        (float sin, float cos) = MathF.SinCos(height);
        var toSun = new Vector3(cos * MathF.Sin(turn), sin, cos * MathF.Cos(turn));
        bool dull = random.NextSingle() < 0.25f;
        float warmth = inside ? R(-0.1f, 0.3f) : 0.35f * (1 - sin) + R(-0.05f, 0.1f);
        Vector3 sun = (dull ? R(0.2f, 0.6f) : R(1, 2.6f)) * new Vector3(1 + warmth, 1, 1 - warmth);
        Vector3 above = R(0.3f, 0.9f) * new Vector3(1 - R(0, 0.25f), 1, 1 + R(0, 0.25f)), below = R(0.2f, 0.6f) * above;
        return new Light(toSun, sun, above, below, dull ? R(0, 0.4f) : R(0.7f, 1));
    }

    /// <summary>Things on a floor: in a room, or outside, perhaps before hills.</summary>
    private SceneScript Standing(int label, float crowd, bool room, bool hills)
    {
        Thing main = Object(label, 1, Pose.Standing(Vector3.Zero, R(0, MathF.Tau)));
        float radius = main.Radius;
        float fov = R(0.45f, 1.15f), filled = R(0.45f, 1.15f), distance = MathF.Max(radius * 1.6f, radius / (filled * MathF.Tan(fov / 2)));
        float pitch = random.NextSingle() < 0.75f ? R(0.08f, 0.55f) : R(0.55f, 1.3f), turn = R(0, MathF.Tau);
        Vector3 middle = new(0, radius * 0.5f, 0), eye = middle + distance * Direction(turn, pitch);
        eye.Y = MathF.Max(eye.Y, 0.12f);
        Add(Stuff(SyntheticClasses.Ground, new Floor(), Pose.Identity, R(2, 8)), null);
        Add(main, DrawMotion(0.3f, upright: true));
        Scatter(1 + (int)(crowd * random.Integer(0, 9)), radius, eye, turn);
        if (room) Walls(turn, MathF.Max(2.2f, distance * 0.5f) + 1.5f, distance);
        if (hills) AddHills(turn);
        Vector3 target = middle + 0.25f * distance * MathF.Tan(fov / 2) * Noise3(1);
        var shot = new Shot(eye, target, R(-0.08f, 0.08f), fov);
        Light light = DrawLight(room);
        return Finish(shot, Travel(shot, distance, floor: true), light, DrawSky(light, room ? 0 : hills ? R(0.004f, 0.02f) : random.NextSingle() < 0.2f ? R(0.01f, 0.08f) : 0), main: 1);
    }

    /// <summary>Things in mid-air before a backdrop, turned anyhow.</summary>
    private SceneScript Floating(int label, float crowd)
    {
        Thing main = Object(label, 1, Pose.Turned(Turn(), Vector3.Zero));
        Vector3 center = main.Parts.Aggregate(Vector3.Zero, (sum, p) => sum + main.Pose.Direction(p.Place.Origin)) / main.Parts.Count;
        main = main.MovedTo(main.Pose with { Origin = -center });
        float radius = main.Radius, fov = R(0.4f, 1), distance = radius / (R(0.45f, 1.1f) * MathF.Tan(fov / 2)), back = R(1.5f, 6);
        var eye = new Vector3(0, 0, distance + radius * 0.5f);
        Pose wall = Pose.Turned(Quaternion.CreateFromYawPitchRoll(R(-0.5f, 0.5f), R(-0.4f, 0.4f), R(-1, 1)), new Vector3(0, 0, -radius - back));
        Add(Stuff(SyntheticClasses.Wall, new Card(new EndlessOutline(), float.PositiveInfinity), wall, R(2, 8)), null);
        Add(main, DrawMotion(0.6f, upright: false));
        int count = (int)(crowd * random.Integer(0, 10));
        for (int i = 0; i < count; i++)
        {
            float z = R(-back * 0.8f, distance * 0.35f), side = (eye.Z - z) * MathF.Tan(fov / 2) * 1.1f;
            var at = new Vector3(R(-side, side), R(-side, side), z);
            if (new Vector2(at.X, at.Y).Length() < radius * (z > 0 ? 1.3f : 0.5f)) continue;
            Add(Object((int)random.Integer(0, SyntheticClasses.SolidCount), _things.Count, Pose.Turned(Turn(), at)), DrawMotion(0.6f, upright: false));
        }

        var shot = new Shot(eye, 0.2f * radius * Noise3(1), R(-MathF.PI, MathF.PI), fov);
        Light light = DrawLight(inside: true);
        return Finish(shot, Travel(shot, distance, floor: false), light, DrawSky(light, 0), main: 1);
    }

    /// <summary>Flat figures of all sizes lying over each other: the dead leaves model (Matheron 1968; Lee, Mumford and Huang 2001), at real depths.</summary>
    private SceneScript Leaves(int label, float crowd)
    {
        const float Near = 3, Far = 6;
        float fov = R(0.4f, 0.9f), half = MathF.Tan(fov / 2), radius = R(0.35f, 0.85f) * half * Near;
        Add(Stuff(SyntheticClasses.Wall, new Card(new EndlessOutline(), float.PositiveInfinity), Tilted(new Vector3(0, 0, -Far), 0.4f), R(1, 6)), null);
        var at = new Vector3(R(-0.4f, 0.4f), R(-0.4f, 0.4f), 0) * (half * Near - radius);
        Add(new Thing { Id = 1, Semantic = SyntheticClasses.Semantic(label), Pose = Tilted(at + new Vector3(0, 0, -Near), 0.5f), Parts = _catalog.Figure(label, radius) }, DrawMotion(0.4f, upright: false));
        int count = (int)(crowd * MathF.Exp(R(MathF.Log(5), MathF.Log(160))));
        for (int i = 0; i < count; i++)
        {
            // Sizes fall with the cube, so that the picture looks the same at every scale.
            float size = 0.09f / MathF.Sqrt(1 - R(0, 0.99f)), z = -R(Near + 0.25f, Far - 0.3f), side = -z * half * 1.2f;
            if (random.NextSingle() < 0.08f && size < 0.15f) z = -Near + R(0.05f, 0.3f);
            int figure = SyntheticClasses.FirstFigure + (int)random.Integer(0, SyntheticClasses.FigureCount);
            Pose pose = Tilted(new Vector3(R(-side, side), R(-side, side), z), 0.35f);
            Add(new Thing { Id = _things.Count, Semantic = SyntheticClasses.Semantic(figure), Pose = pose, Parts = _catalog.Figure(figure, size) }, DrawMotion(0.2f, upright: false));
        }

        var shot = new Shot(Vector3.Zero, new Vector3(R(-0.1f, 0.1f), R(-0.1f, 0.1f), -1), R(-0.5f, 0.5f), fov);
        Light light = DrawLight(inside: true) with { ToSun = Vector3.Normalize(new Vector3(R(-1, 1), R(-1, 1), R(0.5f, 2))) };
        return Finish(shot, Travel(shot, Near * 0.6f, floor: false), light, DrawSky(light, 0), main: 1);
    }

    /// <summary>Nothing but a surface.</summary>
    private SceneScript Surface(int label)
    {
        var pattern = (PatternKind)(label - SyntheticClasses.FirstSurface);
        float fov = R(0.4f, 0.9f), distance = R(1.5f, 3);
        Material material = Material.Draw(pattern, distance * MathF.Tan(fov / 2) * 2, random);
        var part = new Part(new Card(new EndlessOutline(), float.PositiveInfinity), Pose.Identity, material);
        Add(new Thing { Id = 1, Semantic = SyntheticClasses.Semantic(label), Pose = Tilted(new Vector3(0, 0, -distance), 0.9f), Parts = [part] }, null);
        var shot = new Shot(Vector3.Zero, new Vector3(0, 0, -1), random.NextSingle() < 0.5f ? 0 : R(-MathF.PI, MathF.PI), fov);
        Light light = DrawLight(inside: true) with { ToSun = Vector3.Normalize(new Vector3(R(-1, 1), R(-1, 1), R(0.2f, 1.5f))) };
        return Finish(shot, Travel(shot, distance, floor: false), light, DrawSky(light, random.NextSingle() < 0.2f ? R(0, 0.2f) : 0), main: 0);
    }

    private SceneScript Finish(Shot first, Shot last, Light light, Sky sky, int main)
    {
        var tint = new Vector3(1 + R(-0.12f, 0.12f), 1, 1 + R(-0.12f, 0.12f));
        float noise = random.NextSingle() < 0.6f ? R(0, 2.5f) : R(2.5f, 9);
        var sensor = new Sensor(R(0.14f, 0.42f), tint, noise, random.NextSingle() < 0.5f ? 0 : R(0, 0.45f), random.NextUInt32());
        return new SceneScript(new Scene([.. _things], light, sky, sensor), new Dictionary<int, Motion>(_motions), first, last, main);
    }

    private void Scatter(int count, float mainRadius, Vector3 eye, float turn)
    {
        for (int i = 0; i < count; i++)
        {
            Thing thing = Object((int)random.Integer(0, SyntheticClasses.SolidCount), _things.Count, Pose.Identity);
            for (int attempt = 0; attempt < 8; attempt++)
            {
                // Seen from above: anywhere around, but not where it would hide the main object or sit on another one or on the camera.
                float away = mainRadius + thing.Radius + R(0.1f, 4), around = R(0, MathF.Tau);
                var at = new Vector3(away * MathF.Sin(around), 0, away * MathF.Cos(around));
                float toward = Vector3.Dot(at, Vector3.Normalize(eye with { Y = 0 })), aside = MathF.Sqrt(MathF.Max(0, at.LengthSquared() - toward * toward));
                bool hides = toward > 0 && aside < mainRadius + thing.Radius * 0.5f, atCamera = Vector3.Distance(at, eye) < thing.Radius * 1.6f;
                if (hides || atCamera || _things.Any(t => t.Id > 0 && Vector3.Distance(t.Pose.Origin, at) < (t.Radius + thing.Radius) * 0.8f)) continue;
                Add(thing.MovedTo(Pose.Standing(at, R(0, MathF.Tau) + turn)), DrawMotion(0.3f, upright: true));
                break;
            }
        }
    }

    private void Walls(float turn, float behind, float distance)
    {
        float lean = R(-0.5f, 0.5f), size = R(2, 6);
        Pattern(0, behind);
        if (random.NextSingle() < 0.7f) Pattern(MathF.PI / 2, distance * R(0.6f, 1) + 1.2f);
        if (random.NextSingle() < 0.4f) Pattern(-MathF.PI / 2, distance * R(0.6f, 1) + 1.2f);

        void Pattern(float aside, float away)
        {
            float angle = turn + MathF.PI + lean + aside;
            var outward = new Vector3(MathF.Sin(angle), 0, MathF.Cos(angle));
            Add(Stuff(SyntheticClasses.Wall, new Card(new EndlessOutline(), float.PositiveInfinity), Pose.Standing(outward * away, angle), size), null);
        }
    }

    private void AddHills(float turn)
    {
        int rows = (int)random.Integer(1, 4);
        for (int row = 0; row < rows; row++)
        {
            float away = 14 + 16 * row + R(0, 8), rough = R(0.35f, 0.6f), high = away * R(0.08f, 0.3f), shift = R(0, 100);
            float[] heights = new float[512];
            for (int i = 0; i < heights.Length; i++) heights[i] = high * (0.2f + NoiseBank.Soft.Sample(shift + i * 0.0015f, shift, 0) + rough * 0.3f * NoiseBank.Rough.Sample(shift - i * 0.006f, 0.5f, 0));
            float angle = turn + MathF.PI;
            var outward = new Vector3(MathF.Sin(angle), 0, MathF.Cos(angle));
            Add(Stuff(SyntheticClasses.Hills, new Card(new HillOutline(heights, 0.4f), 110), Pose.Standing(outward * away, angle), R(6, 30)), null);
        }
    }

    private Sky DrawSky(Light light, float fog)
    {
        float kind = random.NextSingle(), tone = (light.FromAbove.X + light.FromAbove.Y + light.FromAbove.Z) / 3;
        (Vector3 horizon, Vector3 zenith) = kind switch
        {
            < 0.45f => (Palette.FromHsv(R(0.53f, 0.6f), R(0.1f, 0.35f), 0.95f), Palette.FromHsv(R(0.55f, 0.63f), R(0.4f, 0.8f), R(0.6f, 0.9f))), // day
            < 0.65f => (Palette.FromHsv(0.6f, 0.05f, R(0.75f, 0.95f)), Palette.FromHsv(0.6f, 0.1f, R(0.55f, 0.8f))), // overcast
            < 0.8f => (Palette.FromHsv(R(0.02f, 0.12f), R(0.3f, 0.7f), 0.95f), Palette.FromHsv(R(0.6f, 0.8f), R(0.2f, 0.6f), R(0.3f, 0.7f))), // dusk
            < 0.9f => (Palette.Draw(random), Palette.Draw(random)),
            _ => (Palette.Draw(random) * 0.3f, Palette.Draw(random) * 0.1f), // dark
        };
        return new Sky(horizon * (0.5f + tone), zenith * (0.5f + tone), random.NextSingle() < 0.5f ? R(0.2f, 1) : 0, new Vector2(random.NextSingle(), random.NextSingle()), fog);
    }

    private Shot Travel(Shot first, float distance, bool floor)
    {
        Vector3 move = 0.3f * distance * Noise3(1);
        if (floor && first.From.Y + move.Y < 0.12f) move.Y = 0;
        return first with { From = first.From + move, To = first.To + 0.15f * distance * Noise3(1), Roll = first.Roll + R(-0.15f, 0.15f), FieldOfView = first.FieldOfView * R(0.92f, 1.08f) };
    }

    private Motion? DrawMotion(float chance, bool upright)
    {
        if (random.NextSingle() >= chance) return null;
        Vector3 way = 0.6f * Noise3(1);
        if (upright) way.Y = 0;
        return new Motion(way, upright ? Vector3.UnitY : Vector3.Normalize(Noise3(1) + new Vector3(1e-3f)), R(-1.2f, 1.2f));
    }

    private Thing Object(int label, int id, Pose pose) => new() { Id = id, Semantic = SyntheticClasses.Semantic(label), Pose = pose, Parts = _catalog.Solid(label) };

    private Thing Stuff(int semantic, Solid solid, Pose pose, float size)
    {
        PatternKind kind = Material.DrawKind(random);
        if (kind == PatternKind.Plain && semantic == SyntheticClasses.Ground) kind = PatternKind.Soil;
        return new Thing { Id = 0, Semantic = semantic, Pose = pose, Parts = [new Part(solid, Pose.Identity, Material.Draw(kind, size, random))] };
    }

    private void Add(Thing thing, Motion? motion)
    {
        if (motion is Motion m) _motions[_things.Count] = m;
        _things.Add(thing);
    }

    private Pose Tilted(Vector3 at, float most) => Pose.Turned(Quaternion.CreateFromYawPitchRoll(R(-most, most), R(-most, most), R(-MathF.PI, MathF.PI)), at);

    private Quaternion Turn() => Quaternion.Normalize(new Quaternion(Noise3(1), R(-1, 1)) + new Quaternion(0, 0, 0, 1e-3f));

    private Vector3 Noise3(float most) => new(R(-most, most), R(-most, most), R(-most, most));

    private static Vector3 Direction(float turn, float pitch)
    {
        (float sin, float cos) = MathF.SinCos(pitch);
        return new Vector3(cos * MathF.Sin(turn), sin, cos * MathF.Cos(turn));
    }

    private float R(float low, float high) => random.Uniform(low, high);
}
