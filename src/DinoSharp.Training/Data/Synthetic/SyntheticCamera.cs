using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>
/// A pinhole camera. In its own axes x points right, y down and z forward; in the picture x runs right and y down, and the centre of the first pixel is (0.5, 0.5).
/// </summary>
public sealed class SyntheticCamera
{
    private readonly Pose _pose;

    internal SyntheticCamera(Pose pose, float focalPixels, int width, int height)
    {
        _pose = pose;
        (FocalPixels, Width, Height) = (focalPixels, width, height);
        Center = new Vector2(width / 2f, height / 2f);
    }

    /// <summary>Focal length in pixels, the same for both axes.</summary>
    public float FocalPixels { get; }

    /// <summary>Where the axis meets the picture, in pixels.</summary>
    public Vector2 Center { get; }

    /// <summary>Width of the picture in pixels.</summary>
    public int Width { get; }

    /// <summary>Height of the picture in pixels.</summary>
    public int Height { get; }

    /// <summary>Where the camera is in the world, in metres; y is up.</summary>
    public Vector3 Position => _pose.Origin;

    internal Pose Pose => _pose;

    /// <summary>Where a point of the world appears.</summary>
    /// <param name="world">In metres.</param>
    /// <returns>x and y in pixels, and the depth along the axis in metres: not above 0 for points that the camera cannot see.</returns>
    public Vector3 Project(Vector3 world)
    {
        Vector3 p = _pose.ToLocal(world);
        return new Vector3(p.X / p.Z * FocalPixels + Center.X, p.Y / p.Z * FocalPixels + Center.Y, p.Z);
    }

    /// <summary>The point of the world that a pixel shows at a depth.</summary>
    /// <param name="x">Pixels from the left.</param>
    /// <param name="y">Pixels from the top.</param>
    /// <param name="depth">Along the axis, in metres.</param>
    public Vector3 Unproject(float x, float y, float depth) => Position + depth * Ray(x, y);

    /// <summary>The direction of a pixel, with a depth of 1.</summary>
    internal Vector3 Ray(float x, float y) => _pose.Z + _pose.X * ((x - Center.X) / FocalPixels) + _pose.Y * ((y - Center.Y) / FocalPixels);

    /// <summary>A camera that looks at a point, upright but for a roll.</summary>
    internal static SyntheticCamera LookingAt(Vector3 from, Vector3 to, float roll, float fieldOfView, int width, int height)
    {
        Vector3 forward = Vector3.Normalize(to - from);
        Vector3 right = Vector3.Normalize(Vector3.Cross(forward, MathF.Abs(forward.Y) > 0.999f ? Vector3.UnitX : Vector3.UnitY));
        Vector3 down = Vector3.Cross(forward, right);
        (float sin, float cos) = MathF.SinCos(roll);
        float focal = Math.Min(width, height) / (2 * MathF.Tan(fieldOfView / 2));
        return new SyntheticCamera(new Pose(right * cos + down * sin, down * cos - right * sin, forward, from), focal, width, height);
    }
}
