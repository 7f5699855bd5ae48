using System.Numerics;
using System.Runtime.CompilerServices;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>A part of the scene, placed in the world.</summary>
internal readonly record struct Placed(Solid Solid, Pose Pose, Material Material, int Thing)
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float Hit(Vector3 origin, Vector3 direction) => Solid.Hit(Pose.ToLocal(origin), Pose.DirectionToLocal(direction));
}

/// <summary>
/// Decides what every pixel shows, exactly: one ray through each pixel centre, tested against the parts whose outline can contain it.
/// </summary>
internal sealed class Renderer
{
    private const int TileSize = 16;

    private readonly Vector3 _eye;
    private readonly int _width;
    private readonly int _height;
    private readonly int _tilesAcross;
    private readonly List<int>[] _tiles;
    private readonly int[] _visible;
    private readonly int[] _inFrame;

    public Renderer(Scene scene, SyntheticCamera camera)
    {
        (Scene, Camera, _width, _height, _eye) = (scene, camera, camera.Width, camera.Height, camera.Position);
        Parts = [.. scene.Things.SelectMany((thing, i) => thing.Parts.Select(p => new Placed(p.Solid, thing.Pose.Then(p.Place), p.Material, i)))];
        Depth = new float[_width * _height];
        Part = new short[_width * _height];
        _tilesAcross = (_width + TileSize - 1) / TileSize;
        _tiles = [.. Enumerable.Range(0, _tilesAcross * ((_height + TileSize - 1) / TileSize)).Select(_ => new List<int>())];
        (_visible, _inFrame) = (new int[scene.Things.Count], new int[scene.Things.Count]);
        Array.Fill(Depth, float.PositiveInfinity);
        Array.Fill(Part, (short)-1);
        DrawParts();
        foreach (short part in Part)
        {
            if (part >= 0) _visible[Parts[part].Thing]++;
        }
    }

    public Scene Scene { get; }

    public SyntheticCamera Camera { get; }

    public Placed[] Parts { get; }

    /// <summary>Depth along the camera's axis at each pixel centre, in metres; infinite where nothing is. [H · W]</summary>
    public float[] Depth { get; }

    /// <summary>Index of the part seen at each pixel centre; −1 where nothing is. [H · W]</summary>
    public short[] Part { get; }

    /// <summary>Pixels where a thing is seen.</summary>
    public int VisiblePixels(int thing) => _visible[thing];

    /// <summary>Pixels of the picture where a thing would be seen if nothing were in front of it.</summary>
    public int PixelsInFrame(int thing) => _inFrame[thing];

    /// <summary>What is seen at any point of the picture: the part and its depth.</summary>
    public (int Part, float Depth) Trace(float x, float y)
    {
        int tile = Math.Clamp((int)y, 0, _height - 1) / TileSize * _tilesAcross + Math.Clamp((int)x, 0, _width - 1) / TileSize;
        Vector3 ray = Camera.Ray(x, y);
        (int part, float depth) = (-1, float.PositiveInfinity);
        foreach (int candidate in _tiles[tile])
        {
            float t = Parts[candidate].Hit(_eye, ray);
            if (t < depth) (part, depth) = (candidate, t);
        }

        return (part, depth);
    }

    private void DrawParts()
    {
        int[] stamp = new int[_width * _height]; // the last thing that claimed a pixel, so that its parts are counted once
        for (int i = 0; i < Parts.Length; i++)
        {
            Placed placed = Parts[i];
            if (!Outline(placed, out int left, out int top, out int right, out int bottom)) continue;
            for (int ty = top / TileSize; ty <= (bottom - 1) / TileSize; ty++)
            {
                for (int tx = left / TileSize; tx <= (right - 1) / TileSize; tx++) _tiles[ty * _tilesAcross + tx].Add(i);
            }

            // The ray in the part's own axes is linear in x and y.
            Solid solid = placed.Solid;
            Vector3 eye = placed.Pose.ToLocal(_eye);
            Vector3 step = placed.Pose.DirectionToLocal(Camera.Ray(1, 0) - Camera.Ray(0, 0));
            int inFrame = 0, mark = placed.Thing + 1;
            for (int y = top; y < bottom; y++)
            {
                Vector3 ray = placed.Pose.DirectionToLocal(Camera.Ray(left + 0.5f, y + 0.5f));
                for (int at = y * _width + left, end = y * _width + right, n = 0; at < end; at++, n++)
                {
                    float t = solid.Hit(eye, ray + step * n);
                    if (t == float.PositiveInfinity) continue;
                    if (stamp[at] != mark)
                    {
                        stamp[at] = mark;
                        inFrame++;
                    }

                    if (t < Depth[at])
                    {
                        Depth[at] = t;
                        Part[at] = (short)i;
                    }
                }
            }

            _inFrame[placed.Thing] += inFrame;
        }
    }

    /// <summary>The pixels that a part can cover; false if there are none.</summary>
    private bool Outline(Placed placed, out int left, out int top, out int right, out int bottom)
    {
        float radius = placed.Solid.BoundingRadius;
        (left, top, right, bottom) = (0, 0, _width, _height);
        if (radius == float.PositiveInfinity) return true;
        Vector3 c = Camera.Pose.ToLocal(placed.Pose.Origin);
        if (c.Z < -radius) return false;
        if (c.Z <= radius * 1.01f) return true; // around the camera, or nearly
        (float x0, float x1) = Tangents(c.X, c.Z, radius);
        (float y0, float y1) = Tangents(c.Y, c.Z, radius);
        left = Math.Max(0, (int)MathF.Floor(x0 * Camera.FocalPixels + Camera.Center.X - 0.5f));
        right = Math.Min(_width, (int)MathF.Ceiling(x1 * Camera.FocalPixels + Camera.Center.X + 0.5f));
        top = Math.Max(0, (int)MathF.Floor(y0 * Camera.FocalPixels + Camera.Center.Y - 0.5f));
        bottom = Math.Min(_height, (int)MathF.Ceiling(y1 * Camera.FocalPixels + Camera.Center.Y + 0.5f));
        return left < right && top < bottom;

        // Where lines through the eye touch a circle: slopes relative to the axis.
        static (float Low, float High) Tangents(float across, float ahead, float radius)
        {
            float d = ahead * ahead - radius * radius, root = radius * MathF.Sqrt(MathF.Max(0, across * across + d));
            return ((across * ahead - root) / d, (across * ahead + root) / d);
        }
    }
}
