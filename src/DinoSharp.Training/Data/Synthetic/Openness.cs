using System.Numerics;
using System.Runtime.Intrinsics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>How much of the surroundings' light reaches a point: solid things nearby, each taken as a ball, hide a part of it (analytic occlusion of a ball, Quilez 2006).</summary>
internal sealed class Openness
{
    private readonly float[] _x;
    private readonly float[] _y;
    private readonly float[] _z;
    private readonly float[] _radius2;
    private readonly int[] _thing;

    public Openness(IReadOnlyList<Thing> things)
    {
        (Vector3 Middle, float Radius, int Thing)[] balls = [.. things.Select((thing, i) => (thing, i))
            .Where(t => t.thing.Id > 0 && t.thing.Parts.Any(p => p.Solid is not Card))
            .Select(t => (Middle(t.thing), t.thing.Radius * 0.55f, t.i))];
        int padded = (balls.Length + 7) / 8 * 8; // a ball of radius 0 hides nothing
        (_x, _y, _z, _radius2, _thing) = (new float[padded], new float[padded], new float[padded], new float[padded], new int[padded]);
        for (int i = 0; i < balls.Length; i++)
        {
            (_x[i], _y[i], _z[i]) = (balls[i].Middle.X, balls[i].Middle.Y, balls[i].Middle.Z);
            (_radius2[i], _thing[i]) = (balls[i].Radius * balls[i].Radius, balls[i].Thing);
        }
    }

    /// <summary>Share of the light that arrives at a point of a thing, 0 … 1.</summary>
    public float At(Vector3 point, Vector3 normal, int thing)
    {
        float open = 1;
        for (int i = 0; i < _x.Length; i += 8)
        {
            Vector256<float> dx = Vector256.LoadUnsafe(ref _x[i]) - Vector256.Create(point.X);
            Vector256<float> dy = Vector256.LoadUnsafe(ref _y[i]) - Vector256.Create(point.Y);
            Vector256<float> dz = Vector256.LoadUnsafe(ref _z[i]) - Vector256.Create(point.Z);
            Vector256<float> square = dx * dx + dy * dy + dz * dz, radius2 = Vector256.LoadUnsafe(ref _radius2[i]);
            Vector256<float> along = dx * normal.X + dy * normal.Y + dz * normal.Z;
            Vector256<float> near = Vector256.LessThan(square, radius2 * 16) & Vector256.GreaterThan(along, Vector256<float>.Zero);
            near = Vector256.AndNot(near, Vector256.Equals(Vector256.LoadUnsafe(ref _thing[i]), Vector256.Create(thing)).AsSingle());
            if (Vector256.EqualsAll(near.AsInt32(), Vector256<int>.Zero)) continue;
            Vector256<float> hidden = along / Vector256.Sqrt(square) * Vector256.Min(Vector256.Create(1f), radius2 / square) * 0.7f;
            Vector256<float> left = Vector256.ConditionalSelect(near, Vector256.Create(1f) - hidden, Vector256.Create(1f));
            for (int k = 0; k < 8; k++) open *= left[k];
        }

        return open;
    }

    private static Vector3 Middle(Thing thing) => thing.Pose.Point(thing.Parts.Aggregate(Vector3.Zero, (sum, p) => sum + p.Place.Origin) / thing.Parts.Count);
}
