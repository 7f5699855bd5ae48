namespace DinoSharp.Features.Matching;

/// <summary>A place on a picture in its own upright pixels; 0, 0 is the upper left corner and 0.5, 0.5 the middle of the first pixel.</summary>
/// <param name="X">From the left.</param>
/// <param name="Y">From the top.</param>
public readonly record struct ImagePoint(double X, double Y)
{
    /// <summary>Distance to another place in pixels.</summary>
    /// <param name="other">The other place.</param>
    public double DistanceTo(ImagePoint other) => Math.Sqrt(((X - other.X) * (X - other.X)) + ((Y - other.Y) * (Y - other.Y)));
}

/// <summary>A patch of picture A and the patch of picture B that looks most like it.</summary>
/// <param name="PatchA">Index of the patch in A, row-major.</param>
/// <param name="PatchB">Index of the patch in B, row-major.</param>
/// <param name="A">Middle of the patch on picture A.</param>
/// <param name="B">The place on picture B: the middle of the patch, or finer if that was asked for.</param>
/// <param name="Similarity">Cosine similarity of the two, -1 … 1.</param>
public readonly record struct PatchMatch(int PatchA, int PatchB, ImagePoint A, ImagePoint B, float Similarity);

/// <summary>Which matches to keep.</summary>
public sealed record MatchOptions
{
    /// <summary>Patches of A to match; null: all.</summary>
    public PatchMask? ForegroundA { get; init; }

    /// <summary>Patches of B that a match may lie on. As in the original, the best patch of all B is found first and dropped if it is not one of these. Null: all.</summary>
    public PatchMask? ForegroundB { get; init; }

    /// <summary>Keep only pairs in which each is the best match of the other (mutual nearest neighbours).</summary>
    public bool Mutual { get; init; }

    /// <summary>Drop pairs below this cosine similarity.</summary>
    public float MinSimilarity { get; init; } = -1;

    /// <summary>Thin the matches out until they lie farther apart than this on picture A, in its pixels; 0 keeps them all. The original example takes 100.</summary>
    public double MinSpacing { get; init; }

    /// <summary>Place the point on B between patches, at the peak of a parabola through the similarities of the neighbours.</summary>
    public bool Refine { get; init; }
}
