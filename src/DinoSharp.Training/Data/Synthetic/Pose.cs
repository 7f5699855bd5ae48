using System.Numerics;
using System.Runtime.CompilerServices;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Where a rigid thing is and how it is turned: the world directions of its own axes, and its origin in the world.</summary>
internal readonly record struct Pose(Vector3 X, Vector3 Y, Vector3 Z, Vector3 Origin)
{
    public static Pose Identity { get; } = new(Vector3.UnitX, Vector3.UnitY, Vector3.UnitZ, Vector3.Zero);

    /// <summary>Upright, turned about the vertical axis, standing at a point.</summary>
    public static Pose Standing(Vector3 at, float turn)
    {
        (float sin, float cos) = MathF.SinCos(turn);
        return new Pose(new Vector3(cos, 0, -sin), Vector3.UnitY, new Vector3(sin, 0, cos), at);
    }

    /// <summary>Turned by a unit quaternion.</summary>
    public static Pose Turned(Quaternion turn, Vector3 at) =>
        new(Vector3.Transform(Vector3.UnitX, turn), Vector3.Transform(Vector3.UnitY, turn), Vector3.Transform(Vector3.UnitZ, turn), at);

    /// <summary>A point of the thing in the world.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector3 Point(Vector3 local) => Origin + Direction(local);

    /// <summary>A direction of the thing in the world.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector3 Direction(Vector3 local) => X * local.X + Y * local.Y + Z * local.Z;

    /// <summary>A point of the world as the thing sees it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector3 ToLocal(Vector3 world) => DirectionToLocal(world - Origin);

    /// <summary>A direction of the world as the thing sees it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector3 DirectionToLocal(Vector3 world) => new(Vector3.Dot(X, world), Vector3.Dot(Y, world), Vector3.Dot(Z, world));

    /// <summary>A part placed on this thing.</summary>
    public Pose Then(Pose part) => new(Direction(part.X), Direction(part.Y), Direction(part.Z), Point(part.Origin));
}
