using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>How a thing moves: it stays on its course and keeps turning about its own axis.</summary>
/// <param name="Velocity">Metres per unit of time.</param>
/// <param name="Axis">Direction of the axis of turning, of length 1.</param>
/// <param name="Spin">Radians per unit of time.</param>
internal readonly record struct Motion(Vector3 Velocity, Vector3 Axis, float Spin);

/// <summary>Where the camera is and what it looks at.</summary>
/// <param name="From">Its place.</param>
/// <param name="To">The point in the middle of the picture.</param>
/// <param name="Roll">Turn about its axis, in radians.</param>
/// <param name="FieldOfView">Along the shorter side of the picture, in radians.</param>
internal readonly record struct Shot(Vector3 From, Vector3 To, float Roll, float FieldOfView);

/// <summary>A scene in time, from 0 to 1: things move, the camera travels.</summary>
/// <param name="Start">The scene at time 0.</param>
/// <param name="Motions">Of each thing; missing for those that stay.</param>
/// <param name="First">The camera at time 0.</param>
/// <param name="Last">The camera at time 1.</param>
/// <param name="Main">Index of the thing whose class is that of the picture.</param>
internal sealed record SceneScript(Scene Start, IReadOnlyDictionary<int, Motion> Motions, Shot First, Shot Last, int Main)
{
    public Scene At(float time)
    {
        if (time == 0 || Motions.Count == 0) return Start;
        return Start with { Things = [.. Start.Things.Select((thing, i) => Motions.TryGetValue(i, out Motion m) ? thing.MovedTo(Moved(thing.Pose, m, time)) : thing)] };
    }

    public SyntheticCamera Camera(float time, int width, int height) => SyntheticCamera.LookingAt(
        Vector3.Lerp(First.From, Last.From, time), Vector3.Lerp(First.To, Last.To, time), First.Roll + time * (Last.Roll - First.Roll),
        First.FieldOfView + time * (Last.FieldOfView - First.FieldOfView), width, height);

    private static Pose Moved(Pose pose, Motion motion, float time)
    {
        Quaternion turn = Quaternion.CreateFromAxisAngle(motion.Axis, motion.Spin * time);
        return new Pose(Vector3.Transform(pose.X, turn), Vector3.Transform(pose.Y, turn), Vector3.Transform(pose.Z, turn), pose.Origin + motion.Velocity * time);
    }
}
