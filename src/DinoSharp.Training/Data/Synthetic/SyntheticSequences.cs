using System.Collections.Immutable;
using System.Numerics;

namespace DinoSharp.Training.Data.Synthetic;

/// <summary>Where a point of one picture is in another one.</summary>
/// <param name="Position">Continuous pixel coordinates there; the centre of the first pixel is (0.5, 0.5). Not a number where the first picture shows nothing.</param>
/// <param name="Visible">Whether it is inside the other picture and nothing is in front of it.</param>
public readonly record struct SyntheticMatch(Vector2 Position, bool Visible);

/// <summary>Two pictures of one scene from different places, perhaps with moving objects.</summary>
/// <param name="A">The first picture.</param>
/// <param name="B">The second picture.</param>
public sealed record SyntheticPair(SyntheticImage A, SyntheticImage B)
{
    /// <summary>Where a point of <see cref="A"/> is in <see cref="B"/>, exactly.</summary>
    /// <param name="x">Continuous pixel column in A; the centre of the first pixel is 0.5.</param>
    /// <param name="y">Continuous pixel row in A.</param>
    public SyntheticMatch AToB(float x, float y) => Follow(A.Renderer, x, y, B.Renderer);

    /// <summary>Where every pixel centre of <see cref="A"/> is in <see cref="B"/>. [H · W]</summary>
    public ImmutableArray<SyntheticMatch> AllAToB() => [.. Enumerable.Range(0, A.Width * A.Height).Select(i => AToB(i % A.Width + 0.5f, i / A.Width + 0.5f))];

    /// <summary>A point of a part keeps its place on the part; so the part's pose in the other scene says where it went.</summary>
    internal static SyntheticMatch Follow(Renderer from, float x, float y, Renderer to)
    {
        (int part, float depth) = from.Trace(x, y);
        if (part < 0) return new SyntheticMatch(new Vector2(float.NaN), false);
        Vector3 local = from.Parts[part].Pose.ToLocal(from.Camera.Unproject(x, y, depth));
        return Find(local, part, to);
    }

    internal static SyntheticMatch Find(Vector3 local, int part, Renderer to)
    {
        Vector3 seen = to.Camera.Project(to.Parts[part].Pose.Point(local));
        if (!(seen.Z > 0)) return new SyntheticMatch(new Vector2(float.NaN), false);
        var position = new Vector2(seen.X, seen.Y);
        bool inside = seen.X >= 0 && seen.Y >= 0 && seen.X < to.Camera.Width && seen.Y < to.Camera.Height;

        // The ray through the position passes the point; the point is hidden only if something is hit clearly before it.
        return new SyntheticMatch(position, inside && to.Trace(seen.X, seen.Y).Depth > seen.Z * (1 - 2e-3f));
    }
}

/// <summary>A point on a thing, followed through a clip.</summary>
/// <param name="ObjectId">The object it is on; 0 for ground, walls and hills.</param>
/// <param name="Matches">Its place in every frame.</param>
public sealed record SyntheticTrack(int ObjectId, IReadOnlyList<SyntheticMatch> Matches);

/// <summary>A short film: the camera travels, some objects move.</summary>
/// <param name="Frames">The frames, evenly spaced in time. Objects keep their numbers.</param>
public sealed record SyntheticClip(IReadOnlyList<SyntheticImage> Frames)
{
    /// <summary>Follows points of one frame through all frames.</summary>
    /// <param name="frame">Index of the frame.</param>
    /// <param name="points">Continuous pixel coordinates in that frame; points that show nothing are left out.</param>
    public IReadOnlyList<SyntheticTrack> Track(int frame, IEnumerable<Vector2> points)
    {
        Renderer from = Frames[frame].Renderer;
        var tracks = new List<SyntheticTrack>();
        foreach (Vector2 point in points)
        {
            (int part, float depth) = from.Trace(point.X, point.Y);
            if (part < 0) continue;
            Vector3 local = from.Parts[part].Pose.ToLocal(from.Camera.Unproject(point.X, point.Y, depth));
            int id = from.Scene.Things[from.Parts[part].Thing].Id;
            tracks.Add(new SyntheticTrack(id, [.. Frames.Select(f => SyntheticPair.Find(local, part, f.Renderer))]));
        }

        return tracks;
    }
}

/// <summary>One place at two times, seen from the same spot: objects appeared, vanished, moved or got another surface; light and noise differ a little everywhere.</summary>
/// <param name="Before">The earlier picture.</param>
/// <param name="After">The later picture. Objects that stayed keep their numbers.</param>
/// <param name="ChangedIds">The objects that are not as they were; new ones included.</param>
public sealed record SyntheticChange(SyntheticImage Before, SyntheticImage After, IReadOnlySet<int> ChangedIds)
{
    /// <summary>
    /// True at each pixel that shows a changed object before or after. Shadows and light do not count. [H · W]
    /// </summary>
    public ImmutableArray<bool> Mask { get; } = [.. Before.Instances.Zip(After.Instances, (before, after) => ChangedIds.Contains(before) || ChangedIds.Contains(after))];
}
