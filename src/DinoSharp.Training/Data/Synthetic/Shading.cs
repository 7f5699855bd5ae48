using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Turns what the renderer found into light: materials, sun and shadow, surroundings, fog; then through the sensor to 8 bit.</summary>
internal sealed class Shading
{
    private const int ShadowCells = 32;

    // Where the edge of a thing crosses a pixel, these places are averaged with its centre.
    private static readonly Vector2[] Samples = [new(0.2f, 0.35f), new(0.65f, 0.15f), new(0.75f, 0.8f)];

    private readonly Renderer _view;
    private readonly Scene _scene;
    private readonly Vector3 _eye;
    private readonly float _pixelAngle;
    private readonly Vector3 _lightX;
    private readonly Vector3 _lightY;
    private readonly Vector2 _shadowLow;
    private readonly float _shadowScale;
    private readonly List<int>[] _shadowGrid;
    private readonly Openness _openness;

    public Shading(Renderer view)
    {
        (_view, _scene, _eye) = (view, view.Scene, view.Camera.Position);
        _pixelAngle = 1 / view.Camera.FocalPixels;
        Vector3 toSun = _scene.Light.ToSun;
        _lightX = Vector3.Normalize(Vector3.Cross(toSun, MathF.Abs(toSun.Y) > 0.9f ? Vector3.UnitX : Vector3.UnitY));
        _lightY = Vector3.Cross(toSun, _lightX);
        (_shadowGrid, _shadowLow, _shadowScale) = ShadowGrid();
        _openness = new Openness(_scene.Things);
    }

    /// <summary>The picture. [H, W, 3]</summary>
    public byte[] Draw()
    {
        int width = _view.Camera.Width, height = _view.Camera.Height;
        var light = new Vector3[width * height];
        for (int y = 0, at = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++, at++) light[at] = Color(_view.Part[at], _view.Depth[at], x + 0.5f, y + 0.5f);
        }

        SmoothEdges(light, width, height);
        return Exposure.Develop(light, width, height, _scene.Sensor);
    }

    private void SmoothEdges(Vector3[] light, int width, int height)
    {
        short[] part = _view.Part;
        float[] depth = _view.Depth;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int at = y * width + x;
                bool edge = (x > 0 && Differ(at, at - 1)) || (x < width - 1 && Differ(at, at + 1)) || (y > 0 && Differ(at, at - width)) || (y < height - 1 && Differ(at, at + width));
                if (!edge) continue;
                Vector3 sum = Vector3.Min(light[at], new Vector3(4));
                foreach (Vector2 s in Samples)
                {
                    (int p, float d) = _view.Trace(x + s.X, y + s.Y);
                    sum += Vector3.Min(Color(p, d, x + s.X, y + s.Y), new Vector3(4));
                }

                light[at] = sum / (Samples.Length + 1);
            }
        }

        bool Differ(int a, int b) => part[a] != part[b];
    }

    private Vector3 Color(int part, float depth, float x, float y)
    {
        Vector3 ray = _view.Camera.Ray(x, y);
        if (part < 0) return _scene.Sky.Color(ray);
        ref readonly Placed placed = ref _view.Parts[part];
        Vector3 world = _eye + ray * depth, local = placed.Pose.ToLocal(world), own = placed.Solid.Normal(local), normal = placed.Pose.Direction(own);
        float length = ray.Length(), facing = -Vector3.Dot(normal, ray) / length;
        if (facing < 0) (normal, facing) = (-normal, -facing);
        float footprint = depth * _pixelAngle / MathF.Sqrt(MathF.Max(facing, 0.05f));
        Vector3 albedo = placed.Material.Albedo(placed.Solid.SurfaceCoordinates(local, own), footprint);

        Light l = _scene.Light;
        Vector3 ambient = Vector3.Lerp(l.FromBelow, l.FromAbove, 0.5f + 0.5f * normal.Y) * _openness.At(world, normal, placed.Thing);
        float toSun = Vector3.Dot(normal, l.ToSun);
        Vector3 result = albedo * ambient;
        if (toSun > 0)
        {
            float lit = 1 - (InShadow(world + normal * (2e-3f * depth), part) ? l.ShadowDepth : 0);
            result += albedo * l.Sun * (toSun * lit);
            if (placed.Material.Shine > 0)
            {
                float cosine = Vector3.Dot(normal, Vector3.Normalize(l.ToSun - ray / length));
                for (int i = 0; i < placed.Material.Hardness; i++) cosine *= cosine;
                result += l.Sun * (cosine * lit * placed.Material.Shine);
            }
        }

        if (_scene.Sky.FogPerMetre <= 0) return result;
        float clear = MathF.Exp(-_scene.Sky.FogPerMetre * depth * length);
        return Vector3.Lerp(_scene.Sky.Horizon, result, clear);
    }

    private bool InShadow(Vector3 world, int self)
    {
        var at = (new Vector2(Vector3.Dot(world, _lightX), Vector3.Dot(world, _lightY)) - _shadowLow) * _shadowScale;
        if (at.X < 0 || at.Y < 0 || at.X >= ShadowCells || at.Y >= ShadowCells) return false;
        foreach (int candidate in _shadowGrid[(int)at.Y * ShadowCells + (int)at.X])
        {
            ref readonly Placed placed = ref _view.Parts[candidate];
            if (candidate == self && placed.Solid is Card) continue;
            if (placed.Hit(world, _scene.Light.ToSun) < float.PositiveInfinity) return true;
        }

        return false;
    }

    /// <summary>For each cell of a grid across the sunlight, the parts that can cast a shadow there.</summary>
    private (List<int>[] Grid, Vector2 Low, float Scale) ShadowGrid()
    {
        var grid = new List<int>[ShadowCells * ShadowCells];
        for (int i = 0; i < grid.Length; i++) grid[i] = [];
        Vector2 low = new(float.MaxValue), high = new(float.MinValue);
        List<(int Part, Vector2 At, float Radius)> casters = [];
        for (int i = 0; i < _view.Parts.Length; i++)
        {
            Placed p = _view.Parts[i];
            if (p.Solid.BoundingRadius > 50) continue; // floors, walls and hills cast none
            var at = new Vector2(Vector3.Dot(p.Pose.Origin, _lightX), Vector3.Dot(p.Pose.Origin, _lightY));
            casters.Add((i, at, p.Solid.BoundingRadius));
            (low, high) = (Vector2.Min(low, at - new Vector2(p.Solid.BoundingRadius)), Vector2.Max(high, at + new Vector2(p.Solid.BoundingRadius)));
        }

        if (casters.Count == 0 || _scene.Light.ShadowDepth <= 0) return (grid, Vector2.Zero, 0);
        float scale = ShadowCells * 0.9999f / MathF.Max(high.X - low.X, high.Y - low.Y);
        foreach ((int part, Vector2 at, float radius) in casters)
        {
            Vector2 from = (at - new Vector2(radius) - low) * scale, to = (at + new Vector2(radius) - low) * scale;
            for (int y = Math.Max(0, (int)from.Y); y <= Math.Min(ShadowCells - 1, (int)to.Y); y++)
            {
                for (int x = Math.Max(0, (int)from.X); x <= Math.Min(ShadowCells - 1, (int)to.X); x++) grid[y * ShadowCells + x].Add(part);
            }
        }

        return (grid, low, scale);
    }
}
