using System.Numerics;
using CsCheck;
using DinoSharp.Training.Data.Sampling;
using DinoSharp.Training.Data.Synthetic;
using Xunit;

namespace DinoSharp.Tests.Training.Data;

/// <summary>Where rays hit the solids of the synthetic world, checked without the solids' own formulas.</summary>
public sealed class SolidTests
{
    private static readonly Gen<Vector3> Vectors = Gen.Select(Gen.Float[-1, 1], Gen.Float[-1, 1], Gen.Float[-1, 1], (x, y, z) => new Vector3(x, y, z));

    private static readonly (Solid Solid, Func<Vector3, float> Inside)[] Shapes =
    [
        // Each with a function that is negative inside, zero on the surface, and grows like a distance.
        (new Ellipsoid(new Vector3(0.5f, 0.8f, 0.3f)), p => ((p / new Vector3(0.5f, 0.8f, 0.3f)).Length() - 1) * 0.3f),
        (new Block(new Vector3(0.4f, 0.6f, 0.5f)), p => Largest(Vector3.Abs(p) - new Vector3(0.4f, 0.6f, 0.5f))),
        (new Frustum(0.6f, 0.2f, 0.5f), p => MathF.Max(MathF.Abs(p.Y) - 0.5f, (new Vector2(p.X, p.Z).Length() - (0.4f - 0.4f * p.Y)) * 0.928f)),
        (new Frustum(0.5f, 0.06f, 0.5f), p => MathF.Max(MathF.Abs(p.Y) - 0.5f, (new Vector2(p.X, p.Z).Length() - (0.28f - 0.44f * p.Y)) * 0.915f)),
        (new Torus(0.6f, 0.2f), p => new Vector2(new Vector2(p.X, p.Z).Length() - 0.6f, p.Y).Length() - 0.2f),
        (new Polyhedron([Vector3.UnitX, -Vector3.UnitX, Vector3.UnitY, -Vector3.UnitY, Vector3.UnitZ, -Vector3.UnitZ], [0.5f, 0.5f, 0.4f, 0.4f, 0.3f, 0.3f], 1), p => Largest(Vector3.Abs(p) - new Vector3(0.5f, 0.4f, 0.3f))),
    ];

    [Fact]
    public void HitsAreTheFirstPointOnTheSurface() => Gen.Select(Vectors, Vectors, Gen.Int[0, Shapes.Length - 1]).Sample(
        (a, b, which) =>
        {
            (Solid solid, Func<Vector3, float> inside) = Shapes[which];
            if (a.Length() < 0.1f) return;
            Vector3 from = Vector3.Normalize(a) * 3, way = b * 0.7f - from; // towards a point near the middle
            float t = solid.Hit(from, way), marched = March(from, way, inside);
            if (t == float.PositiveInfinity)
            {
                Assert.True(marched == float.PositiveInfinity, $"shape {which}: missed, but marching hits at {marched}");
                return;
            }

            Vector3 point = from + way * t;
            Assert.Equal(0, inside(point), 2e-3f);
            Assert.True(MathF.Abs(t - marched) < 5e-3f || marched == float.PositiveInfinity, $"shape {which}: {t} instead of {marched}");
            Assert.True(point.Length() <= solid.BoundingRadius * 1.001f, $"shape {which}: {point.Length()} beyond {solid.BoundingRadius}");
        },
        iter: 4000);

    [Fact]
    public void NormalsPointUphill() => Gen.Select(Vectors, Vectors, Gen.Int[0, Shapes.Length - 1]).Sample(
        (a, b, which) =>
        {
            (Solid solid, Func<Vector3, float> inside) = Shapes[which];
            if (a.Length() < 0.1f) return;
            Vector3 from = Vector3.Normalize(a) * 3, way = b * 0.5f + new Vector3(0.0123f, 0.0317f, 0.0231f) - from; // beside the edges that round numbers meet
            float t = solid.Hit(from, way);
            if (t == float.PositiveInfinity) return;
            Vector3 point = from + way * t, normal = solid.Normal(point);
            Assert.Equal(1, normal.Length(), 1e-4f);
            // On an edge either face may answer: one that looks away from the ray, or one whose normal leads along the other.
            if (!IsSmooth(inside, point, 0.01f)) return;
            Assert.True(Vector3.Dot(normal, way) < 1e-3f, $"shape {which}: the normal looks away from the ray");
            Assert.True(inside(point + normal * 0.004f) > 1e-3f && inside(point - normal * 0.004f) < 1e-3f, $"shape {which}: the surface is not crossed along the normal");
        },
        iter: 4000);

    // The slopes towards both sides agree but for the curvature, which is at most 1 / 0.06 here.
    private static bool IsSmooth(Func<Vector3, float> inside, Vector3 point, float step) =>
        new[] { Vector3.UnitX, Vector3.UnitY, Vector3.UnitZ }.All(axis => MathF.Abs(inside(point + axis * step) + inside(point - axis * step) - 2 * inside(point)) < 0.2f * step);

    [Fact]
    public void CatalogObjectsStayInTheirBall()
    {
        for (int label = 0; label < SyntheticClasses.SolidCount; label++)
        {
            var thing = new Thing { Id = 1, Semantic = 0, Pose = Pose.Identity, Parts = new Catalog(new TorchRandom((ulong)label)).Solid(label) };
            var random = new TorchRandom(7);
            for (int i = 0; i < 500; i++)
            {
                var from = 5 * Vector3.Normalize(new Vector3(random.Uniform(-1, 1), random.Uniform(-1, 1), random.Uniform(-1, 1)));
                Vector3 way = new Vector3(random.Uniform(-1, 1), random.Uniform(-1, 2), random.Uniform(-1, 1)) - from;
                foreach (Part part in thing.Parts)
                {
                    float t = part.Solid.Hit(part.Place.ToLocal(from), part.Place.DirectionToLocal(way));
                    if (t == float.PositiveInfinity) continue;
                    Vector3 point = from + way * t;
                    Assert.True(point.Length() <= thing.Radius * 1.001f, $"{SyntheticClasses.Names[label]}: a point at {point.Length()} beyond {thing.Radius}");
                    Assert.True((point - part.Place.Origin).Length() <= part.Solid.BoundingRadius * 1.001f, $"{SyntheticClasses.Names[label]}: a part beyond its ball");
                }
            }
        }
    }

    private static float March(Vector3 from, Vector3 way, Func<Vector3, float> inside)
    {
        float length = way.Length();
        for (float t = 0; t < 2; t += MathF.Max(inside(from + way * t), 5e-4f) / length * 0.5f)
        {
            if (inside(from + way * t) < 0) return t;
        }

        return float.PositiveInfinity;
    }

    private static float Largest(Vector3 v) => MathF.Max(v.X, MathF.Max(v.Y, v.Z));
}
